"""Where a run is made: the commit is the checkout's own or none."""

import subprocess
from pathlib import Path

import pytest
import torch

from gclib import ROOT
from gclib.train import environment


def commit() -> str | None:
    state = {"threads": 1, "precision": "float64"}
    return environment.environment(torch.device("cpu"), state).commit


def test_the_commit_is_that_of_the_checkout() -> None:
    head = subprocess.run(["git", "rev-parse", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=True)
    assert commit() in (head.stdout.strip(), f"{head.stdout.strip()}-dirty")


def test_a_repository_around_an_installed_package_is_not_its_checkout(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    subprocess.run(["git", "init", "-q", tmp_path], check=True)
    site = tmp_path / "site-packages"
    site.mkdir()
    monkeypatch.setattr(environment, "ROOT", site)
    assert commit() is None
