"""The wheel, away from the checkout: it holds what the package reads, and says what it cannot do there."""

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import nbformat
import pytest

ROOT = Path(__file__).parents[1]
# Each with what it says and its exit code, in a folder where nothing is.
COMMANDS = {
    "recipes gcl-official": ("Li et al.", 0),
    "data check digits": ("digits: whole", 0),
    "grid table1 --dry-run": ("0 done", 0),
    "records verify": ("no record in", 2),
    "records list": ("no folder", 2),
    "params training": ("no notebooks in", 2),
    "run training": ("no notebooks in", 2),
    "refresh": ("no notebooks in", 2),
    "book": ("no _toc.yml in", 2),
    "grid table1 --data digits --ratio 20 --scale smoke": ("no folder", 2),
}

# What only the extras of pyproject.toml install.
TOOLS = "papermill nbformat nbclient IPython jupyter_book sphinx plotly yaml snakemake psutil playwright pytest".split()


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the contents of the wheel, built from a copy of its sources."""
    source, target = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("installed")
    shutil.copytree(ROOT / "gclib", source / "gclib", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    build = "from setuptools.build_meta import build_wheel; build_wheel('.')"
    subprocess.run([sys.executable, "-c", build], cwd=source, check=True, capture_output=True)
    (wheel,) = source.glob("gclib-*.whl")
    zipfile.ZipFile(wheel).extractall(target)
    return target


def python(code: str, installed: Path, folder: Path) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"PYTHONPATH": str(installed)}
    environment.pop("GCLIB_DATA", None)
    command = [sys.executable, "-c", code]
    return subprocess.run(command, capture_output=True, text=True, cwd=folder, env=environment)


def test_the_wheel_holds_every_file_of_the_package(installed: Path) -> None:
    def files(root: Path) -> set[Path]:
        found = (path.relative_to(root) for path in (root / "gclib").rglob("*") if path.is_file())
        return {path for path in found if "__pycache__" not in path.parts}

    assert files(installed) == files(ROOT)


def test_everything_imports_and_reads_what_it_comes_with(installed: Path, tmp_path: Path) -> None:
    code = """
import importlib, pkgutil, gclib
for module in pkgutil.walk_packages(gclib.__path__, "gclib."):
    if not module.name.endswith("__main__"):
        importlib.import_module(module.name)
from gclib import deviations, paper
print(gclib.__file__, gclib.ROOT, len(paper.cells(1)) > 0, len(deviations.differences()) > 0)
"""
    done = python(code, installed, tmp_path)
    assert done.stdout == f"{installed}/gclib/__init__.py {tmp_path} True True\n", done.stderr
    assert not list(tmp_path.iterdir())


def test_what_needs_no_checkout_works_and_the_rest_says_so_in_one_line(
    installed: Path, tmp_path: Path
) -> None:
    code = f"""
import sys
from gclib import cli
for words in {[words.split() for words in COMMANDS]!r}:
    sys.argv = ["gcl", *words]
    try:
        cli.main()
    except SystemExit as done:
        print("exit", done.code or 0, flush=True)
"""
    done = python(code, installed, tmp_path)
    said = done.stdout.replace("exit", "\nexit").split("exit ")
    assert [int(part[0]) for part in said[1:]] == [code for _, code in COMMANDS.values()], done.stderr
    lines = done.stderr.splitlines()
    assert len(lines) == sum(code == 2 for _, code in COMMANDS.values())
    for text, code in COMMANDS.values():
        assert text in (done.stderr if code else done.stdout)
    assert not list(tmp_path.iterdir())


def test_the_loss_trains_in_a_loop_of_ones_own_without_the_tools_that_make_the_book(
    installed: Path, tmp_path: Path
) -> None:
    page = nbformat.read(ROOT / "notebooks" / "your-model.ipynb", as_version=4)
    loop = next(cell.source for cell in page.cells if cell.id == "the-loop")
    code = f"""
import sys
for tool in {TOOLS}:
    sys.modules[tool] = None  # as if it were not installed
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset
from gclib.losses import GCLLoss
from gclib.networks import CosineClassifier
from gclib.sampling import ClassSampler
seed, epochs, counts = 0, 1, [90, 9]
train_set = TensorDataset(torch.randn(99, 16), torch.tensor([0] * 90 + [1] * 9))
backbone = lambda: nn.Linear(16, 32)
report = lambda *words, **numbers: print("done", float(loss) > 0, len(list(ClassSampler([0, 0, 1], "class"))))
"""
    done = python(code + loop, installed, tmp_path)
    assert done.stdout == "done True 3\n", done.stderr
