"""A checkout that was copied or moved: its own code runs, or it is said whose does."""

import platform
import re
import shutil
import subprocess
import sys
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
def targets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    """Return ``targets(made, *given)``: what make would do where the environment notes `made`."""
    for name in ("Makefile", "requirements.lock", "pyproject.toml"):
        shutil.copy(ROOT / name, tmp_path)
    (tmp_path / ".venv" / "bin").mkdir(parents=True)
    (tmp_path / ".venv" / "bin" / "python").symlink_to(sys.executable)
    for name in ("MAKEFLAGS", "PYTHON"):  # of the make that runs the tests, and of a person
        monkeypatch.delenv(name, raising=False)

    def get(made: str, *given: str) -> str:
        (tmp_path / ".venv" / ".installed").write_text(f"{made}\n")
        command = ["make", "-n", *given, "book", "test", "soak", "bench", "refresh", "lock"]
        return subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True).stdout

    return get


def test_make_installs_anew_where_the_environment_is_another_checkout_s_or_of_another_python(
    targets: Callable[..., str], tmp_path: Path
) -> None:
    ours, python = f"Python {platform.python_version()}", f"PYTHON={sys.executable}"
    assert "uv pip install" not in targets(f"{tmp_path} {ours}", python)
    assert "uv pip install" not in targets(f"{tmp_path} {ours}")  # none is asked for
    assert "uv pip install" in targets(f"{tmp_path} {ours}-other", python)
    assert "uv pip install" in targets(f"/somewhere/else {ours}")
    assert "uv pip install" in targets("")


@pytest.mark.parametrize(
    ("version", "said"),
    [("3.10.13", "Python 3.10.13 is not supported"), ("3.14.0", "Python 3.14.0 is not supported")],
)
def test_make_refuses_a_python_that_the_package_does_not_run_on(
    targets: Callable[..., str], tmp_path: Path, version: str, said: str
) -> None:
    python, numbers = tmp_path / "python", tuple(map(int, version.split(".")))
    python.write_text(
        f"#!{sys.executable}\nimport sys\nsys.version_info = {numbers}\n"
        f"if sys.argv[1] == '-V': print('Python {version}')\nelse: exec(sys.argv[2])\n"
    )
    python.chmod(0o755)
    (tmp_path / ".venv" / ".installed").write_text("")
    done = subprocess.run(["make", f"PYTHON={python}"], cwd=tmp_path, capture_output=True, text=True)
    assert "help" in done.stdout  # the list needs none
    done = subprocess.run(["make", f"PYTHON={python}", "book"], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 2
    assert f"{said}: Python 3.11, 3.12 or 3.13 is needed; name one" in done.stderr
    assert (tmp_path / ".venv").exists()


def test_make_runs_modules_and_no_script_that_names_the_place_of_its_installation(
    targets: Callable[..., str],
) -> None:
    for line in targets("/somewhere/else").splitlines():
        assert not re.search(r"\.venv/bin/(?!python( |$))", line), line


@pytest.mark.parametrize("broken", ["", "ruff", "mypy", "pytest"])
def test_make_test_checks_style_types_and_tests_and_fails_where_one_does(
    targets: Callable[..., str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, broken: str
) -> None:
    targets(f"{tmp_path} Python {platform.python_version()}")
    (tmp_path / "tool").write_text('echo "$1" >> ran; [ "$1" != "$BROKEN" ]\n')
    monkeypatch.setenv("BROKEN", broken)
    done = subprocess.run(["make", "test", "RUN=sh tool"], cwd=tmp_path, capture_output=True)
    assert bool(done.returncode) == bool(broken)
    # What runs beside one that fails at once may not have begun.
    assert {*(tmp_path / "ran").read_text().split()} >= ({broken} if broken else {"ruff", "mypy", "pytest"})
