"""``gcl records``."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gclib import ROOT
from gclib.cli.printing import print_table
from gclib.errors import UserError, nearest
from gclib.files import home_expanded

if TYPE_CHECKING:
    from gclib.records import RunRecord

app = typer.Typer()

RecordPath = Annotated[
    Path, typer.Argument(metavar="RECORD", parser=home_expanded, help="Path of a record, a .json file.")
]
Folder = Annotated[
    Path | None,
    typer.Argument(metavar="[FOLDER]", parser=home_expanded, help="[default: results/ in the checkout]"),
]


@app.callback()
def about() -> None:
    """Read and check run records.

    Example:

        gcl records list
    """


@app.command("list")
def list_records(
    folder: Folder = None,
    scale: Annotated[str | None, typer.Option(help="Only of this scale [default: all]")] = None,
    dataset: Annotated[str | None, typer.Option(help="Only on this data set [default: all]")] = None,
    recipe: Annotated[str | None, typer.Option(help="Only of this recipe [default: all]")] = None,
) -> None:
    """List run records with their top-1 accuracy: clean, and paper-style (best epoch on the test set).

    Example:

        gcl records list --scale paper --recipe gcl-official

    Exit codes: 0 done; 2 a file is no valid record.
    """
    from gclib import records

    folder = folder or ROOT / "results"
    if not folder.is_dir():
        raise UserError(f"no folder {folder}; name one that holds records")
    wanted = {"scale": scale, "data set": dataset, "recipe": recipe}
    there: dict[str, set[str]] = {what: set() for what in wanted}
    rows = []
    for path, r in records.find_with_paths(folder):
        own = dict(zip(wanted, (r.scale, r.data.name, r.name), strict=True))
        for what, name in own.items():
            there[what].add(name)
        if all(wanted[what] in (None, name) for what, name in own.items()):
            accuracies = [f"{outcome.top1:.2f}" for outcome in (r.clean, r.paper_style)]
            ratio = "as it is" if r.data.ratio is None else r.data.ratio
            rows.append((r.data.name, ratio, r.name, r.seed, r.scale, *accuracies, path))
    print_table(("data", "ratio", "recipe", "seed", "scale", "clean", "paper-style", "file"), rows)
    for what, want in wanted.items():
        if want is not None and want not in there[what]:
            print(f"no record there of {what} {want!r}{nearest(want, sorted(there[what]))}", file=sys.stderr)


@app.command()
def show(path: RecordPath) -> None:
    """Show one record: what was run, where, what came out, and the command that makes it again.

    Example:

        gcl records show results/paper/cifar10-ir100/ce/seed0.json

    Exit codes: 0 done; 2 no valid record.
    """
    from gclib import records

    print(records.show(records.load(path)))


@app.command()
def verify(
    named: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[RECORD]...",
            help="Paths or identities of records [default: all in results/ of the checkout, and what was measured]",
        ),
    ] = None,
    replay: Annotated[
        bool, typer.Option("--replay", help="Also compare the behaviour fingerprint with the code of today.")
    ] = False,
) -> None:
    """Check that records, with weights and embeddings beside them, are whole and say what follows from each other.

    Command, stages and learning rates follow from recipe, data and seed. A record is stale where its recipe is not that
    of its name any more, and with --replay where the losses of its behaviour fingerprint are not those of today's code:
    they stand side by side, of each stale record and of a record that is named alone.

    Example:

        gcl records verify --replay 0123456789abcdef

    Exit codes: 0 all hold; 1 one is altered or stale; 2 no record has such an identity, or there is none.
    """
    from gclib import records, saturation

    results, runs = ROOT / "results", ROOT / "runs"
    chosen = [records.locate(name, results, runs) for name in named or []]
    checked = chosen or records.paths(results)
    if not checked:
        raise UserError(f"no record in {results}; name one, or run gcl in a checkout of the companion")
    failed = 0
    for path in checked:
        try:
            record = records.load(path)
            _check_beside(path, record)
            stale = _stale(record)
            losses = _today(record) if replay and not stale else None
        except UserError as error:
            failed += 1
            print(error, flush=True)
            continue
        if losses:
            stale = records.verify(record, losses)
        failed += bool(stale)
        print(f"{path}: {stale or 'holds'}", flush=True)
        if losses and (stale or len(chosen) == 1):
            steps = records.replay(record.fingerprint, losses)
            print_table(("stage", "step", "record", "today", ""), map(_step_row, steps))
    for path in [] if chosen else sorted((results / "saturation").glob("**/*.json")):
        try:
            saturation.load(path)
            print(f"{path}: holds", flush=True)
        except UserError as error:
            failed += 1
            print(error, flush=True)
    raise typer.Exit(1 if failed else 0)


def _check_beside(path: Path, record: "RunRecord") -> None:
    """Refuse a record that contradicts itself, or has beside it what is not its own."""
    from gclib import embeddings, records
    from gclib.train import audit

    if found := audit.contradictions(record):
        raise records.RecordError(path, found[0])
    if (weights := records.weights_path(path)).exists():
        records.check_weights(weights)
    if (embedding := path.with_suffix(embeddings.SUFFIX)).exists():
        embeddings.check(embedding, record)


def _stale(record: "RunRecord") -> str | None:
    from gclib.train import audit

    other = audit.other_recipe(record)
    return other and f"stale: {other}"


def _step_row(step: Any) -> list[object]:
    losses = ("-" if loss is None else f"{loss:.9f}" for loss in (step.recorded, step.now))
    return [step.stage, step.step, *losses, "" if step.equal else "differs"]


def _today(record: "RunRecord") -> list[list[float]]:
    """Fingerprint of a record's recipe by the code of today."""
    from pydantic import ValidationError

    from gclib.recipes import Recipe
    from gclib.train.fingerprint import fingerprint

    try:
        recipe = Recipe.model_validate(record.recipe)
    except ValidationError as error:
        raise UserError(
            f"{record.identity}: the recipe of this record is none of today's ({error.errors()[0]['msg']}); "
            "run it again"
        ) from None
    return fingerprint(recipe)


@app.command()
def compare(first: RecordPath, second: RecordPath) -> None:
    """Compare two records: the settings in which they differ, then what came out of both.

    Example:

        gcl records compare results/paper/cifar10-ir100/ce/seed0.json runs/0123456789abcdef/record.json

    Exit codes: 0 done; 2 no valid record.
    """
    from gclib import records

    rows = records.compare(records.load(first), records.load(second))
    print_table(
        ("field", "first", "second", "change"),
        ((r.field, r.first, r.second, "" if r.change is None else f"{r.change:+g}") for r in rows),
    )
