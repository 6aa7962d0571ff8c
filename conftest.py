"""What all tests share: one thread, no progress bars, and what is expensive, made once a session."""

import atexit
import fcntl
import gc
import os
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
from collections import defaultdict
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import forks
import pytest

from gclib.notebook import KEEP_MEMORY, surroundings

if TYPE_CHECKING:
    from gclib.data import LongTailed

# Before torch is imported, and for every kernel that the tests start: the environment that notebooks get elsewhere,
# and no progress bars in stored outputs. The workers of pytest-xdist keep their memory as kernels do.
SETTINGS = tempfile.TemporaryDirectory(prefix="gclib-")
CLEAN = surroundings(os.environ, SETTINGS.name) | KEEP_MEMORY | {"GCLIB_PROGRESS": "0"}
for name in os.environ.keys() - CLEAN.keys():
    del os.environ[name]
os.environ.update(CLEAN)
# What is imported and collected lives to the end: looking for garbage among it took two fifths of the collection.
gc.disable()
atexit.register(gc.unfreeze)  # Triton complains of what an end leaves
# A job that a shell runs in the background ignores an interrupt, and so would all that the tests start and interrupt.
signal.signal(signal.SIGINT, signal.default_int_handler)

ROOT = Path(__file__).parent
UNPACK = ROOT.parent / "shared" / "data" / "unpack_cifar.py"


# What takes longest comes first. test_book builds what test_browser looks at, and test_grid_engine waits for processes.
FIRST = """test_book test_grid_engine miniature test_browser test_chapters training test_fingerprint add-your-loss
    test_kernels test_parts test_notebook test_reweight test_launch test_building test_benchmarks test_wheel
    temperature-and-labels embedding test_photo_networks test_extending test_surroundings test_probe test_hybrid
    add-your-data test_classifier your-model test_project test_cli chance test_workflows test_resume test_weights
    test_pretrained test_installation logit-adjustment""".split()


