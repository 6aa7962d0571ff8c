"""The cell that installs gclib where it is missing."""

import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from pages import CELL, files, printed, write

from gclib import notebook
from gclib.notebook import installation

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture
def set_address(tmp_path, monkeypatch):
    """Set the public address of a checkout that is not this one; its branch is `trunk`."""
    monkeypatch.setattr(installation, "ROOT", tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))  # for the kernels
    monkeypatch.chdir(tmp_path)

    def set_(url: str) -> None:
        (tmp_path / "_config.yml").write_text(f'repository: {{url: "{url}", branch: trunk}}\n')

    return set_


@pytest.fixture
def clonable(tmp_path):
    """Address of a repository with one file on its branch `trunk`."""
    folder = tmp_path / "repository"
    git = ["git", "-C", folder, "-c", "user.name=n", "-c", "user.email=e"]
    subprocess.run(["git", "init", "-q", "-b", "trunk", folder], check=True)
    (folder / "file").write_text("")
    subprocess.run([*git, "add", "file"], check=True)
    subprocess.run([*git, "commit", "-q", "-m", "m"], check=True)
    return folder.as_uri()


def test_refresh_puts_the_installation_in_with_an_address_and_takes_it_out_without(set_address, tmp_path):
    path = write(tmp_path / "page.ipynb", "print(count)", parameters=CELL.strip())
    allowed = notebook.parameters(path)
    list(notebook.refresh([path]))  # no _config.yml at all
    without = path.read_bytes()
    for url in ("https://github.com/someone/old", "https://github.com/someone/new"):
        set_address(url)
        list(notebook.refresh([path]))
    cell, *others = nbformat.read(path, as_version=4).cells
    assert [other.id for other in others] == ["parameters", "cell-0"]
    assert (cell.id, cell.metadata) == ("installation", {"tags": ["remove-cell"]})
    assert "someone/new" in cell.source
    assert (cell.execution_count, cell.outputs) == (1, [])
    assert notebook.parameters(path) == allowed
    assert files(tmp_path) == ["_config.yml", "page.ipynb"]  # nothing was cloned
    ruff = [sys.executable, "-m", "ruff"]
    for command in (["check", "--no-cache"], ["format", "--check", "--no-cache"]):
        subprocess.run([*ruff, *command, "--config", ROOT / "pyproject.toml", path], check=True)
    set_address("")
    list(notebook.refresh([path]))
    assert path.read_bytes() == without


def test_a_notebook_with_the_installation_runs_as_any_other(set_address, tmp_path):
    set_address("https://github.com/someone/companion")
    path = write(tmp_path / "page.ipynb", "print(count)")
    list(notebook.refresh([path]))
    notebook.execute(path, tmp_path / "ours.ipynb", {"count": "3"})
    assert printed(tmp_path / "ours.ipynb") == "3\n"
    command = [sys.executable, "-m", "papermill", "page.ipynb", "plain.ipynb", "-k", "python3", "-p", "count"]
    subprocess.run([*command, "4"], check=True, capture_output=True)
    assert printed(tmp_path / "plain.ipynb") == "4\n"


def test_the_installation_clones_and_installs_only_where_gclib_is_missing(
    set_address, clonable, tmp_path, monkeypatch
):
    set_address(clonable)
    document = nbformat.read(write(tmp_path / "page.ipynb"), as_version=4)
    source = installation.update(document).cells[0].source
    run, commands = subprocess.run, []

    def record(command: list, check: bool) -> None:
        assert check
        commands.append(command)
        if command[0] == "git":
            run(command, check=True, capture_output=True)

    monkeypatch.setattr(subprocess, "run", record)
    monkeypatch.setattr(sys, "path", [*sys.path])
    exec(source, {})
    assert commands == []
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    exec(source, {})
    checkout = tmp_path / "gcl-companion"
    install = [sys.executable, "-m", "pip", "install", "-q", "-e", f"{checkout}[book,photos]"]
    clone = ["git", "clone", "--depth=1", "--branch=trunk", clonable, checkout]
    assert commands == [clone, install]
    assert (checkout / "file").is_file()
    assert sys.path[-1] == str(checkout)
    exec(source, {})  # again, as after an installation that failed
    assert commands == [clone, install, install]


@pytest.mark.parametrize("name", notebook.names())
def test_committed_notebooks_have_the_installation_that_the_address_asks_for(name):
    path = notebook.find(name)
    committed, expected = (nbformat.read(path, as_version=4) for _ in range(2))
    sources = [cell.source for cell in installation.update(expected).cells]
    assert [cell.source for cell in committed.cells] == sources, "run `make refresh`"
