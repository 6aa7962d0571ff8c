"""What runs on other machines: pinned actions with few rights, and scripts with the line ends that a shell reads."""

import os
import re
import runpy
import shutil
import signal
import subprocess
import tarfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from gclib import data
from gclib.errors import UserError

ROOT = Path(__file__).parents[1]
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
MORE_RIGHTS = {"publish": {"pages": "write", "id-token": "write"}}  # what a deployment to Pages needs


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_actions_are_pinned_by_commit_and_have_the_least_rights(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    used = re.findall(r"uses: *(.+)", text)
    assert used
    assert all(re.fullmatch(r"[\w-]+/[\w-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", action) for action in used)
    workflow = yaml.safe_load(text)
    assert workflow["permissions"] == {"contents": "read"}
    for name, job in workflow["jobs"].items():
        assert job.get("permissions") == MORE_RIGHTS.get(name)
        for step in job["steps"]:
            if step.get("uses", "").startswith("actions/checkout@"):
                assert step["with"]["persist-credentials"] is False


def test_a_checkout_with_crlf_line_ends_keeps_scripts_and_hashed_files_as_they_are(
    git: Callable[..., str], tmp_path: Path
) -> None:
    names = [".ci/run", "Makefile", "workflow/slurm.sh", "gclib/paper_tables.json", "requirements.lock"]
    windows = ["-c", "core.autocrlf=true", "-c", "core.eol=crlf"]
    git(*windows, "checkout-index", f"--prefix={tmp_path}/", "--", *names)
    assert all(b"\r" not in (tmp_path / name).read_bytes() for name in names)
    subprocess.run(["bash", "-n", tmp_path / ".ci" / "run"], check=True)


# Stands for Python with gclib: it notes what it is asked for, and a grid ends when told to, or never does.
STANDIN = """#!/bin/bash
case "$*" in
*"bench gpu"*) ;;
*"grid run"*) {trap}; touch begun; while true; do sleep 0.1; done ;;
*"grid pack"*) touch packed ;;
esac
"""


@pytest.fixture
def visit(tmp_path: Path) -> Callable[..., subprocess.Popen]:
    """Start gpu.sh in a folder of its own, for so many seconds of which so many are for packing."""
    (tmp_path / "workflow").mkdir()
    shutil.copy(ROOT / "workflow" / "gpu.sh", tmp_path / "workflow")

    def start(trap: str, seconds: int, packing: int) -> subprocess.Popen:
        python = tmp_path / "python"
        python.write_text(STANDIN.format(trap=trap))
        python.chmod(0o755)
        command = ["bash", tmp_path / "workflow" / "gpu.sh", str(seconds), "kit", "out", "table1"]
        given = {**os.environ, "PYTHON": str(python), "PACKING_SECONDS": str(packing)}
        return subprocess.Popen(command, env=given, stdout=subprocess.DEVNULL)

    return start


def test_a_visit_to_a_gpu_that_is_told_to_stop_packs(
    visit: Callable[..., subprocess.Popen], tmp_path: Path
) -> None:
    process = visit("trap 'exit 130' TERM", 600, 40)
    end = time.monotonic() + 20
    while not (tmp_path / "begun").exists() and time.monotonic() < end:
        time.sleep(0.05)
    process.send_signal(signal.SIGTERM)
    assert process.wait(20) == 0
    assert (tmp_path / "packed").exists()
    log = (tmp_path / "out" / "log.txt").read_text()
    assert "asked to stop" in log
    assert log.rstrip().endswith(": done")


def test_a_grid_that_does_not_end_in_time_leaves_its_seconds_to_packing(
    visit: Callable[..., subprocess.Popen], tmp_path: Path
) -> None:
    process = visit("trap '' TERM", 4, 3)
    assert process.wait(20) == 0
    assert (tmp_path / "begun").exists()
    assert (tmp_path / "packed").exists()


def test_what_names_the_commit_on_another_machine_is_small_and_notices_a_change(
    git: Callable[..., str], tmp_path: Path
) -> None:
    runpy.run_path(str(ROOT / "workflow" / "packed.py"))["pack_commit"](tmp_path)
    there = tmp_path / "there"
    git("archive", f"--output={there}.tar", "HEAD")
    with tarfile.open(f"{there}.tar") as tar:
        tar.extractall(there, filter="data")
    kit = (tmp_path / "git").rename(there / ".git")
    assert sum(path.stat().st_size for path in kit.rglob("*")) < 2**20

    def named() -> str:  # as a record asks for it
        command = [
            "git",
            f"--git-dir={kit}",
            f"--work-tree={there}",
            "describe",
            "--always",
            "--abbrev=40",
            "--dirty",
        ]
        return subprocess.run(command, cwd=there, capture_output=True, text=True, check=True).stdout.strip()

    commit = git("rev-parse", "HEAD").strip()
    assert named() == commit
    (there / "README.md").write_text("otherwise")
    assert named() == f"{commit}-dirty"


def test_images_that_were_not_packed_are_not_trained_on() -> None:
    whole = runpy.run_path(str(ROOT / "workflow" / "packed.py"))["whole"]
    digits = data.load("digits", 20)
    assert whole(digits) is digits
    images = digits.train.images.copy()
    images[-1] = 0
    with pytest.raises(UserError, match="digits at ratio 20 has images that were not packed"):
        whole(replace(digits, train=replace(digits.train, images=images)))


def test_a_kit_is_packed_as_its_help_says(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    packed = runpy.run_path(str(ROOT / "workflow" / "packed.py"))
    given: list[object] = []
    monkeypatch.setitem(packed["main"].__globals__, "make", lambda *words: given.extend(words))
    monkeypatch.setattr(
        "sys.argv", ["packed.py", "make", str(tmp_path), "--ratio", "50", "cifar10", "cifar100"]
    )
    packed["main"]()
    assert given == [tmp_path, ["cifar10", "cifar100"], 50]
