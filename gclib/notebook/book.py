"""The book: HTML from notebooks and prose, as committed or executed anew in a copy."""

import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

from gclib.errors import NotebookError, UserError
from gclib.notebook.execution import ROOT, execute_in_place
from gclib.notebook.status import Effort, note, noted
from gclib.notebook.surroundings import surroundings

__all__ = ["build", "pages", "sphinx"]

SOURCES = ("book", "notebooks")  # beside the files at the top of the checkout
AT_ONCE = 2  # notebooks executed side by side, each on one thread
LARGE = 1_500_000  # kB that the largest of them takes


def build(
    output: Path, execute_first: bool = False, report: Callable[[str, float], None] | None = None
) -> Path:
    """Build the HTML of the book, strictly: a warning fails it.

    Parameters
    ----------
    output
        Folder to build in: the site goes to ``_build/html``, executed copies of the sources to ``_source``.
    execute_first
        Execute every notebook of ``_toc.yml`` with its defaults (smoke scale) in a copy of the sources and
        build from that copy. Otherwise the committed outputs are shown.
    report
        Called with the name and the seconds of each executed notebook.

    Returns
    -------
    Path
        ``index.html`` of the site.

    Raises
    ------
    UserError
        If the checkout is no book, or `output` cannot be written.
    NotebookError
        If notebooks fail (all are tried) or Sphinx finds fault.
    """
    output, source = output.resolve(), ROOT
    if not (ROOT / "_toc.yml").is_file():
        raise UserError(f"no _toc.yml in {ROOT}; run gcl from a checkout of the book")
    try:
        output.mkdir(parents=True, exist_ok=True)
        if execute_first:
            source = _copy(output / "_source")
    except OSError as error:
        raise UserError(f"cannot write {error.filename}: {error.strerror}; give another --output") from None
    if execute_first:
        _execute_all(pages(source), report or (lambda name, seconds: None))
    return sphinx(source, output, "html") / "html" / "index.html"


def sphinx(source: Path, output: Path, builder: str) -> Path:
    """Build the book at `source` with one of Jupyter Book's builders, strictly; return the folder of what was built.

    Raises
    ------
    NotebookError
        If Sphinx finds fault.
    """
    # Pages live to the end of a build: looking for garbage among them takes a quarter of its time, for 0.5 of 1.4 GB.
    program = "import gc; gc.disable(); from jupyter_book.cli.main import main; main()"
    command = [sys.executable, "-c", program, "build", str(source)]
    # --all: Sphinx would not repeat the warnings of a page that did not change since a failed build.
    command += ["--path-output", str(output), "--all", "-W", "-n", "--keep-going", "--builder", builder]
    with TemporaryDirectory(prefix="gclib-") as settings:
        clean = surroundings(os.environ, settings)
        result = subprocess.run(command, capture_output=True, text=True, encoding="utf-8", env=clean)
    if result.returncode:
        log = re.sub(r"\x1b\[[0-9;]*m", "", result.stdout + result.stderr).splitlines()
        faults = [line for line in log if re.search(r"WARNING|ERROR|^\w+Error: \S", line)] or log[-20:]
        raise NotebookError("the book did not build:\n" + "\n".join(dict.fromkeys(faults)))
    return output / "_build"


def pages(source: Path) -> list[Path]:
    """Notebooks of the book at `source`, in the order of its ``_toc.yml``."""
    import yaml

    def files(node: object) -> list[str]:
        if isinstance(node, list):
            return [name for item in node for name in files(item)]
        if isinstance(node, dict):
            own = [node[key] for key in ("root", "file") if key in node]
            return own + [name for value in node.values() for name in files(value)]
        return []

    toc = yaml.safe_load((source / "_toc.yml").read_text(encoding="utf-8"))
    candidates = [(source / name).with_suffix(".ipynb") for name in files(toc)]
    return [path for path in candidates if path.is_file()]


def _copy(target: Path) -> Path:
    for folder in (ROOT / name for name in SOURCES):
        if target.resolve().is_relative_to(folder.resolve()):
            raise UserError(
                f"cannot build in {target}: {folder} is a source of the book; name a folder outside of it"
            )
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir()
    for path in ROOT.iterdir():
        if path.is_file() and not path.name.startswith("."):
            shutil.copy2(path, target)
    for name in SOURCES:
        shutil.copytree(ROOT / name, target / name, ignore=shutil.ignore_patterns(".*", "__pycache__"))
    return target


def side_by_side(memory: Path = Path("/proc/meminfo")) -> int:
    """Return how many notebooks to execute at once: `AT_ONCE`, or one where memory for so many large ones is not free.

    Parameters
    ----------
    memory
        Where Linux says what is free; elsewhere nothing is known of it.
    """
    free = re.search(
        r"^MemAvailable: +(\d+) kB", memory.read_text() if memory.is_file() else "", re.MULTILINE
    )
    return 1 if free and int(free[1]) < AT_ONCE * LARGE else AT_ONCE


def _execute_all(paths: list[Path], report: Callable[[str, float], None]) -> None:
    faults = []
    # Leaving the block ends the workers, and a kernel ends with its worker: an interrupt stops everything.
    from multiprocessing import get_context

    # The longest first, so that none is left over at the end.
    paths = sorted(paths, key=lambda path: -noted(path.parent).get(path.stem, {}).get("seconds", 0.0))
    with get_context("spawn").Pool(side_by_side(), signal.signal, (signal.SIGINT, signal.SIG_IGN)) as pool:
        for path, result in zip(paths, pool.imap(_attempt, paths), strict=True):
            if isinstance(result, Effort):
                note(path, result)
                report(path.stem, result.seconds)
            else:
                faults.append(str(result))
    if faults:
        raise NotebookError("\n\n".join(faults))


def _attempt(path: Path) -> Effort | Exception:
    try:
        return execute_in_place(path)
    except (UserError, NotebookError) as error:
        return error
