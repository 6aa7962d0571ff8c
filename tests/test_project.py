"""The project as a whole: direction of imports, length of files, the lists of requirements, stray paths."""

import ast
import json
import re
import subprocess
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[1]
ORDER = (  # a module or package of gclib imports only from earlier ones
    "errors arrays files data networks sampling losses metrics geometry records methods recipes "
    "classifier train embeddings saturation paper tables deviations figures notebook "
    "grid cli"
).split()
TRAINING = (
    "fleet world evaluation device environment checkpoints progress resident streamed features making calibration "
    "capture parts optimizer steps plan effort audit loop runner launch fingerprint runs kept"
).split()
CONDA_NAMES = {
    "torch": "pytorch",
    "matplotlib": "matplotlib-base",
    "seaborn": "seaborn-base",
}
MAX_LINES, TOLERANCE = 300, 1.15  # one subject a file; docstrings that say shapes and units need some room


def sources() -> list[Path]:
    return sorted((ROOT / "gclib").rglob("*.py"))


def module_name(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def path_of(module: str) -> Path | None:
    path = ROOT.joinpath(*module.split("."))
    return next((p for p in (path.with_suffix(".py"), path / "__init__.py") if p.exists()), None)


def rank(module: str) -> float:
    """Place of a module in the one direction of imports; gclib itself stands before all."""
    _, *below = module.split(".")
    if not below:
        return -1
    assert below[0] in ORDER, f"{module} has no place in ORDER yet: put it where it belongs"
    if below[0] != "train" or len(below) == 1:
        return ORDER.index(below[0])
    if path_of(module) is None:  # a function that gclib.train offers
        return ORDER.index("train")
    assert below[1] in TRAINING, f"{module} has no place in TRAINING yet: put it where it belongs"
    return ORDER.index("train") - 1 + (1 + TRAINING.index(below[1])) / (1 + len(TRAINING))


def imports(path: Path) -> set[str]:
    """Modules of gclib that the file imports, anywhere in it."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "a relative import hides the direction; write gclib. in full"
            names = [
                f"{node.module}.{alias.name}" for alias in node.names if alias.name.islower()
            ]  # not constants
            found.update(names if node.module in ("gclib", "gclib.train") else [node.module])
    return {name for name in found if re.match(r"gclib\.(?!__)", name)}


@pytest.mark.parametrize("path", sources(), ids=module_name)
def test_imports_go_one_way(path: Path) -> None:
    module = module_name(path)
    later = {other for other in imports(path) if rank(other) > rank(module)}
    assert not later, f"{module} imports from modules that come after it"


@pytest.mark.parametrize("path", sources(), ids=module_name)
def test_files_are_short(path: Path) -> None:
    lines = len(path.read_text(encoding="utf-8").splitlines())
    assert lines <= MAX_LINES * TOLERANCE, f"{lines} lines; split it by subject"


def requirements(text: str) -> tuple[str, str]:
    name, specifier = re.fullmatch(r"([A-Za-z0-9_.-]+?)\s*((?:[<>=!~].*)?)", text).groups()
    return name, specifier.replace(" ", "")


def declared() -> dict[str, str]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    groups = [project["dependencies"], *project["optional-dependencies"].values()]
    return dict(requirements(text) for group in groups for text in group)


def test_conda_environment_matches_pyproject() -> None:
    listed = yaml.safe_load((ROOT / "environment.yml").read_text())["dependencies"]
    by_pip = next(item["pip"] for item in listed if isinstance(item, dict))
    assert "-e ." in by_pip
    by_conda = dict(requirements(text) for text in listed if isinstance(text, str))
    assert by_conda.pop("pip") == ""
    assert by_conda.pop("python") == ">=3.11,<3.14"
    by_pip = dict(requirements(text) for text in by_pip if text != "-e .")
    expected = {CONDA_NAMES.get(name, name): specifier for name, specifier in declared().items()}
    assert by_conda | by_pip == expected


def test_lock_pins_every_requirement_exactly_and_names_no_place() -> None:
    lines = (ROOT / "requirements.lock").read_text().splitlines()
    pins = [line for line in lines if not line.startswith("#")]
    assert all(re.fullmatch(r"[a-z0-9.-]+==[^ ;]+( ; .+)?", line) for line in pins)
    assert set(declared()) <= {line.split("==")[0] for line in pins}
    assert not re.search(r"https?:|file:|/", "\n".join(lines))


def test_text_names_no_place_of_one_machine(git: Callable[..., str]) -> None:
    pattern = re.compile(r"(?<![\w.])/(?:home|root|Users|work)/\w|/tmp/\w+/\w|pypi[.]org|python[h]osted")
    for name in git("ls-files").splitlines():
        try:
            found = pattern.search((ROOT / name).read_text(encoding="utf-8"))
        except (UnicodeDecodeError, FileNotFoundError):  # a binary file; one that is being replaced
            continue
        assert not found, f"{name}: {found.group(0)}"


def test_importing_the_package_needs_no_tool_of_the_book() -> None:
    modules = [m for m in map(module_name, sources()) if rank(m) < ORDER.index("tables")]
    tools = "papermill plotly nbformat nbclient IPython ipykernel sphinx yaml".split()
    code = f"import sys; [__import__(m) for m in {modules}]; print([t for t in {tools} if t in sys.modules])"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"


READ = """
sampling data data.known methods.settings recipes records paper metrics geometry tables deviations saturation train.plan
grid figures.style figures.results notebook cli
""".split()


# Each in a process of its own, forked from one that has loaded what all of them may.
FORKING = """
import os, sys
import matplotlib.pyplot, numpy, pydantic, typer
for name, code, unwanted in {cases}:
    if not os.fork():
        exec(code, {{}})
        found = [module for module in unwanted if module in sys.modules]
        os.write(1, f"{{name}} {{' '.join(found)}}\\n".encode())
        os._exit(0)
    os.wait()
"""


def loaded_by(codes: dict[str, str], unwanted: list[str]) -> dict[str, list[str]]:
    """Run pieces of code, each alone, and return which unwanted modules each has loaded."""
    cases = [(name, code, unwanted) for name, code in codes.items()]
    code = FORKING.format(cases=cases)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return {name: found for name, *found in map(str.split, done.stdout.splitlines())}


def test_extensions_of_the_book_load_no_torch() -> None:
    folder = ROOT / "book" / "_ext"
    names = sorted(path.stem for path in folder.glob("*.py"))
    code = f"import sys; sys.path.insert(0, {str(folder)!r}); [__import__(name) for name in {names}]"
    assert len(names) > 10
    assert loaded_by({"extensions": code}, ["torch", "torchvision"]) == {"extensions": []}


def test_what_only_reads_needs_no_torch() -> None:
    found = loaded_by({module: f"import gclib.{module}" for module in READ}, ["torch", "sklearn", "pandas"])
    assert found == {module: [] for module in READ}


PAGES = "results table1 noise ablations text-and-code claims calibration deviations speed short-runs".split()


def imports_of(page: str) -> str:
    cells = json.loads((ROOT / "notebooks" / f"{page}.ipynb").read_text(encoding="utf-8"))["cells"]
    lines = [
        line for cell in cells if cell["cell_type"] == "code" for line in "".join(cell["source"]).split("\n")
    ]
    return "\n".join(line for line in lines if re.match(r"(import|from) ", line))


def test_a_page_that_only_shows_results_starts_without_torch() -> None:
    found = loaded_by({page: imports_of(page) for page in PAGES}, ["torch", "seaborn"])
    assert found == {page: [] for page in PAGES}


def test_what_runs_left_in_the_repository_stays_small(git: Callable[..., str]) -> None:
    sizes = {name: (ROOT / name).stat().st_size for name in git("ls-files", "results").splitlines()}
    assert max(sizes.values()) < 2e6
    assert sum(sizes.values()) < 15e6
