"""What stops a run, each in one line: divergence, damage, locks, a full disk; and what is left when it did."""

import errno
import hashlib
import os
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from training import few_digits, fit, recipe, same, stage_folder, weights

from gclib import ROOT, files, train
from gclib.errors import UserError
from gclib.train import checkpoints, loop, runner
from gclib.train.device import choose_device
from gclib.train.loop import Trainer
from gclib.train.making import make_stage
from gclib.train.steps import Steps

pytestmark = pytest.mark.usefixtures("without_fingerprint", "small_networks", "each_epoch_saved")


def test_a_diverging_loss_stops_with_epoch_batch_and_advice(tmp_path: Path) -> None:
    with pytest.raises(
        UserError, match=r"the loss is (nan|inf) in epoch \d+, batch \d+ of 4; lower the learning rate"
    ):
        fit(tmp_path, learning_rate=1e6, epochs=10)


def test_the_named_batch_is_the_first_that_diverged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made, original = [], Steps.step

    def step(steps: Steps, batch: Any) -> torch.Tensor:
        made.append(1)
        return original(steps, batch) * (float("nan") if len(made) >= 7 else 1)

    monkeypatch.setattr(Steps, "step", step)
    with pytest.raises(
        UserError, match=r"stage-one: the loss is nan in epoch 2, batch 3 of 4; .*\(now 0.05\)"
    ):
        fit(tmp_path)
    state = checkpoints.load(stage_folder(tmp_path))
    assert state is not None
    assert (state["epoch"], len(state["course"]["loss"])) == (1, 1)


