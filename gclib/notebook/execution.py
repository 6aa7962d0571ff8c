"""Execution of notebooks by papermill, and the refresh of the committed copies.

A relative path among the values of a notebook is relative to the folder of the caller, as under plain
papermill; a notebook itself depends on no working directory, because `gclib` knows where the checkout lies.
"""

import logging
import os
import re
import sys
import time
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from gclib import ROOT
from gclib.errors import NotebookError, UserError, nearest
from gclib.files import home_expanded, require_writable, write_atomically
from gclib.notebook import installation
from gclib.notebook.grammar import check, parameters, read
from gclib.notebook.kernel import KERNEL, PEAK, kernel_manager, last_words
from gclib.notebook.outputs import wrong
from gclib.notebook.status import Effort, note

__all__ = [
    "ROOT",
    "execute",
    "find",
    "names",
    "refresh",
    "strip",
]

NOTEBOOKS = ROOT / "notebooks"
# A kernel reports the name of an exception, not its bases.
USER_ERRORS = ("UserError", "RecordError", "InUseError", "DivergedError", "LostError")
START_TIMEOUT = 300  # seconds: a first start compiles what it imports, on a slow disk


def execute(
    path: str | Path, output: str | Path, given: Mapping[str, object] | None = None, progress: bool = False
) -> float:
    """Execute a notebook in this Python, on one thread, and write the executed copy once all of it ran.

    Parameters
    ----------
    path
        The notebook.
    output
        Where the executed copy goes, without the metadata of the run (see `strip`): another file, in ``.ipynb``.
    given
        Values that replace defaults, as `check` takes them.
    progress
        Whether to show the epochs of training on this terminal, if standard error is one.

    Returns
    -------
    float
        Seconds, from the start of the kernel to its end.

    Raises
    ------
    UserError
        If a value is refused, `output` cannot be written, or a cell raises an error of this kind itself.
    NotebookError
        If a cell fails otherwise; the message holds the cell and the end of the traceback. An assertion of the page
        fails with its defaults alone; with other values `not_held` has it.
    """
    path, output = Path(path), Path(output)
    stated = parameters(path)
    values = check(stated, given or {})
    if output.exists() and output.samefile(path):
        raise UserError(f"{output} is the notebook itself, which stays as it is; name another output")
    if output.suffix != ".ipynb" and not output.is_dir():
        raise UserError(f"output {output}: expected a notebook; let its name end with .ipynb")
    as_committed = all(values.get(one.name, one.default) == one.default for one in stated)
    return _execute(read(path), path.name, output, values, progress, as_committed).seconds


def execute_in_place(path: Path) -> Effort:
    """Execute a notebook with its defaults and replace it by the executed copy; errors as of `execute`."""
    parameters(path)  # refuses what breaks their grammar
    return _execute(read(path), path.name, path, {}, progress=False)


def _execute(
    notebook: Any,
    name: str,
    output: Path,
    values: Mapping[str, object],
    progress: bool,
    as_committed: bool = True,
) -> Effort:
    require_writable(output)
    # Values of an earlier execution would win over the defaults.
    notebook.cells = [
        cell for cell in notebook.cells if "injected-parameters" not in cell.metadata.get("tags", [])
    ]
    import papermill
    from nbclient.exceptions import DeadKernelError

    # Names are checked already, and what goes wrong is told below.
    logging.getLogger("papermill").setLevel(logging.CRITICAL)
    started = time.perf_counter()
    with TemporaryDirectory(prefix="gclib-") as scratch:
        said = Path(scratch, "stderr")
        try:
            notebook = papermill.execute_notebook(
                notebook,
                None,
                parameters=values,
                kernel_name=KERNEL["name"],
                language=KERNEL["language"],
                progress_bar=False,
                start_timeout=START_TIMEOUT,
                kernel_manager_class=kernel_manager(
                    said, os.ttyname(2) if progress and os.isatty(2) else "0"
                ),
                coalesce_streams=True,
            )
        except papermill.PapermillExecutionError as error:
            raise _failure(name, error) from None
        except DeadKernelError:
            raise NotebookError(
                f"{name}: the kernel died; likely it ran out of memory{last_words(said)}"
            ) from None
        except (RuntimeError, OSError) as error:  # what jupyter_client raises when it starts one
            raise NotebookError(
                f"{name}: no kernel started in {sys.executable}: {error}{last_words(said)}"
            ) from None
        peak = said.with_name(PEAK)
        memory = int(peak.read_text()) if peak.is_file() else None
    seconds = time.perf_counter() - started
    if as_committed and (lines := wrong(notebook)):
        raise NotebookError(f"{name} says what its own parameters do not bear out:\n" + "\n".join(lines))
    _write(strip(notebook), output)
    return Effort(seconds, memory)


