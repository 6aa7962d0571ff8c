"""The command line: its manual, its exit codes, and one line for each mistake."""

import inspect
import os
import re
import shlex
import signal
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
import torch
import typer
from factories import make_record
from processes import until

from gclib import cli, notebook, records
from gclib.notebook import execution

GROUP = typer.main.get_command(cli.app)


def commands(group=GROUP, path=()):
    for name, command in group.commands.items():
        yield (*path, name), command
        if hasattr(command, "commands"):
            yield from commands(command, (*path, name))


LEAVES = {path: command for path, command in commands() if not hasattr(command, "commands")}
FIXED = [
    "run",
    "grid run",
    "grid pack",
    "grid unpack",
    "bench gpu",
    "bench photographs",
    "params",
    "predict",
    "export",
    "refresh",
    "book",
    "recipes",
    "train",
    "data fetch",
    "data check",
    "data list",
]
FIXED += [f"records {name}" for name in ("list", "show", "verify", "compare")]


@pytest.fixture
def checkout(tmp_path, monkeypatch):
    """A checkout with one notebook, `page`, that prints its parameter and where a record lies."""
    root = tmp_path / "checkout"
    (root / "notebooks").mkdir(parents=True)
    records.save(make_record(), root / "my runs" / "record.json")
    place = os.path.relpath(root / "my runs" / "record.json", execution.ROOT)
    monkeypatch.setattr(notebook, "ROOT", root)
    monkeypatch.setattr(execution, "NOTEBOOKS", root / "notebooks")
    cells = [
        nbformat.v4.new_code_cell(
            'count: int = 2  # how many; in [1, 5]\nscale: str = "smoke"  # length; in {smoke, short}',
            metadata={"tags": ["parameters"]},
        ),
        nbformat.v4.new_code_cell(
            f"print(count, scale)\nprint('record: of a run')\nprint('record:', {place!r})"
        ),
    ]
    nbformat.write(nbformat.v4.new_notebook(cells=cells), root / "notebooks" / "page.ipynb")
    return root


# The manual


def test_these_are_the_commands():
    assert sorted(" ".join(path) for path in LEAVES) == sorted(FIXED)


