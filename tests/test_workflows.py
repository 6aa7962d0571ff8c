"""What runs on other machines: pinned actions with few rights, and scripts with the line ends that a shell reads."""

import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

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
