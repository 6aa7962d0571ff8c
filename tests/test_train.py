"""Runs: records, shared stages, what stops a run in one line, and what a run leaves alone."""

import errno
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from training import few_digits, no_fingerprint, recipe

from gclib import checkpoints, files, loop, records, runner, train
from gclib.device import choose_device, choose_precision
from gclib.errors import UserError
from gclib.loop import Trainer
from gclib.plan import stage_plan

CPU = torch.device("cpu")


@pytest.fixture(scope="module", autouse=True)
def quick() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(train, "fingerprint", no_fingerprint)
        yield


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, records.RunRecord]:
    """A finished run of `gcl-official`: its workdir and its record."""
    workdir = tmp_path_factory.mktemp("done")
    return workdir, fit(workdir, "gcl-official")


def fit(
    workdir: Path, name: str = "ce", seed: int = 0, resume: bool = True, **overrides: Any
) -> records.RunRecord:
    return train.fit(
        recipe(name, **overrides), few_digits(), seed=seed, device="cpu", workdir=workdir, resume=resume
    )


@pytest.fixture
def epochs(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the stages of all epochs that are trained from now on."""
    seen, original = [], Trainer.train_epoch

    def watched(trainer: Trainer, epoch: int) -> float:
        seen.append(trainer.settings.name)
        return original(trainer, epoch)

    monkeypatch.setattr(Trainer, "train_epoch", watched)
    return seen


def stage_folder(workdir: Path, name: str = "ce", position: int = 0, seed: int = 0, **overrides: Any) -> Path:
    return workdir / "stages" / stage_plan(recipe(name, **overrides), few_digits(), seed)[position].hash


def weights(folder: Path) -> dict[str, torch.Tensor]:
    state = checkpoints.load(folder)
    assert state is not None
    return state["weights"]


def same(first: dict[str, torch.Tensor], second: dict[str, torch.Tensor]) -> bool:
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


def test_record_is_complete(done: tuple[Path, records.RunRecord]) -> None:
    workdir, record = done
    folder = workdir / record.identity
    assert records.load(folder / "record.json") == record
    assert record.recipe == recipe().model_dump(mode="json")
    assert (record.seed, record.environment.precision, record.environment.threads) == (0, "float64", 1)
    assert record.environment.device == "cpu"
    one, last, best = record.stages
    assert [run.start for run in record.stages] == ["scratch", "last", "best"]
    for run, length in ((one, 3), (last, 2), (best, 2)):
        course = run.course
        assert {
            len(c) for c in (course.loss, course.learning_rate, course.train_accuracy, course.seconds)
        } == {length}
        assert course.test_epochs[-1] == length == run.last.epoch
        assert run.best.top1 == max(course.test_accuracy)
        assert len(run.last.per_class) == 10
    # Stage two follows its schedule: half a cosine from 0.002.
    assert last.course.learning_rate == pytest.approx([0.002, 0.001])
    kept = load_file(folder / "stage-one.safetensors")
    trained = train.network_weights(checkpoints.load(stage_folder(workdir, "gcl-official")), "last")
    assert kept.keys() == trained.keys()
    assert all(torch.equal(kept[name], trained[name].half()) for name in kept)
    assert not list(workdir.rglob("*.tmp"))


def test_outcomes_are_those_of_the_weights(done: tuple[Path, records.RunRecord]) -> None:
    """Test accuracy from the saved weights, image by image, by other means."""
    workdir, record = done
    plan = stage_plan(recipe(), few_digits(), 0)
    for planned, run in zip(plan, record.stages, strict=True):
        state = checkpoints.load(workdir / "stages" / planned.hash)
        for which, outcome in (("last", run.last), ("best", run.best)):
            start = train.network_weights(state, which)
            one = loop.make_stage(planned.settings, "cosine", few_digits(), 0, planned.position, start)
            source, test = few_digits().augmentation, few_digits().test
            pixels = (test.images / 255 - np.array(source.mean)) / np.array(source.std)
            with torch.no_grad():
                predictions = (
                    one.eval()(torch.from_numpy(pixels).float().permute(0, 3, 1, 2)).argmax(1).numpy()
                )
            right = predictions == test.labels
            per_class = [100 * right[test.labels == c].mean() for c in range(10)]
            assert outcome.per_class == pytest.approx(per_class, abs=1e-3)


def test_stage_two_begins_where_it_says(done: tuple[Path, records.RunRecord]) -> None:
    """The embedding after stage two is stage one's, of its last or its best epoch."""
    workdir, _ = done
    one, last, best = (
        checkpoints.load(stage_folder(workdir, "gcl-official", position)) for position in range(3)
    )
    for state, which in ((last, "last"), (best, "best")):
        begun = train.network_weights(one, which)
        for name, value in train.network_weights(state, "last").items():
            if not name.startswith("head."):
                assert torch.equal(value, begun[name].float().to(value.dtype)), name


def test_a_shared_first_stage_is_trained_once(
    done: tuple[Path, records.RunRecord], epochs: list[str]
) -> None:
    workdir, record = done
    checkpoint = stage_folder(workdir, "gcl-official") / checkpoints.NAME
    before = checkpoint.stat().st_mtime_ns
    other = fit(workdir, "gcl-official-cben")
    assert epochs == ["stage-two"] * 4
    assert checkpoint.stat().st_mtime_ns == before
    assert other.stages[0] == record.stages[0]
    assert other.stages[1] != record.stages[1]
    assert other.identity != record.identity
    epochs.clear()
    tau = fit(workdir, "gcl-official-tau")
    assert not epochs
    assert tau.stages[1].course.loss == ()
    assert fit(workdir, "gcl-official").stages == record.stages
    assert not epochs


def test_resume_off_starts_anew(tmp_path: Path, epochs: list[str]) -> None:
    first = fit(tmp_path)
    again = fit(tmp_path, resume=False)
    assert len(epochs) == 6
    assert again.stages[0].course.loss == first.stages[0].course.loss


def test_identity_leaves_out_where_a_run_was_made(done: tuple[Path, records.RunRecord]) -> None:
    _, record = done
    elsewhere = record.environment.model_copy(update={"device": "another", "precision": "bfloat16"})
    fields = record.model_dump(exclude={"digest", "identity"}) | {"environment": elsewhere.model_dump()}
    assert records.RunRecord(**fields).identity == record.identity


def test_same_seed_same_bits_other_seed_other_bits(tmp_path: Path) -> None:
    for place, seed in (("a", 0), ("b", 0), ("c", 1)):
        fit(tmp_path / place, seed=seed, epochs=1)
    a, b, c = (
        weights(stage_folder(tmp_path / place, seed=seed, epochs=1))
        for place, seed in (("a", 0), ("b", 0), ("c", 1))
    )
    assert same(a, b)
    assert not any(torch.equal(a[name], c[name]) for name in a)


def test_the_callers_state_is_left_alone(tmp_path: Path) -> None:
    torch.manual_seed(11)
    np.random.seed(11)  # noqa: NPY002 - the caller's old generator is what is watched
    before = torch.get_rng_state(), np.random.get_state()[1].copy(), torch.get_num_threads()  # noqa: NPY002
    default, grad = torch.get_default_dtype(), torch.is_grad_enabled()
    fit(tmp_path, "gcl-paper", epochs=1, **{"stage-two.epochs": 1})
    assert torch.equal(torch.get_rng_state(), before[0])
    assert (np.random.get_state()[1] == before[1]).all()  # noqa: NPY002
    assert torch.get_num_threads() == before[2]
    assert (torch.get_default_dtype(), torch.is_grad_enabled()) == (default, grad)


def test_a_diverging_loss_stops_with_epoch_batch_and_advice(tmp_path: Path) -> None:
    with pytest.raises(
        UserError, match=r"the loss is (nan|inf) in epoch \d+, batch \d+ of 4; lower the learning rate"
    ):
        fit(tmp_path, learning_rate=1e6, epochs=10)


def test_the_named_batch_is_the_first_that_diverged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    steps, original = [], loop.Trainer.step

    def step(trainer: Trainer, batch: Any) -> torch.Tensor:
        steps.append(1)
        return original(trainer, batch) * (float("nan") if len(steps) >= 7 else 1)

    monkeypatch.setattr(Trainer, "step", step)
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
    steps, original = [], loop.Trainer.step

    def step(trainer: Trainer, batch: Any) -> torch.Tensor:
        steps.append(1)
        loss = original(trainer, batch)
        if len(steps) == 4:
            with torch.no_grad():
                trainer.stage.network.head.weight.fill_(float("nan"))
        return loss

    monkeypatch.setattr(Trainer, "step", step)
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


def test_another_number_of_threads_or_precision_is_refused(
    interrupted: Path, monkeypatch: pytest.MonkeyPatch, epochs: list[str]
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(torch, "get_num_threads", lambda: 3)
        with pytest.raises(
            UserError, match=r"begun with threads 1 and would go on with 3.*OMP_NUM_THREADS=1"
        ):
            fit(interrupted)
    with monkeypatch.context() as patch:
        patch.setattr(runner, "choose_precision", lambda scale, device: "float32")
        with pytest.raises(
            UserError, match=r"begun with precision float64 and would go on with float32.*device"
        ):
            fit(interrupted)
    assert not epochs
    fit(interrupted)
    assert len(epochs) == 1


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


def test_no_cuda(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    assert choose_device("auto") == CPU
    for name in ("cuda", "cuda:1"):
        with pytest.raises(UserError, match=f"device '{name}': torch sees 0 CUDA devices; use auto or cpu"):
            train.fit(recipe("ce"), few_digits(), seed=0, device=name, workdir=tmp_path)
    for name in ("gpu", "", "cuda:x", "meta"):
        with pytest.raises(UserError, match="expected auto, cpu, cuda or cuda:N"):
            choose_device(name)
    assert not list(tmp_path.iterdir())


def test_precisions(monkeypatch: pytest.MonkeyPatch) -> None:
    for amx, expected in ((True, "bfloat16"), (False, "float32")):
        monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda amx=amx: amx)
        assert choose_precision("smoke", CPU) == "float64"
        assert choose_precision("short", CPU) == choose_precision("paper", CPU) == expected


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_other_precisions_learn_too(precision: str) -> None:
    settings = recipe().stages[0]
    trainer = Trainer(
        loop.make_stage(settings, "cosine", few_digits(), 0, 0, None), few_digits(), CPU, precision, 0
    )
    first = trainer.train_epoch(0)
    assert trainer.train_epoch(0) < first
    assert trainer.test_logits().dtype == torch.float64
    assert {p.dtype for p in trainer.stage.parameters()} == {torch.float32}


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


def test_no_permission_to_write_the_record(
    done: tuple[Path, records.RunRecord], monkeypatch: pytest.MonkeyPatch
) -> None:
    workdir, record = done
    kept = {path: path.read_bytes() for path in workdir.rglob("*") if path.is_file()}
    original = Path.open

    def refused(path: Path, mode: str = "r", **rest: Any) -> Any:
        if "w" in mode and record.identity in path.parts:
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))
        return original(path, mode, **rest)

    monkeypatch.setattr(Path, "open", refused)
    with pytest.raises(UserError, match=r"cannot write .*: Permission denied"):
        fit(workdir, "gcl-official")
    assert {path: path.read_bytes() for path in workdir.rglob("*") if path.is_file()} == kept


