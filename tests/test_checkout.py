"""A checkout that was copied or moved: its own code runs, or it is said whose does."""

import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


def test_code_of_one_checkout_says_so_in_another(
    gcl: Callable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "copy" / "gclib").mkdir(parents=True)
    (tmp_path / "copy" / "gclib" / "__init__.py").touch()
    for folder in (tmp_path, ROOT, ROOT / "notebooks"):
        monkeypatch.chdir(folder)
        assert gcl("--version")[2] == ""
    for folder in (tmp_path / "copy", tmp_path / "copy" / "gclib"):
        monkeypatch.chdir(folder)
        code, _, err = gcl("--version")
        assert code == 0
        assert re.fullmatch(rf"gcl: note: .*{ROOT}, not .*{tmp_path}/copy; .*make .*\n", err)


@pytest.fixture
def targets(tmp_path: Path) -> Callable[[str], str]:
    """Return ``targets(place)``: what make would do where the environment was installed for a checkout at `place`."""
    for name in ("Makefile", "requirements.lock", "pyproject.toml"):
        shutil.copy(ROOT / name, tmp_path)
    (tmp_path / ".venv").mkdir()

    def get(place: str) -> str:
        (tmp_path / ".venv" / ".installed").write_text(f"{place}\n")
        command = ["make", "-n", "book", "test", "soak", "bench", "refresh", "lock"]
        return subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True).stdout

    return get


def test_make_installs_anew_where_the_environment_is_another_checkout_s(
    targets: Callable[[str], str], tmp_path: Path
) -> None:
    assert "uv pip install" not in targets(str(tmp_path))
    assert "uv pip install" in targets("/somewhere/else")
    assert "uv pip install" in targets("")


def test_make_runs_modules_and_no_script_that_names_the_place_of_its_installation(
    targets: Callable[[str], str],
) -> None:
    for line in targets("/somewhere/else").splitlines():
        assert not re.search(r"\.venv/bin/(?!python( |$))", line), line


@pytest.mark.parametrize("broken", ["", "ruff", "mypy", "pytest"])
def test_make_test_checks_style_types_and_tests_and_fails_where_one_does(
    targets: Callable[[str], str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, broken: str
) -> None:
    targets(str(tmp_path))
    (tmp_path / "tool").write_text('echo "$1" >> ran; [ "$1" != "$BROKEN" ]\n')
    monkeypatch.setenv("BROKEN", broken)
    monkeypatch.delenv("MAKEFLAGS", raising=False)  # of the make that runs the tests
    done = subprocess.run(["make", "test", "RUN=sh tool"], cwd=tmp_path, capture_output=True)
    assert bool(done.returncode) == bool(broken)
    # What runs beside one that fails at once may not have begun.
    assert {*(tmp_path / "ran").read_text().split()} >= ({broken} if broken else {"ruff", "mypy", "pytest"})
