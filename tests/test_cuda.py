"""What only a machine with a GPU can show: the same runs as on the CPU, recorded steps, a run that goes on."""

from pathlib import Path
from typing import Any

import pytest
import torch
from training import few_digits, no_fingerprint, recipe, same, weights

from gclib import recipes, records, train
from gclib.train import runner
from gclib.train.capture import WARM_UP
from gclib.train.loop import Trainer

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")


@pytest.fixture(autouse=True)
def _without_fingerprint(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(train, "fingerprint", no_fingerprint)


def small(name: str) -> recipes.Recipe:
    """A recipe in batches so small that most of its steps come from the recording."""
    stages = recipes.get(name).definition.stages(few_digits())
    prefixes = ("", "stage-two.")
    sizes = {
        f"{prefix}batch_size": 16 for prefix, stage in zip(prefixes, stages, strict=False) if stage.epochs
    }
    return recipe(name, **sizes)


def fit(name: str, device: str, workdir: Path) -> records.RunRecord:
    return train.fit(small(name), few_digits(), seed=0, device=device, workdir=workdir)


@pytest.mark.parametrize("name", [name for name in recipes.names() if not name.endswith("-unified")])
def test_a_run_on_a_gpu_is_that_on_the_cpu(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    replayed = []
    replay = torch.cuda.CUDAGraph.replay
    monkeypatch.setattr(torch.cuda.CUDAGraph, "replay", lambda graph: (replayed.append(1), replay(graph))[1])
    runs = [fit(name, device, tmp_path / device) for device in ("cpu", "cuda")]
    assert len(replayed) > WARM_UP
    assert runs[1].environment.device == torch.cuda.get_device_name()
    assert runs[1].environment.driver
    for here, there in zip(runs[0].stages, runs[1].stages, strict=True):
        assert there.course.loss == pytest.approx(here.course.loss, rel=1e-6)
        assert there.last.top1 == pytest.approx(here.last.top1, abs=1)


@pytest.mark.parametrize("precision", ["float64", "bfloat16"])
@pytest.mark.parametrize("name", ["ce", "gcl-official", "ldam-drw"])
def test_a_run_that_was_stopped_goes_on_to_the_same_bits(
    name: str, precision: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runner, "choose_precision", lambda scale, device: precision)
    train_epoch = Trainer.train_epoch

    def stopping(trainer: Trainer, epoch: int) -> float:
        if epoch == 2:
            raise KeyboardInterrupt
        return train_epoch(trainer, epoch)

    fit(name, "cuda", tmp_path / "whole")
    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "train_epoch", stopping)
        with pytest.raises(KeyboardInterrupt):
            fit(name, "cuda", tmp_path / "stopped")
    fit(name, "cuda", tmp_path / "stopped")
    folders = sorted((tmp_path / "whole" / "stages").iterdir())
    assert folders
    for folder in folders:
        assert same(weights(folder), weights(tmp_path / "stopped" / "stages" / folder.name))


class AsWritten(Trainer):
    """Records no step."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.whole_step = self.step


def test_a_recorded_step_sees_a_new_learning_rate(tmp_path: Path) -> None:
    states = [  # in its warm-up the rate changes with each epoch
        train.fit_first_stage(
            small("ce"), few_digits(), seed=0, device="cuda", workdir=tmp_path / kind.__name__, trainer=kind
        )
        for kind in (Trainer, AsWritten)
    ]
    assert same(states[0]["weights"], states[1]["weights"])