def pytest_configure(config: pytest.Config) -> None:
    """Let workers and kernels of a run on several processes be forked from one more that imports once for all."""
    if getattr(config.option, "numprocesses", None) and sys.platform == "linux":
        workers = len(config.option.tx)
        config.add_cleanup(forks.start(f"{SETTINGS.name}/forks", workers))
        config.option.tx = [f"popen//python={shlex.join(forks.client())}"] * workers
    elif forks.ADDRESS in os.environ:
        forks.use()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the dearest files first, so that no worker is left alone with one of them at the end."""
    place = {name: k for k, name in enumerate(FIRST)}
    items.sort(key=lambda item: place.get(item.path.stem, len(FIRST)))


def pytest_collection_finish() -> None:
    gc.freeze()
    gc.enable()


def cpu_seconds() -> float:
    """What this process, its ended children and kernels have taken so far."""
    return sum(os.times()[:4]) + forks.Forked.cpu_seconds


CPU_SECONDS = defaultdict[str, float](float)
WALL_SECONDS = defaultdict[str, float](float)
_last = cpu_seconds()


def pytest_runtest_logstart() -> None:
    global _last
    _last = cpu_seconds()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Let each report tell the CPU seconds since the one before: what pytest-xdist passes on."""
    global _last
    report = yield
    now = cpu_seconds()
    report.cpu, _last = now - _last, now
    return report


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    file = report.nodeid.partition("::")[0]
    CPU_SECONDS[file] += getattr(report, "cpu", 0.0)  # a report of a worker that died has none
    WALL_SECONDS[file] += report.duration


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Show where the time went."""
    if len(CPU_SECONDS) < 2:
        return
    files = sorted(CPU_SECONDS, key=lambda name: -CPU_SECONDS[name])
    terminalreporter.section("dearest files and pages")
    terminalreporter.write_line("  CPU s   wall s")
    for name in files[:20]:
        terminalreporter.write_line(f"{CPU_SECONDS[name]:7.1f}  {WALL_SECONDS[name]:7.1f}  {name}")
    total, wall = (sum(seconds.values()) for seconds in (CPU_SECONDS, WALL_SECONDS))
    terminalreporter.write_line(f"{total:7.1f}  {wall:7.1f}  in all {len(files)}")


@pytest.fixture(scope="session")
def once(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, Callable[[Path], None]], Path]:
    """Return ``once(name, make)``: the folder that `make` filled for the first process that asked."""
    base = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        base = base.parent  # the folder that all workers of this session share

    def get(name: str, make: Callable[[Path], None]) -> Path:
        folder, part = base / name, base / f"{name}.part"
        with open(base / f"{name}.lock", "w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not folder.exists():
                shutil.rmtree(part, ignore_errors=True)
                part.mkdir()
                make(part)
                part.rename(folder)
        return folder

    return get


@pytest.fixture(scope="session")
def digits() -> "LongTailed":
    """The digits at their usual imbalance ratio."""
    from gclib.data import load

    return load("digits", 20)


@pytest.fixture(scope="session")
def cifar() -> "LongTailed":
    """The numbers of CIFAR-10-LT at ratio 100, with black images of one pixel."""
    from factories import black_cifar

    return black_cifar()


@pytest.fixture
def git() -> Callable[..., str]:
    """What git prints in this checkout; the test skips where there is none, as in an unpacked archive."""
    if not (ROOT / ".git").exists():
        pytest.skip("no git checkout: unpacked from an archive")

    def ask(*words: str) -> str:
        command = ["git", "-c", f"safe.directory={ROOT}", *words]
        return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout

    return ask


@pytest.fixture(scope="session")
def real_cifar(once: Callable) -> Path:
    """Folder with the official files of CIFAR-10 and CIFAR-100, a `root` for ``gclib.data.load``."""
    own = Path(os.environ.get("GCLIB_DATA") or ROOT / "data")
    if all((own / name).is_file() for name in ("cifar-10-batches-py/batches.meta", "cifar-100-python/meta")):
        return own
    if not UNPACK.is_file():
        pytest.skip("no real CIFAR: not in GCLIB_DATA, not in data/, and no ../shared to unpack it from")
    # Beside the folders of sessions, so that the next one finds it.
    return once("../cifar", lambda folder: subprocess.run([sys.executable, UNPACK, folder], check=True))


@pytest.fixture(scope="session")
def book(once: Callable) -> Path:
    """Folder of the HTML, built strictly from the committed outputs, by a Python that has no torch."""
    from gclib.notebook import build

    def without_torch(folder: Path) -> None:
        hidden = folder / "hidden"
        hidden.mkdir()
        for name in ("torch", "torchvision"):
            (hidden / f"{name}.py").write_text(f"raise ModuleNotFoundError({name!r}, name={name!r})")
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("PYTHONPATH", str(hidden), prepend=os.pathsep)
            build(folder)

    return once("book", without_torch) / "_build" / "html"


@pytest.fixture(scope="session")
def chromium() -> str:
    """Path of the browser that the book is looked at with."""
    from gclib.notebook.edition import find_chromium

    found = find_chromium()
    if found is None:
        without = pytest.fail if os.environ.get("GCLIB_NEEDS_BROWSER") else pytest.skip
        without("no Chromium found: install chromium or google-chrome to check the book in a browser")
    return found


@pytest.fixture
def gcl(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> Callable[..., tuple[int, str, str]]:
    """Run ``gcl`` with the words that are given; return exit code, stdout and stderr."""
    from gclib import cli

    def call(*words: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["gcl", *map(str, words)])
        capsys.readouterr()
        with pytest.raises(SystemExit) as done:
            cli.main()
        return done.value.code or 0, *capsys.readouterr()

    return call


@pytest.fixture(scope="module")
def without_fingerprint() -> Iterator[None]:
    """Let runs go without the fingerprint, which takes longer than small ones and is tested by itself."""
    from training import no_fingerprint

    from gclib.train import runs

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(runs, "fingerprint", no_fingerprint)
        yield


@pytest.fixture(scope="module")
def each_epoch_saved() -> Iterator[None]:
    """Save each epoch, however short: for tests of what a stopped run leaves."""
    from gclib.train import loop

    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(loop.BETWEEN_CHECKPOINTS, "cpu", 0.0)
        yield


@pytest.fixture(scope="module")
def small_networks() -> Iterator[None]:
    """Train a network of two convolutions where a recipe says ResNet-32: for tests in which any will do."""
    from training import small_network

    from gclib import classifier
    from gclib.networks import weights
    from gclib.train import making, runner

    with pytest.MonkeyPatch.context() as patch:
        for module in (making, runner, weights, classifier):
            patch.setattr(module, "make_network", small_network)
        yield


@pytest.fixture
def epochs(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the stages of all epochs that are trained from now on."""
    from gclib.train.loop import Trainer

    seen, original = [], Trainer.train_epoch

    def watched(trainer: Trainer, epoch: int) -> float:
        seen.append(trainer.settings.name)
        return original(trainer, epoch)

    monkeypatch.setattr(Trainer, "train_epoch", watched)
    return seen
