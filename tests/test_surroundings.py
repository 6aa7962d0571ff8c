"""What a machine's environment changes: nothing on a page, in a test or in the grid."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from pages import printed, write

from gclib import notebook
from gclib.notebook.execution import execute_in_place

ROOT = Path(__file__).resolve().parent.parent
SHOW = """\
import locale, os, sys
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from gclib.figures import style
style.use()
print(plt.rcParams["text.usetex"], plt.rcParams["lines.linestyle"], plt.get_backend())
print("started" in globals(), sys.warnoptions, sys.flags.optimize, sys.flags.utf8_mode, locale.getlocale())
print(plt.plot.__doc__ is not None, os.environ.get("COLUMNS"), os.environ["OMP_NUM_THREADS"])
print(os.environ["PYDANTIC_DISABLE_PLUGINS"])
plt.plot([1, 2])
plt.show()
pd.DataFrame(np.ones((1, 30)))"""


@pytest.fixture
def hostile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An environment in which everything that a person can set is set to something else."""
    startup = tmp_path / "ipython" / "profile_default" / "startup"
    startup.mkdir(parents=True)
    (startup / "00.py").write_text("started = True\nprint('started')\n")
    (tmp_path / "ipython" / "profile_default" / "ipython_config.py").write_text(
        "c.InteractiveShellApp.exec_lines = ['started = True']\nc.InlineBackend.figure_formats = {'svg'}\n"
    )
    (tmp_path / "start.py").write_text("started = True\nprint('started')\n")
    kernel = tmp_path / "jupyter" / "kernels" / "python3"
    kernel.mkdir(parents=True)
    (kernel / "kernel.json").write_text(json.dumps({"argv": ["false"], "display_name": "x", "language": "x"}))
    rc = tmp_path / "matplotlib"
    rc.mkdir()
    (rc / "matplotlibrc").write_text("text.usetex: True\nlines.linestyle: --\nno.such.key: 1\n")
    folders = {
        "IPYTHONDIR": "ipython",
        "PYTHONSTARTUP": "start.py",
        "JUPYTER_PATH": "jupyter",
        "JUPYTER_DATA_DIR": "jupyter",
        "MPLCONFIGDIR": "matplotlib",
        "MATPLOTLIBRC": "matplotlib/matplotlibrc",
    }
    words = {
        "MPLBACKEND": "svg",
        "PYTHONWARNINGS": "always",
        "PYTHONOPTIMIZE": "2",
        "PANDAS_COPY_ON_WRITE": "warn",
        "PLOTLY_RENDERER": "svg",
        "PYDANTIC_DISABLE_PLUGINS": "none",
        "JUPYTER_DEFAULT_PROVISIONER_NAME": "nowhere",
        "COLUMNS": "20",
        "FORCE_COLOR": "1",
        "LC_ALL": "POSIX",
        "LANG": "tr_TR",
        "PYTHONUTF8": "0",
        "OMP_NUM_THREADS": "3",
        "OMP_DISPLAY_ENV": "true",
    }
    for name, value in (
        words.items() | {name: str(tmp_path / place) for name, place in folders.items()}.items()
    ):
        monkeypatch.setenv(name, value)


def test_a_page_is_the_same_in_a_hostile_environment(
    tmp_path: Path, request: pytest.FixtureRequest, capfd: pytest.CaptureFixture
) -> None:
    path = write(tmp_path / "page.ipynb", SHOW)
    notebook.execute(path, tmp_path / "plain.ipynb", {"count": 3})
    request.getfixturevalue("hostile")
    notebook.execute(path, tmp_path / "hostile.ipynb", {"count": 3})
    assert (tmp_path / "hostile.ipynb").read_bytes() == (tmp_path / "plain.ipynb").read_bytes()
    shown = printed(tmp_path / "plain.ipynb").splitlines()
    assert re.fullmatch(r"False - .*inline", shown[0])
    assert shown[-2:] == ["True None 1", "1"]
    assert capfd.readouterr() == ("", "")


def test_stored_outputs_are_compared_in_this_python_whatever_the_environment(
    tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    path = write(tmp_path / "page.ipynb", SHOW)
    execute_in_place(path)
    request.getfixturevalue("hostile")
    # What acts on Python before a test does is what the Makefile takes out.
    early = [name for name in os.environ if name.startswith("PYTHON")]
    environment = {name: value for name, value in os.environ.items() if name not in early}
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-p",
        "conftest",
        "--rootdir",
        ROOT,
        "-c",
        "pyproject.toml",
    ]
    command += ["--nbval", "--nbval-current-env", path]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


def test_make_takes_the_settings_of_python_and_pytest_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in (
        "PYTHONPATH",
        "PYTHONOPTIMIZE",
        "PYTHONSTARTUP",
        "PYTHONDONTWRITEBYTECODE",
        "PYTEST_ADDOPTS",
    ):
        monkeypatch.setenv(name, "x")
    monkeypatch.setenv("PYTHONHOME", "kept")
    (tmp_path / "Makefile").write_text(f"include {ROOT / 'Makefile'}\nshow:\n\t@env\n")
    command = ["make", "-s", "-C", str(tmp_path), "show"]
    shown = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    found = {line.partition("=")[0] for line in shown.splitlines()} - {
        "PYTEST_CURRENT_TEST",
        "PYTEST_VERSION",
    }
    own = {name for name in found if name.startswith("PYTEST_XDIST")}  # of what runs this test
    assert {name for name in found - own if name.startswith(("PYTHON", "PYTEST_"))} == {"PYTHONHOME"}


def test_the_book_is_built_without_a_persons_settings(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(notebook.book, "ROOT", tmp_path)
    (tmp_path / "_toc.yml").write_text("format: jb-book\nroot: welcome\n")
    (tmp_path / "_config.yml").write_text('title: Tiny\nexecute: {execute_notebooks: "off"}\n')
    (tmp_path / "welcome.md").write_text("# Welcome\n")
    (tmp_path / "docutils.conf").write_text("")
    settings = tmp_path / "settings"
    settings.write_text("[general]\nhalt_level: 1\nlanguage_code: xx\n")
    monkeypatch.setenv("DOCUTILSCONFIG", str(settings))
    monkeypatch.setenv("PYTHONWARNINGS", "error")
    assert "Welcome" in notebook.build(tmp_path / "build").with_name("welcome.html").read_text()