def test_weights_that_diverge_in_the_last_step_are_no_result(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made, original = [], Steps.step

    def step(steps: Steps, batch: Any) -> torch.Tensor:
        made.append(1)
        loss = original(steps, batch)
        if len(made) == 4:
            with torch.no_grad():
                steps.stage.network.head.weight.fill_(float("nan"))
        return loss

    monkeypatch.setattr(Steps, "step", step)
    with pytest.raises(UserError, match="output is not finite after epoch 1; lower the learning rate"):
        fit(tmp_path, epochs=1)


@pytest.fixture
def interrupted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Workdir of a run of `ce` that was broken off in its third epoch."""
    original = Trainer.train_epoch

    def breaks(trainer: Trainer, epoch: int) -> float:
        if epoch == 2:
            raise KeyboardInterrupt
        return original(trainer, epoch)

    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "train_epoch", breaks)
        with pytest.raises(KeyboardInterrupt):
            fit(tmp_path)
    return tmp_path


def test_another_number_of_threads_is_refused(
    interrupted: Path, monkeypatch: pytest.MonkeyPatch, epochs: list[str]
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(torch, "get_num_threads", lambda: 3)
        with pytest.raises(UserError, match=r"begun with threads 1 and would go on with 3.*give threads=1 "):
            fit(interrupted)
    assert not epochs
    fit(interrupted)
    assert len(epochs) == 1


def test_a_run_that_goes_on_elsewhere_keeps_its_precision_and_names_both_devices(
    interrupted: Path, monkeypatch: pytest.MonkeyPatch, epochs: list[str]
) -> None:
    monkeypatch.setattr(runner, "choose_precision", lambda scale, device: "float32")
    monkeypatch.setattr(loop, "choose_variant", lambda device: "norms")
    for module in (runner, loop):
        monkeypatch.setattr(module, "device_name", lambda device: "NVIDIA H200")
    at = fit(interrupted).environment
    assert len(epochs) == 1
    assert (at.device, at.precision) == ("cpu, then NVIDIA H200", "float64")
    assert at.variant == "plain, then norms"


@pytest.mark.parametrize(("begun_on", "variant"), [("cpu", None), ("NVIDIA H200", "unknown, then plain")])
def test_a_checkpoint_of_before_variants_and_runs_side_by_side_is_gone_on_with(
    interrupted: Path, epochs: list[str], begun_on: str, variant: str | None
) -> None:
    folder = stage_folder(interrupted)
    state = checkpoints.load(folder)
    assert state is not None
    del state["variants"], state["side_by_side"]
    checkpoints.save(folder, state | {"devices": [begun_on]})
    at = fit(interrupted).environment
    assert len(epochs) == 1
    assert at.variant == variant


@pytest.mark.parametrize(("usable", "named"), [(True, "norms"), (False, "norms, then plain")])
def test_on_its_device_a_run_goes_on_by_the_variant_it_was_begun_with_as_long_as_that_works(
    monkeypatch: pytest.MonkeyPatch, usable: bool, named: str
) -> None:
    def trainer() -> Trainer:
        settings = recipe("ce").stages[0]
        stage = make_stage(settings, "linear", few_digits(), 0, 0, None)
        return Trainer(stage, few_digits(), torch.device("cpu"), "float64", 0)

    with monkeypatch.context() as patch:
        patch.setattr(loop, "choose_variant", lambda device: "norms")
        begun = trainer()
    begun.train_epoch(0)
    monkeypatch.setattr(loop, "usable", lambda device, variant: usable)
    made = trainer()
    made.restore({**begun.state(1), "side_by_side": 7})
    assert ", then ".join(made.variants) == named
    assert any(getattr(one, "fused", False) for one in made.stage.modules()) is usable
    assert made.side_by_side == 7


def test_a_checkpoint_whose_tensors_are_parts_of_one_is_gone_on_with_by_small_ones(
    interrupted: Path, tmp_path: Path
) -> None:
    folder = stage_folder(interrupted)
    state = checkpoints.load(folder)
    assert state is not None
    held = [(state["weights"], name) for name, value in state["weights"].items() if value.is_floating_point()]
    held += [(kept, "momentum_buffer") for kept in state["optimizer"]["state"].values()]
    values = [place[name] for place, name in held]
    parts = torch.cat([value.ravel() for value in values]).split([value.numel() for value in values])
    for (place, name), value, part in zip(held, values, parts, strict=True):  # as a GPU's arrive
        place[name] = part.reshape(value.shape)
    checkpoints.save(folder, state)
    fit(interrupted)
    fit(tmp_path / "whole")
    sizes = [(stage_folder(at) / checkpoints.NAME).stat().st_size for at in (interrupted, tmp_path / "whole")]
    assert sizes[0] < 1.05 * sizes[1]


@pytest.mark.parametrize("damage", ["cut", "flipped", "empty"])
def test_a_damaged_checkpoint_falls_back_to_the_one_before(
    interrupted: Path, tmp_path: Path, epochs: list[str], damage: str
) -> None:
    newest = stage_folder(interrupted) / checkpoints.NAME
    content = bytearray(newest.read_bytes())
    content[len(content) // 2] ^= 1
    newest.write_bytes({"cut": content[: len(content) // 2], "flipped": content, "empty": b""}[damage])
    with pytest.warns(UserWarning, match=f"damaged: {newest}; going on from the checkpoint before"):
        record = fit(interrupted)
    assert len(epochs) == 2
    unbroken = fit(tmp_path / "unbroken")
    assert record.stages[0].course.loss == unbroken.stages[0].course.loss
    assert same(weights(newest.parent), weights(stage_folder(tmp_path / "unbroken")))


def test_a_checkpoint_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    (tmp_path / checkpoints.NAME).mkdir()
    with pytest.raises(UserError, match=r"^cannot read .*checkpoint\.pt: Is a directory; mend it"):
        checkpoints.load(tmp_path)


def test_without_an_undamaged_checkpoint_a_stage_starts_anew(interrupted: Path, epochs: list[str]) -> None:
    for name in (checkpoints.NAME, checkpoints.PREVIOUS):
        (stage_folder(interrupted) / name).write_bytes(b"damaged")
    with pytest.warns(
        UserWarning, match=r"damaged: .*checkpoint.pt and .*previous.pt; starting anew"
    ) as caught:
        fit(interrupted)
    assert len(caught) == 1
    assert len(epochs) == 3


def test_a_checkpoint_of_another_stage_is_refused(interrupted: Path) -> None:
    other = stage_folder(interrupted, seed=1)
    other.mkdir()
    (stage_folder(interrupted) / checkpoints.NAME).rename(other / checkpoints.NAME)
    with pytest.raises(UserError, match=r"is a checkpoint of stage .* not of its folder; remove it"):
        fit(interrupted, seed=1)


BROKEN_FILES = {
    "nothing": b"",
    "text": b"no checkpoint",
    "a pickle": pickle.dumps({"epoch": 1}, protocol=2),
    "a program": b"cos\nsystem\n(S'true'\ntR.",
    "bytes": bytes(range(256)) * 9,
    "half an archive": b"PK\x03\x04" + b"\xff" * 60,
}


@pytest.mark.parametrize("content", BROKEN_FILES.values(), ids=BROKEN_FILES.keys())
def test_a_checkpoint_with_a_matching_hash_and_broken_content_is_told_in_one_line(
    tmp_path: Path, content: bytes
) -> None:
    path = tmp_path / checkpoints.NAME
    path.write_bytes(hashlib.sha256(content).digest() + content)
    with pytest.raises(UserError, match=REFUSED) as caught:
        checkpoints.load(tmp_path)
    assert len(str(caught.value).splitlines()) == 1


REFUSED = (
    r"checkpoint\.pt is whole, but no checkpoint that this code understands \(.*\); remove it to start anew$"
)
NONSENSE = ({}, None, "x", 10**9, torch.zeros(3))


@pytest.mark.parametrize("finished", [False, True])
def test_a_checkpoint_with_any_field_missing_or_of_another_kind_is_told_in_one_line(
    interrupted: Path, finished: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if finished:
        fit(interrupted)
    else:  # if it goes on from nonsense after all, it does not get far
        monkeypatch.setattr(Trainer, "train_epoch", lambda trainer, epoch: pytest.fail("it trains"))
    folder = stage_folder(interrupted)
    state = checkpoints.load(folder)
    assert state is not None
    del state["stage"]
    for name in state:
        values = (
            NONSENSE[1:] if state[name] == {} else NONSENSE
        )  # {} is first: not tested yet, where it is right
        for changed in [
            {key: value for key, value in state.items() if key != name},
            *(state | {name: value} for value in values),
        ]:
            if finished and name in ("optimizer", "generator"):
                continue  # what is only read is not gone on with
            with monkeypatch.context() as patch:
                if name == "epoch":
                    checkpoints.save(folder, changed)
                else:  # as if it had been saved
                    patch.setattr(checkpoints, "load", lambda _, changed=changed: changed)
                with pytest.raises(UserError) as caught:
                    fit(interrupted)
            assert len(str(caught.value).splitlines()) == 1, (name, changed.get(name))


def test_a_checkpoint_of_another_network_or_with_other_momenta_is_told_in_one_line(interrupted: Path) -> None:
    folder = stage_folder(interrupted)
    state = checkpoints.load(folder)
    assert state is not None
    weight = next(name for name in state["weights"] if name.endswith("weight"))
    wider = state["weights"] | {weight: torch.zeros(2, 2)}
    nan = state["weights"] | {weight: torch.full_like(state["weights"][weight], torch.nan)}
    momenta = {key: {"momentum_buffer": torch.zeros(2)} for key in state["optimizer"]["state"]}
    for change in (
        {"weights": wider},
        {"weights": nan},
        {"optimizer": state["optimizer"] | {"state": momenta}},
        {"course": state["course"] | {"loss": state["course"]["loss"][1:]}},
    ):
        checkpoints.save(folder, state | change)
        with pytest.raises(UserError, match=REFUSED):
            fit(interrupted)


HOLDER = """
import sys, time
from pathlib import Path
from gclib.files import lock
with lock(Path(sys.argv[1]), "busy"):
    print("held", flush=True)
    time.sleep(60)
"""


def test_two_runs_of_one_stage_at_once(tmp_path: Path, epochs: list[str]) -> None:
    folder = stage_folder(tmp_path, epochs=1)
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, folder], stdout=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(UserError, match="in use by another run of the same stage; wait for it") as error:
            fit(tmp_path, epochs=1)
        assert "\n" not in str(error.value)
        assert not epochs
        fit(tmp_path, seed=1, epochs=1)  # another stage is free
        left = folder / f".checkpoint.pt.1{files.TEMPORARY}"
        left.write_bytes(b"half a checkpoint")
        holder.kill()
    fit(tmp_path, epochs=1)
    assert not left.exists()
    done = len(epochs)
    with files.lock(folder, "busy"):
        fit(tmp_path, epochs=1)  # a finished stage is only read
    assert len(epochs) == done


def test_without_file_locks_as_on_windows_runs_are_refused_and_losses_work(tmp_path: Path) -> None:
    script = (
        "import sys; sys.modules['fcntl'] = None; from pathlib import Path; from gclib import files, losses; "
    )
    script += "losses.GCLLoss([9, 1]); files.lock(Path('runs'), 'busy').__enter__()"
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", script], env=environment, cwd=tmp_path, capture_output=True, text=True
    )
    assert (
        "UserError: runs need the file locks of Linux or macOS; on Windows, install gclib in WSL"
        in done.stderr
    )
    assert not (tmp_path / "runs").exists()


def test_no_cuda(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    assert choose_device("auto") == torch.device("cpu")
    for name in ("cuda", "cuda:1"):
        with pytest.raises(UserError, match=f"device '{name}': torch sees 0 CUDA devices; use auto or cpu"):
            train.fit(recipe("ce"), few_digits(), seed=0, device=name, workdir=tmp_path)
    for name in ("gpu", "", "cuda:x", "meta"):
        with pytest.raises(UserError, match="expected auto, cpu, cuda or cuda:N"):
            choose_device(name)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("seed", [-1, 2**63])
def test_seed_out_of_range(tmp_path: Path, seed: int) -> None:
    with pytest.raises(UserError, match=r"seed .*expected an integer from 0"):
        fit(tmp_path, seed=seed)


def test_a_file_where_the_folder_should_be(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    with pytest.raises(UserError, match=r"cannot write to .*file.*; choose another folder"):
        fit(tmp_path / "file")
    assert (tmp_path / "file").read_text() == "mine"


def test_no_space(interrupted: Path, monkeypatch: pytest.MonkeyPatch, epochs: list[str]) -> None:
    """A full disk, met while a checkpoint is written, leaves the checkpoints there were."""
    folder = stage_folder(interrupted)
    before = {path.name: path.read_bytes() for path in folder.iterdir()}

    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(
            UserError, match=r"cannot write .*checkpoint.pt: No space left on device; free space"
        ):
            fit(interrupted)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    epochs.clear()
    fit(interrupted)
    assert len(epochs) == 1


def test_no_permission_to_write_the_record(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    record = fit(tmp_path, epochs=1)
    kept = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    original = Path.open

    def refused(path: Path, mode: str = "r", **rest: Any) -> Any:
        if "w" in mode and record.identity in path.parts:
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))
        return original(path, mode, **rest)

    monkeypatch.setattr(Path, "open", refused)
    with pytest.raises(UserError, match=r"cannot write .*: Permission denied"):
        fit(tmp_path, epochs=1)
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == kept
