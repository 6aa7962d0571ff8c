"""``gcl run``, ``params``, ``refresh`` and ``book``."""

import hashlib
import json
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperCommand

from gclib.cli.printing import print_table
from gclib.errors import UserError
from gclib.files import home_expanded

Notebook = Annotated[
    str,
    typer.Argument(metavar="NOTEBOOK", help="A name, such as `training`, or the path of an .ipynb file."),
]


class PairsCommand(TyperCommand):
    """Takes ``-p NAME VALUE`` many times, for which Typer has no type, by joining each to ``NAME=VALUE``."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Join the pairs, then parse as usual."""
        joined, rest = [], list(args)
        while rest:
            joined.append(rest.pop(0))
            if joined[-1] == "-p" and len(rest) > 1 and "=" not in rest[0]:
                joined.append(f"{rest.pop(0)}={rest.pop(0)}")
        return super().parse_args(ctx, joined)


def run(
    notebook: Notebook,
    pairs: Annotated[
        list[str] | None,
        typer.Option("-p", metavar="NAME VALUE", help="A parameter and its value; may be given many times."),
    ] = None,
    scale: Annotated[
        str | None,
        typer.Option(
            "--scale",
            metavar="SCALE",
            help="`smoke` (seconds), `short` (minutes) or `paper` (full) [default: the notebook's own]",
        ),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            metavar="PATH",
            parser=home_expanded,
            help="Where the executed notebook goes [default: a file in runs/notebooks/]",
        ),
    ] = None,
) -> None:
    """Execute a notebook with parameters of your own, and keep the executed copy.

    Names and values are checked before anything starts; `gcl params NOTEBOOK` lists them. Relative paths in
    the values start at the current folder. The notebook itself stays as it is. Same values, same file in
    runs/notebooks/. A training run that was interrupted goes on where it was when the command is given again.

    Example:

        gcl run training -p data cifar10 -p ratio 100 -p recipe gcl-official --scale paper

    Exit codes: 0 done; 1 a cell failed; 2 bad input; 130 interrupted. Unless 0, no file is written.
    """
    from gclib import notebook as notebooks
    from gclib.records import CLASSIFIER

    given = dict(_pairs(pairs or []))
    if scale is not None:
        given["scale"] = scale
    path = notebooks.find(notebook)
    if output is None:
        values = notebooks.check(notebooks.parameters(path), given)
        mark = (
            hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()[:8]
            if values
            else "defaults"
        )
        output = notebooks.ROOT / "runs" / "notebooks" / f"{path.stem}-{mark}.ipynb"
    with notebooks.terminated_as_interrupted():
        seconds = notebooks.execute(path, output, given, progress=True)
    print(f"executed in {seconds:.1f} s")
    print(f"notebook: {output}")
    for line in notebooks.not_held(output):
        print(line, file=sys.stderr)
    runs = home_expanded(given.get("workdir") or notebooks.ROOT / "runs").resolve()
    for place, record in notebooks.printed_records(output).items():
        print(f"record: {place}")
        classifier = runs / record.identity / CLASSIFIER  # a kept record lies elsewhere
        if classifier.exists():
            print(f"classifier, for gcl predict: {classifier}")
        if record.environment.commit is None:
            print("it names no commit: made outside of a git checkout, or without git")


def _pairs(words: Iterable[str]) -> Iterator[tuple[str, str]]:
    for word in words:
        name, equals, value = word.partition("=")
        if not equals:
            raise UserError(f"-p {word}: expected -p NAME VALUE, such as -p ratio 100")
        yield name, value


def params(notebook: Notebook) -> None:
    """List the parameters of a notebook: type, default, range and what each is.

    Example:

        gcl params training

    Exit codes: 0 done; 2 no such notebook, or a line of its parameter cell cannot be read.
    """
    from gclib import notebook as notebooks

    found = notebooks.parameters(notebooks.find(notebook))
    print_table(
        ("name", "type", "default", "range", "what it is"),
        ((p.name, p.type, repr(p.default), p.range, p.description) for p in found),
    )


def refresh(
    names: Annotated[
        list[str] | None,
        typer.Argument(metavar="[NOTEBOOK]...", help="Names or paths [default: all of notebooks/]"),
    ] = None,
) -> None:
    """Execute committed notebooks anew with their defaults and replace each by its executed copy.

    What changes from run to run although the code does the same (times, papermill's notes, widget state) is
    removed, so that `git diff` shows what changed. A notebook that fails stays as it was. Once `_config.yml`
    names the address of the repository, each notebook gets a cell that installs gclib where it is missing.

    Example:

        gcl refresh softmax-saturation

    Exit codes: 0 done; 1 a cell failed; 2 bad input; 130 interrupted.
    """
    from gclib import notebook as notebooks

    paths = [notebooks.find(name) for name in names] if names else None
    for path, seconds in notebooks.refresh(paths):
        print(f"{path.stem}: {seconds:.1f} s", flush=True)


def book(
    execute: Annotated[
        bool,
        typer.Option("--execute", help="Execute every page first, in a copy, two at a time, at smoke scale."),
    ] = False,
    output: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR", parser=home_expanded, help="Where to build [default: build/ in the checkout]"
        ),
    ] = None,
) -> None:
    """Build the HTML of the book; any warning fails the build.

    Without --execute it shows the committed outputs: seconds, no execution, no network. With it, the sources
    are copied to DIR/_source and executed there; the committed notebooks stay as they are.

    Example:

        gcl book --execute --output build

    Exit codes: 0 done; 1 a page or the build failed; 2 bad input; 130 interrupted.
    """
    from gclib import notebook as notebooks

    index = notebooks.build(
        output or notebooks.ROOT / "build",
        execute_first=execute,
        report=lambda name, seconds: print(f"{name}: {seconds:.1f} s", flush=True),
    )
    print(f"open {index}")
