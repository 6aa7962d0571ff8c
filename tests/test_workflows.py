"""What runs on other machines: pinned actions with few rights, and scripts with the line ends that a shell reads."""

import os
import re
import runpy
import shutil
import signal
import subprocess
import tarfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from processes import PATIENCE, until

import conftest
from gclib import data
from gclib.errors import UserError
from gclib.notebook import edition
from gclib.train import environment

ROOT = Path(__file__).parents[1]
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
MORE_RIGHTS = {"publish": {"pages": "write", "id-token": "write"}}  # what a deployment to Pages needs


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_actions_are_pinned_by_commit_and_have_the_least_rights(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    used = re.findall(r"uses: *(.+)", text)
    ours = {f"./{path.relative_to(ROOT)}" for path in WORKFLOWS}
    others = [action for action in used if action not in ours]
    assert others
    assert all(re.fullmatch(r"[\w-]+/[\w-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", action) for action in others)
    workflow = yaml.safe_load(text)
    assert workflow["permissions"] == {"contents": "read"}
    for name, job in workflow["jobs"].items():
        assert job.get("permissions") == MORE_RIGHTS.get(name)
        for step in job.get("steps", []):
            if step.get("uses", "").startswith("actions/checkout@"):
                assert step["with"]["persist-credentials"] is False


def test_nothing_is_published_that_the_tests_have_not_passed() -> None:
    jobs = yaml.safe_load((ROOT / ".github" / "workflows" / "book.yml").read_text(encoding="utf-8"))["jobs"]
    assert jobs["publish"]["needs"] == "build"
    assert jobs["build"]["needs"] == "tests"
    assert jobs["tests"]["uses"] == "./.github/workflows/ci.yml"
    assert all("if" not in jobs[name] for name in ("build", "tests"))


def test_where_a_browser_is_promised_its_tests_fail_without_one_and_do_not_skip(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(edition, "find_chromium", lambda: None)
    monkeypatch.delenv("GCLIB_NEEDS_BROWSER", raising=False)
    with pytest.raises(pytest.skip.Exception):
        conftest.chromium.__wrapped__()
    monkeypatch.setenv("GCLIB_NEEDS_BROWSER", "1")
    with pytest.raises(pytest.fail.Exception, match="install chromium"):
        conftest.chromium.__wrapped__()
    workflow = yaml.safe_load((ROOT / ".github" / "workflows" / "ci.yml").read_text(encoding="utf-8"))
    assert workflow["jobs"]["test"]["env"] == {"GCLIB_NEEDS_BROWSER": "1"}


def test_a_checkout_with_crlf_line_ends_keeps_scripts_and_hashed_files_as_they_are(
    git: Callable[..., str], tmp_path: Path
) -> None:
    names = [".ci/run", "Makefile", "workflow/slurm.sh", "gclib/paper/tables.json", "requirements.lock"]
    windows = ["-c", "core.autocrlf=true", "-c", "core.eol=crlf"]
    git(*windows, "checkout-index", f"--prefix={tmp_path}/", "--", *names)
    assert all(b"\r" not in (tmp_path / name).read_bytes() for name in names)
    subprocess.run(["bash", "-n", tmp_path / ".ci" / "run"], check=True)


# Stands for Python with gclib: it notes what it is asked for, and a grid ends when told to, or never does.
STANDIN = """#!/bin/bash
case "$*" in
"-c "*) python3 "$@" ;;
*"bench gpu"*) mkdir -p runs/probe; cp found.json runs/probe/; {probe} ;;
*"grid run"*) echo "$GCLIB_VARIANT $GCLIB_GIT $*" > asked; {trap}; touch begun; while true; do sleep 0.1; done ;;
*"grid pack"*) echo "$*" >> packed; [[ "$*" != *--jobs* ]] || exit 2 ;;
esac
"""


@pytest.fixture
def visit(tmp_path: Path) -> Callable[..., subprocess.Popen]:
    """Start gpu.sh in a folder of its own, for so many seconds of which so many are for packing."""
    if shutil.which("timeout") is None:
        pytest.skip("no timeout, which Linux has: gpu.sh is for machines with a GPU")
    (tmp_path / "workflow").mkdir()
    shutil.copy(ROOT / "workflow" / "gpu.sh", tmp_path / "workflow")

    def start(
        trap: str, seconds: int, packing: int, probe: str = "", options: tuple[str, ...] = (), **given: str
    ) -> subprocess.Popen:
        (tmp_path / "found.json").write_text('{"fastest": {"variant": "norms", "places": 3}}')
        python = tmp_path / "python"
        python.write_text(STANDIN.format(trap=trap, probe=probe))
        python.chmod(0o755)
        command = ["bash", tmp_path / "workflow" / "gpu.sh", str(seconds), "kit", "out", "table1", *options]
        variables = {**os.environ, "PYTHON": str(python), "PACKING_SECONDS": str(packing), **given}
        return subprocess.Popen(command, env=variables, cwd=tmp_path, stdout=subprocess.DEVNULL)

    return start


def test_a_visit_to_a_gpu_that_is_told_to_stop_packs(
    visit: Callable[..., subprocess.Popen], tmp_path: Path
) -> None:
    process = visit("trap 'exit 130' TERM", 600, 40)
    until((tmp_path / "begun").exists)
    process.send_signal(signal.SIGTERM)
    assert process.wait(PATIENCE) == 0
    assert (tmp_path / "packed").exists()
    log = (tmp_path / "out" / "log.txt").read_text()
    assert "asked to stop" in log
    assert log.rstrip().endswith(": done")


def test_a_grid_that_does_not_end_in_time_leaves_its_seconds_to_packing(
    visit: Callable[..., subprocess.Popen], tmp_path: Path
) -> None:
    process = visit("trap '' TERM", 9, 3, LAST="yes")
    assert process.wait(PATIENCE) == 0
    assert "--budget" in (tmp_path / "asked").read_text()  # in the last visit what would not end is not begun
    assert (tmp_path / "packed").exists()


def test_a_visit_to_a_gpu_refuses_what_it_cannot_pack_before_it_trains(
    visit: Callable[..., subprocess.Popen], tmp_path: Path
) -> None:
    assert visit(":", 600, 40, options=("--jobs", "2")).wait(PATIENCE) == 2
    assert "--jobs" in (tmp_path / "packed").read_text()
    assert not (tmp_path / "asked").exists()
    (tmp_path / "packed").unlink()
    assert visit(":", 600, 40, options=("--workdir", "elsewhere")).wait(PATIENCE) == 2
    assert not (tmp_path / "packed").exists()


@pytest.mark.parametrize(("grid", "code"), [(1, 0), (2, 2)], ids=["a run failed", "bad input"])
def test_a_visit_packs_whatever_becomes_of_its_grid(
    visit: Callable[..., subprocess.Popen], tmp_path: Path, grid: int, code: int
) -> None:
    assert visit(f"exit {grid}", 600, 40).wait(PATIENCE) == code
    packed = (tmp_path / "packed").read_text().splitlines()
    assert len(packed) == 2  # before and after
    assert packed[1].endswith(f"grid pack {tmp_path}/out table1")


def test_a_visit_takes_what_a_probe_found_that_was_cut_off_and_begins_runs_to_the_end(
    visit: Callable[..., subprocess.Popen], tmp_path: Path
) -> None:
    (tmp_path / "kit" / "git").mkdir(parents=True)
    process = visit("trap 'exit 130' TERM", 9, 1, "exec sleep 60", PROBE_SECONDS="1")
    assert process.wait(PATIENCE) == 0
    asked = (tmp_path / "asked").read_text().split(" ", 2)
    assert asked[:2] == ["norms", f"{tmp_path}/kit/git"]
    assert "--places 3" in asked[2]
    assert "--budget" not in asked[2]
    assert (tmp_path / "packed").exists()


def test_what_names_the_commit_on_another_machine_is_small_and_notices_a_change(
    git: Callable[..., str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runpy.run_path(str(ROOT / "workflow" / "packed.py"))["pack_commit"](tmp_path)
    there = tmp_path / "there"
    git("archive", f"--output={there}.tar", "HEAD")
    with tarfile.open(f"{there}.tar") as tar:
        tar.extractall(there, filter="data")
    kit = tmp_path / "git"
    assert sum(path.stat().st_size for path in kit.rglob("*")) < 2**20
    subprocess.run(["git", "init", "--quiet", there], check=True)  # a .git that travelled, of something else
    monkeypatch.setattr(environment, "ROOT", there)

    def named(folder: str = "") -> str | None:
        monkeypatch.setenv("GCLIB_GIT", folder)
        return environment.git_commit.__wrapped__()

    commit = git("rev-parse", "HEAD").strip()
    assert named() is None
    assert named(str(kit)) == commit
    (there / "README.md").write_text("otherwise")
    assert named(str(kit)) == f"{commit}-dirty"


def test_images_that_were_not_packed_are_not_trained_on() -> None:
    whole = runpy.run_path(str(ROOT / "workflow" / "packed.py"))["whole"]
    digits = data.load("digits", 20)
    assert whole(digits) is digits
    images = digits.train.images.copy()
    images[-1] = 0
    with pytest.raises(UserError, match="digits at ratio 20 has images that were not packed"):
        whole(replace(digits, train=replace(digits.train, images=images)))
    with pytest.raises(UserError, match="digits as it is has images that were not packed"):
        whole(replace(digits, ratio=None, train=replace(digits.train, images=images)))


def test_a_kit_is_packed_as_its_help_says(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    packed = runpy.run_path(str(ROOT / "workflow" / "packed.py"))
    given: list[object] = []
    monkeypatch.setitem(packed["main"].__globals__, "make", lambda *words: given.extend(words))
    monkeypatch.setattr(
        "sys.argv", ["packed.py", "make", str(tmp_path), "--ratio", "50", "cifar10", "cifar100"]
    )
    packed["main"]()
    assert given == [tmp_path, ["cifar10", "cifar100"], 50]