def test_version(gcl):
    version = re.search(r"^## ([0-9.]+)", (execution.ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)[1]
    assert gcl("--version") == (0, f"gcl {version}\n", "")
    assert gcl("--version", "run") == (0, f"gcl {version}\n", "")  # eager: `run` lacks its notebook


@pytest.mark.parametrize("path", [(), *(path for path, _ in commands())], ids=" ".join)
def test_help_reads_like_a_manual(gcl, path):
    code, out, err = gcl(*path, "--help")
    assert (code, err) == (0, "")
    assert "Example:" in out
    assert " ".join(("gcl", *path)) in out.split("Example:")[1]
    if path in LEAVES:
        assert "Exit codes: 0" in out
    assert gcl()[0] == 0


@pytest.mark.parametrize("path", LEAVES, ids=" ".join)
def test_help_says_what_each_option_is_and_its_default(path):
    for parameter in LEAVES[path].params:
        if parameter.name != "help":
            assert parameter.help, parameter.name
            optional = not (parameter.required or getattr(parameter, "is_flag", False) or parameter.multiple)
            if optional and parameter.default is None:
                assert "[default: " in parameter.help, parameter.name


def test_no_option_is_named_by_what_stands_for_its_value():
    """Typer 0.27 calls it so in capitals where the two are the same word, unless its name is given outright."""
    for path, command in LEAVES.items():
        for name, parameter in inspect.signature(command.callback.__wrapped__).parameters.items():
            for option in getattr(parameter.annotation, "__metadata__", ()):
                if isinstance(option, typer.models.OptionInfo) and option.default is ...:  # no name
                    assert (option.metavar or "").lower() != name, (path, name)


@pytest.mark.parametrize("path", LEAVES, ids=" ".join)
def test_examples_are_valid_command_lines(path):
    examples = re.findall(r"^ +(gcl .*)$", LEAVES[path].help, re.MULTILINE)
    assert examples
    for example in examples:
        words = shlex.split(example)[1:]
        assert tuple(words[: len(path)]) == path
        LEAVES[path].make_context("gcl", words[len(path) :])


def test_the_light_commands_import_nothing_heavy(checkout):
    page = checkout / "notebooks" / "page.ipynb"
    code = f"""
import sys
from gclib import cli
for words in (["--help"], ["params", {str(page)!r}]):
    sys.argv = ["gcl", *words]
    try:
        cli.main()
    except SystemExit as done:
        assert not done.code, done.code
print([name for name in ("torch", "papermill", "numpy", "matplotlib") if name in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


@pytest.mark.parametrize(
    "error",
    [torch.OutOfMemoryError("CUDA\n"), RuntimeError("CPU: can't allocate memory: you"), MemoryError()],
)
def test_a_full_memory_is_one_line(
    error: Exception, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def full(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(cli, "app", full)
    with pytest.raises(SystemExit) as left:
        cli.main()
    assert left.value.code == 1
    assert capsys.readouterr().err.startswith("gcl: there is not enough memory")


RECORD = execution.ROOT / "results" / "paper" / "cifar10-ir100" / "ce" / "seed0.json"
READING = {
    "records list": "gcl-official",
    f"records show {RECORD}": "gcl run training",
    f"records compare {RECORD} {RECORD}": "top1",
    f"records verify {RECORD}": "holds",
    "recipes": "gcl-official",
    "recipes gcl-official": "stage-two",
    "recipes gcl-official --dataset cifar100 --ratio 50": "stage-two",
    "grid table1 --dry-run": "cifar10 at ratio 100",
    "data check digits": "digits: whole",
    "data list": "inaturalist2018",
}


@pytest.fixture(scope="module")
def read(tmp_path_factory) -> Path:
    """A folder with what each of these commands prints and its exit code, by its number.

    Each in a process of its own, forked from one that has loaded what all of them may.
    """
    folder = tmp_path_factory.mktemp("read")
    code = f"""
import os, sys
import numpy, rich.table
from gclib import cli, records
for number, words in enumerate({[words.split() for words in READING]!r}):
    if not os.fork():
        for stream, name in ((1, "out"), (2, "err")):
            os.dup2(os.open(f"{{number}}.{{name}}", os.O_CREAT | os.O_WRONLY), stream)
        sys.argv = ["gcl", *words]
        try:
            cli.main()
        finally:
            print([name for name in ("torch", "torchvision", "sklearn", "pandas", "scipy") if name in sys.modules])
            sys.stdout.flush()
    print(os.waitstatus_to_exitcode(os.wait()[1]), file=open(f"{{number}}.code", "w"))
"""
    environment = os.environ | {"GCLIB_DATA": str(folder)}
    subprocess.run([sys.executable, "-c", code], cwd=folder, check=True, env=environment)
    return folder


@pytest.mark.parametrize("words", READING, ids=lambda words: " ".join(words.split()[:2]))
def test_a_command_that_only_reads_needs_no_torch(words, read):
    """Nor scikit-learn, nor the images of CIFAR."""
    number = list(READING).index(words)
    code, out, err = ((read / f"{number}.{what}").read_text() for what in ("code", "out", "err"))
    assert (code, err) == ("0\n", "")
    assert READING[words] in out
    assert out.splitlines()[-1] == "[]"


AT_HOME = [
    "data check folder:~/x",
    "data check list:~/x",
    "data check cifar10 --data ~/x",
    "recipes ce --dataset folder:~/x",
    "recipes ce --dataset cifar10 --ratio 0 --data ~/x",
    "records list ~/x",
    "records show ~/x",
    "records verify ~/x",
    "records compare ~/x ~/x",
    "grid table5 --dry-run --data folder:~/x",
    "grid unpack ~/x",
    "run ~/x.ipynb",
    "params ~/x.ipynb",
    "refresh ~/x.ipynb",
    "train ce --data folder:~/x",
    "predict ~/x photo.jpg",
    "export ~/x out.onnx",
]


@pytest.mark.parametrize("words", AT_HOME)
def test_a_tilde_is_the_home_wherever_a_path_stands(gcl, tmp_path, monkeypatch, words):
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "x.ipynb").write_text("no notebook")
    code, out, err = gcl(*words.split())
    assert code in (1, 2)
    assert str(tmp_path / "home" / "x") in out + err


# Mistakes

MISTAKES = {
    "frobnicate": "No such command",
    "run": "Missing argument 'NOTEBOOK'",
    "run page --scael short": "No such option",
    "run pgae": "unknown notebook 'pgae'.*did you mean 'page'",
    "run nowhere.ipynb": "unknown notebook 'nowhere.ipynb'",
    "run page -p cuont 3": "unknown parameter 'cuont'.*did you mean 'count'",
    "run page -p count many": r"parameter 'count': expected int in \[1, 5\], got 'many'",
    "run page -p count 6": r"parameter 'count': expected int in \[1, 5\], got '6'",
    "run page -p count": "expected -p NAME VALUE",
    "run page --scale paper": r"parameter 'scale': expected str in \{smoke, short\}, got 'paper'",
    "run page --output {root}/notebooks/page.ipynb/out.ipynb": "cannot write",
    "params pgae": "unknown notebook 'pgae'",
    "refresh page pgae": "unknown notebook 'pgae'",
    "book --output {root}/notebooks/page.ipynb": "cannot write",
    "data check digitz": "unknown data set 'digitz'.*did you mean 'digits'",
    "data check cifar10 --data {root}": "CIFAR10 is missing",
    "grid table6 --dry-run": "unknown table 'table6'.*did you mean 'table",
    "grid table1 --seeds zero": "'--seeds'.*valid integer",
    "grid table1 --data digits --ratio 20 --scale long": "unknown scale 'long'",
    "grid table2 --ratio 5 --dry-run": "--ratio is not for table2",
    "grid table1 --dry-run --gpu A100": "--gpu is for a --dry-run of table2; leave it out",
    "grid table2 --price 0 --engine here": "--price is for a --dry-run of table2; leave it out",
    "grid table1 --jobs 999999999999 --dry-run": "less than or equal to 10000",
    "bench photographs --seconds inf": "less than or equal to 86400",
    "train ce --processes 999999999999": "less than or equal to 1024",
    "grid table1 --data digitz --dry-run": "unknown data set 'digitz'.*did you mean 'digits'",
    "data": "Missing command",
    "records show nowhere.json": "nowhere.json",
    "records list //nowhere": "no folder //nowhere",
    "records list ~nosuchuser/x": "no user of that name",
    "book --output=~nosuchuser/x": "no user of that name",
    "data check cifar10 --data=~nosuchuser/x": "no user of that name",
    "grid table1 --dry-run --workdir ~nosuchuser/x": "no user of that name",
    "records compare nowhere.json nowhere.json": "nowhere.json",
    "recipes gcl-oficial": "unknown recipe 'gcl-oficial'.*did you mean 'gcl-official'",
    "recipes ce --scale long": "unknown scale 'long'",
    "recipes ce --ratio 0.5": "expected a number >= 1",
    "recipes ce --ratio many": "--ratio.*number",
    "recipes --ratio 10": "--ratio and --data are for one recipe",
    "data check folder:{root} --data {root}": "--data is not for folder:",
    "grid table1 --dry-run --budget 5": "--budget is not for --dry-run",
    "grid table1 --dry-run --engine here --jobs 2": "--jobs is not for --engine here",
    "grid table1 --dry-run --profile slurm --places 2": "--places is not for --engine snakemake",
}


@pytest.mark.parametrize("words", MISTAKES)
def test_a_mistake_ends_in_one_line_and_code_2(gcl, checkout, monkeypatch, words):
    def no_kernel():
        raise AssertionError("a kernel was asked for")

    monkeypatch.setattr(execution, "kernel_manager", no_kernel)
    before = sorted(checkout.rglob("*"))
    code, out, err = gcl(*words.format(root=checkout).split())
    assert (code, out) == (2, "")
    assert re.fullmatch(rf"gcl: .*{MISTAKES[words]}.*\n", err), err
    assert sorted(checkout.rglob("*")) == before


# Notebooks


def test_params_shows_type_default_range_and_sentence(gcl, checkout):
    code, out, err = gcl("params", "page")
    assert (code, err) == (0, "")
    row = next(line for line in out.splitlines() if "count" in line)
    assert [cell.strip() for cell in row.strip("│").split("│")] == ["count", "int", "2", "[1, 5]", "how many"]


def test_run_keeps_the_notebook_and_says_where_it_and_the_record_lie(gcl, checkout):
    before = (checkout / "notebooks" / "page.ipynb").read_bytes()
    classifier = checkout / "runs" / make_record().identity / "classifier.safetensors"
    classifier.parent.mkdir(parents=True)
    classifier.touch()
    code, out, err = gcl("run", "page", "-p", "count", "4", "--scale", "short")
    assert (code, err) == (0, "")
    assert f"classifier, for gcl predict: {classifier}" in out, "though the record was put elsewhere"
    kept = Path(re.search("^notebook: (.*)$", out, re.MULTILINE)[1])
    assert kept.parent == checkout / "runs" / "notebooks"
    told = [line for line in out.splitlines() if line.startswith("record")]
    assert told == [f"record: {checkout / 'my runs' / 'record.json'}"], (
        "whole, from anywhere, and no other text"
    )
    assert "4 short" in kept.read_text()
    assert (checkout / "notebooks" / "page.ipynb").read_bytes() == before


def test_refresh_takes_all_notebooks_by_default(gcl, checkout):
    code, out, _ = gcl("refresh")
    assert code == 0
    assert re.fullmatch(r"page: \d+\.\d s\n", out)
    assert "2 smoke" in (checkout / "notebooks" / "page.ipynb").read_text()


def test_a_failing_cell_ends_in_code_1_and_shows_the_cell(gcl, checkout):
    path = checkout / "notebooks" / "fails.ipynb"
    nbformat.write(nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("1 / 0")]), path)
    code, out, err = gcl("run", "fails")
    assert (code, out) == (1, "")
    assert err.startswith("gcl: fails.ipynb, cell [1] failed: ZeroDivisionError")
    assert list((checkout / "runs" / "notebooks").iterdir()) == []


@pytest.mark.parametrize("how", ["SIGINT", "SIGTERM"])
def test_an_interrupt_ends_the_kernel_and_leaves_nothing(tmp_path, how):
    mark = tmp_path / "pid"
    cell = f"import os, time\nopen({str(mark)!r}, 'w').write(str(os.getpid()))\ntime.sleep(600)"
    path = tmp_path / "page.ipynb"
    nbformat.write(nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell)]), path)
    command = "from gclib.cli import main; main()"
    words = ["run", str(path), "--output", str(tmp_path / "out" / "page.ipynb")]
    (litter := tmp_path / "tmp").mkdir()
    running = subprocess.Popen(
        [sys.executable, "-c", command, *words],
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "TMPDIR": str(litter)},
    )
    until(lambda: mark.exists() and mark.read_text())
    running.send_signal(signal.Signals[how])
    _, err = running.communicate(timeout=30)
    assert running.returncode == 130
    assert err == "gcl: interrupted\n"
    assert list((tmp_path / "out").iterdir()) == []
    assert list(litter.iterdir()) == []
    until(lambda: not alive(int(mark.read_text())))


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_book_prints_the_time_of_each_page_and_the_index(gcl, checkout, monkeypatch):
    def build(output, execute_first, report):
        if execute_first:
            report("page", 1.25)
        return output / "_build" / "html" / "index.html"

    monkeypatch.setattr(notebook, "build", build)
    index = checkout / "build" / "_build" / "html" / "index.html"
    assert gcl("book") == (0, f"open {index}\n", "")
    code, out, _ = gcl("book", "--execute", "--output", "elsewhere")
    assert (code, out) == (0, "page: 1.2 s\nopen elsewhere/_build/html/index.html\n")