def _failure(name: str, error: Any) -> Exception:
    if error.ename in USER_ERRORS:
        return UserError(f"{name}: {' '.join(error.evalue.split())}")
    plain = [re.sub(r"\x1b\[[0-9;]*m", "", line) for part in error.traceback for line in part.splitlines()]
    cell = "\n".join(f"    {line}" for line in error.source.splitlines())
    return NotebookError(
        f"{name}, cell [{error.exec_count}] failed: {error.ename}: {error.evalue}\n\n{cell}\n\n"
        + "\n".join(plain[-12:])
    )


def strip(notebook: Any) -> Any:
    """Remove what differs from one execution to the next although the code does the same.

    Times, papermill's notes, the state of widgets, the Python version and the kernel's name go; outputs and
    execution counts stay, so that two executions differ only where a cell shows something that varies.

    Parameters
    ----------
    notebook
        An ``nbformat`` notebook, changed in place.

    Returns
    -------
    NotebookNode
        The same notebook.
    """
    from nbstripout import strip_output

    strip_output(
        notebook,
        keep_output=True,
        keep_count=True,
        keep_id=True,
        extra_keys=["metadata.papermill", "metadata.widgets", "metadata.language_info.version"]
        + [
            f"cell.metadata.{key}"
            for key in ("papermill", "execution", "ExecuteTime", "collapsed", "scrolled")
        ],
    )
    notebook.metadata["kernelspec"] = dict(KERNEL)
    for cell in notebook.cells:
        if not cell.metadata.get("tags", True):
            del cell.metadata["tags"]
        if "injected-parameters" in cell.metadata.get("tags", []):
            cell["id"] = "injected-parameters"  # papermill draws a random one
        for output in cell.get("outputs", []):
            output.get("data", {}).pop("application/vnd.jupyter.widget-view+json", None)
    return notebook


def refresh(paths: Iterable[str | Path] | None = None) -> Iterator[tuple[Path, float]]:
    """Execute committed notebooks with their defaults, each replaced once it ran to its end.

    The cell that installs `gclib` elsewhere is brought up to date first (see `gclib.notebook.installation`).

    Parameters
    ----------
    paths
        The notebooks; None takes all of the checkout.

    Yields
    ------
    tuple of Path and float
        Each notebook and its seconds.

    Raises
    ------
    UserError, NotebookError
        As `execute`; the notebook that failed is left as it was.
    """
    for path in [find(name) for name in names()] if paths is None else map(Path, paths):
        parameters(path)  # refuses what breaks their grammar
        effort = _execute(installation.update(read(path)), path.name, path, {}, progress=False)
        if path.resolve().parent == NOTEBOOKS:
            note(path, effort)
        yield path, effort.seconds


def names() -> list[str]:
    """Names of the notebooks of this checkout: file names without ``.ipynb``, sorted.

    Raises
    ------
    UserError
        If there are none, as where the package was installed without a checkout.
    """
    found = sorted(path.stem for path in NOTEBOOKS.glob("*.ipynb"))
    if not found:
        raise UserError(f"no notebooks in {NOTEBOOKS}; run gcl in a checkout of the companion")
    return found


def find(name: str) -> Path:
    """Return the notebook of that name, or at that path.

    Parameters
    ----------
    name
        One of `names`, or a path that ends in ``.ipynb``.

    Raises
    ------
    UserError
        If there is no such notebook.
    """
    path = home_expanded(name) if name.endswith(".ipynb") else NOTEBOOKS / f"{name}.ipynb"
    if not path.is_file():
        options = names()
        raise UserError(
            f"unknown notebook {name!r}: expected one of {', '.join(options)}, or a path that ends in .ipynb"
            + nearest(Path(name).stem, options)
        )
    return path


def _write(notebook: Any, path: Path) -> None:
    import nbformat

    text = nbformat.writes(notebook) + "\n"
    # The numbers of a list on one line: with one line for each, figures of thousands of points make megabytes.
    text = re.sub(r"\n +(?=(-?\d[\d.e+-]*|null),?\n)", " ", text)
    write_atomically(path, text.encode())
