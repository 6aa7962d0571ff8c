"""What only a machine with a GPU can show: the same runs as on the CPU, recorded steps, a run that goes on."""

from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from training import few_digits, no_fingerprint, recipe, same, weights

from gclib import recipes, records, train
from gclib.train import fleet, loop, runner, runs
from gclib.train.capture import WARM_UP
from gclib.train.loop import Trainer
from gclib.train.making import make_stage

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")


@pytest.fixture(autouse=True)
def _without_fingerprint(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runs, "fingerprint", no_fingerprint)


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
    made = [fit(name, device, tmp_path / device) for device in ("cpu", "cuda")]
    assert len(replayed) > WARM_UP
    assert made[1].environment.device == torch.cuda.get_device_name()
    assert made[1].environment.driver
    for here, there in zip(made[0].stages, made[1].stages, strict=True):
        assert there.course.loss == pytest.approx(here.course.loss, rel=1e-6)
        assert there.last.top1 == pytest.approx(here.last.top1, abs=1)


@pytest.mark.parametrize("precision", ["float64", "bfloat16"])
@pytest.mark.parametrize("name", ["ce", "gcl-official", "ldam-drw"])
def test_a_run_that_was_stopped_goes_on_to_the_same_bits(
    name: str, precision: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runner, "choose_precision", lambda scale, device: precision)
    monkeypatch.setitem(loop.BETWEEN_CHECKPOINTS, "cuda", 0.0)
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
        self.steps.recording = False


def test_a_recorded_step_sees_a_new_learning_rate(tmp_path: Path) -> None:
    states = [  # in its warm-up the rate changes with each epoch
        train.fit_first_stage(
            small("ce"), few_digits(), seed=0, device="cuda", workdir=tmp_path / kind.__name__, trainer=kind
        )
        for kind in (Trainer, AsWritten)
    ]
    assert same(states[0]["weights"], states[1]["weights"])


@pytest.mark.parametrize("precision", ["float64", "bfloat16"])
def test_runs_side_by_side_are_the_runs_alone(
    precision: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runner, "choose_precision", lambda scale, device: precision)
    names = ["ce", "gcl-official", "ldam-drw", "bbn", "hybrid-sc", "tde", "mislas", "ce-mixup"]
    jobs = [fleet.Job(n, partial(fit, n, "cuda", tmp_path / "together" / n)) for n in names]
    ended = {job.name: outcome for job, outcome in fleet.together(jobs, lambda: 8)}
    for name in names:
        alone = fit(name, "cuda", tmp_path / "alone" / name)
        assert [s.last for s in ended[name].stages] == [s.last for s in alone.stages], name
        for folder in (tmp_path / "alone" / name / "stages").iterdir():
            assert same(weights(folder), weights(tmp_path / "together" / name / "stages" / folder.name)), name


@pytest.mark.parametrize("name", ["ce", "gcl-official", "ldam-drw", "bbn", "hybrid-sc", "tde"])
def test_an_epoch_does_not_make_the_host_wait(name: str) -> None:
    settings = small(name)
    stage = make_stage(settings.stages[0], settings.head, few_digits(), 0, 0, None)
    trainer = Trainer(stage, few_digits(), torch.device("cuda"), "bfloat16", 0)
    for epoch in range(4):  # until everything is recorded
        trainer.train_epoch(epoch)
    torch.cuda.set_sync_debug_mode("error")
    try:
        trainer.train_epoch(4)
    finally:
        torch.cuda.set_sync_debug_mode("default")
