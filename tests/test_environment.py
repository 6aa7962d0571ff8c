"""Where a run is made: the commit is the checkout's own or none."""

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from training import few_digits, recipe

from gclib import ROOT
from gclib.train import environment
from gclib.train.runner import Runner


def commit() -> str | None:
    environment.git_commit.cache_clear()
    try:
        state = {"threads": 1, "precision": "float64", "compiled": False, "devices": ["cpu"]}
        return environment.environment(torch.device("cpu"), [state]).commit
    finally:
        environment.git_commit.cache_clear()


def test_the_commit_is_that_of_the_checkout(git: Callable[..., str]) -> None:
    head = git("rev-parse", "HEAD").strip()
    assert commit() in (head, f"{head}-dirty")


def test_the_commit_is_noted_where_a_run_begins(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is committed, or pulled, while a run goes on is none of its code."""
    environment.git_commit.cache_clear()
    run = Runner.on("cpu", recipe("ce"), few_digits(), 0)
    monkeypatch.setattr(environment.subprocess, "run", lambda *_, **__: pytest.fail("asked at the end"))
    state = {"threads": 1, "precision": "float64", "compiled": False, "devices": ["cpu"]}
    environment.environment(run.device, [state])


@pytest.mark.parametrize("names", [["GIT_DIR"], ["GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE"]])
def test_the_commit_is_the_checkouts_own_in_a_hook_of_another_repository(
    git: Callable[..., str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, names: list[str]
) -> None:
    expected = commit()
    assert expected
    subprocess.run(["git", "init", "-q", tmp_path], check=True)
    for name in names:
        monkeypatch.setenv(name, str(tmp_path / {"GIT_DIR": ".git", "GIT_INDEX_FILE": "index"}.get(name, "")))
    assert commit() == expected


def test_a_checkout_of_another_owner_has_its_commit(
    git: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = commit()
    assert expected
    monkeypatch.setenv("GIT_TEST_ASSUME_DIFFERENT_OWNER", "1")
    monkeypatch.setenv("HOME", "nowhere")  # where a person may have called the folder safe
    refused = subprocess.run(["git", "status"], cwd=ROOT, capture_output=True, text=True)
    assert "dubious ownership" in refused.stderr
    assert commit() == expected


def test_a_repository_around_an_installed_package_is_not_its_checkout(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    subprocess.run(["git", "init", "-q", tmp_path], check=True)
    site = tmp_path / "site-packages"
    site.mkdir()
    monkeypatch.setattr(environment, "ROOT", site)
    assert commit() is None


@pytest.mark.parametrize(
    ("variants", "most", "written"),
    [
        (["plain"], 1, {}),
        (["norms"], 8, {"variant": "norms", "side_by_side": 8}),
        (["plain", "norms"], 2, {"variant": "plain, then norms", "side_by_side": 2}),
    ],
)
def test_a_record_says_by_which_variant_and_among_how_many_it_was_made_where_that_is_not_usual(
    variants: list[str], most: int, written: dict[str, object]
) -> None:
    first = {"threads": 1, "precision": "float64", "compiled": False, "devices": ["cpu"]}
    states = [
        first | {"variants": variants[:1], "side_by_side": 1},
        first | {"variants": variants[-1:], "side_by_side": most},
    ]
    described = environment.environment(torch.device("cpu"), states).model_dump()
    assert {name: described[name] for name in ("variant", "side_by_side") if name in described} == written