def test_finish_starts_from_kept_weights(done: tuple[Path, records.RunRecord], tmp_path: Path) -> None:
    workdir, record = done
    kept = workdir / record.identity / "stage-one.safetensors"
    run = train.finish(recipe(), few_digits(), kept, seed=0, device="cpu", workdir=tmp_path)
    # From half precision the losses agree to a few digits.
    assert run.course.loss == pytest.approx(record.stages[1].course.loss, rel=1e-2)
    with pytest.raises(UserError, match="expected two"):
        train.finish(recipe("ce"), few_digits(), kept, seed=0, workdir=tmp_path)
    (tmp_path / "text").write_text("no weights")
    for wrong in (tmp_path / "text", tmp_path / "missing"):
        with pytest.raises(UserError, match=f"{wrong.name} holds no weights"):
            train.finish(recipe(), few_digits(), wrong, seed=0, workdir=tmp_path)
    linear = fit(tmp_path / "ce", "ce", epochs=1)
    other = tmp_path / "ce" / linear.identity / "stage-one.safetensors"
    with pytest.raises(UserError, match="of another network"):
        train.finish(recipe(), few_digits(), other, seed=0, workdir=tmp_path)


def test_a_record_is_kept_with_its_weights_or_not_at_all(
    done: tuple[Path, records.RunRecord], tmp_path: Path
) -> None:
    workdir, record = done
    named = record.model_dump(exclude={"identity", "digest"})
    named["recipe"] = {**record.recipe, "overrides": {}}
    plain = records.RunRecord(**named)
    with pytest.raises(UserError, match="was changed by overrides"):
        train.keep(record, workdir, tmp_path)
    with pytest.raises(UserError, match=r"^cannot read the weights .*stage-one\.safetensors: No such file"):
        train.keep(plain, workdir, tmp_path)
    assert not list(tmp_path.iterdir())
    weights = workdir / record.identity / "stage-one.safetensors"
    (workdir / plain.identity).mkdir()
    (workdir / plain.identity / "stage-one.safetensors").write_bytes(weights.read_bytes())
    path = train.keep(plain, workdir, tmp_path)
    assert records.load(path) == plain
    assert path.with_suffix(".safetensors").read_bytes() == weights.read_bytes()
    with pytest.raises(UserError, match="is there already"):
        train.keep(plain, workdir, tmp_path)


def test_a_run_prints_nothing_when_not_a_terminal(tmp_path: Path, capfd: pytest.CaptureFixture) -> None:
    fit(tmp_path, epochs=1)
    assert capfd.readouterr() == ("", "")
