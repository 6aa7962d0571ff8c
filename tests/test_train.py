"""Runs: records, shared stages, precisions, kept weights, and what a run leaves alone."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from training import few_digits, fit, recipe, same, stage_folder, weights

from gclib import records, train
from gclib.errors import UserError
from gclib.train import checkpoints, device, loop
from gclib.train.device import choose_precision
from gclib.train.loop import Trainer
from gclib.train.making import make_stage
from gclib.train.plan import stage_plan

CPU = torch.device("cpu")


pytestmark = pytest.mark.usefixtures("without_fingerprint", "small_networks")


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, records.RunRecord]:
    """A finished run of `gcl-official`: its workdir and its record."""
    workdir = tmp_path_factory.mktemp("done")
    return workdir, fit(workdir, "gcl-official")


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
            one = make_stage(planned.settings, "cosine", few_digits(), 0, planned.position, start)
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


def test_same_seed_same_bits_other_seed_other_bits(tmp_path: Path) -> None:
    for place, seed in (("a", 0), ("b", 0), ("c", 1)):
        fit(tmp_path / place, seed=seed, epochs=1)
    a, b, c = (
        weights(stage_folder(tmp_path / place, seed=seed, epochs=1))
        for place, seed in (("a", 0), ("b", 0), ("c", 1))
    )
    assert same(a, b)
    assert not any(torch.equal(a[name], c[name]) for name in a)


def test_checkpoints_of_short_epochs_are_as_far_apart_as_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    saved: list[int] = []
    monkeypatch.setattr(checkpoints, "save", lambda folder, state: saved.append(state["epoch"]))
    monkeypatch.setitem(loop.BETWEEN_CHECKPOINTS, "cpu", 3600.0)
    fit(tmp_path, epochs=3)
    assert saved == [3]
    monkeypatch.setitem(loop.BETWEEN_CHECKPOINTS, "cpu", 0.0)
    fit(tmp_path, epochs=2)
    assert saved == [3, 1, 2]


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


def test_a_run_may_use_several_threads_and_its_record_says_so(tmp_path: Path) -> None:
    settings = recipe().model_copy(update={"stages": recipe().stages[:1]})
    before = torch.get_num_threads()
    record = train.fit(settings, few_digits(), seed=0, device="cpu", workdir=tmp_path, threads=before + 1)
    assert (record.environment.threads, torch.get_num_threads()) == (before + 1, before)
    assert f" -p threads {before + 1} " in record.command
    assert record.command == records.again(record)
    with pytest.raises(UserError, match="threads is 0, expected 1 or more"):
        train.fit(settings, few_digits(), seed=0, device="cpu", workdir=tmp_path, threads=0)


def test_precisions(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    for amx, expected in ((True, "bfloat16"), (False, "float32")):
        monkeypatch.setattr(device, "_cpu_information", lambda amx=amx: "flags: amx_tile x" if amx else "")
        assert choose_precision("smoke", CPU) == "float64"
        assert choose_precision("short", CPU) == choose_precision("paper", CPU) == expected


@pytest.mark.parametrize(("narrow", "faster"), [(0.5, "bfloat16"), (2.0, "float32")])
def test_a_cpu_without_matrix_instructions_is_measured_once(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, narrow: float, faster: str
) -> None:
    clock, made = [0.0], []
    compiles = [True]

    def training_step(in_bfloat16: bool, compiled: bool) -> Callable[[], None]:
        made.append((in_bfloat16, compiled))
        return lambda: clock.append(clock.pop() + (narrow if in_bfloat16 else 1.0))

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(device, "_cpu_information", lambda: "model name : A CPU")
    monkeypatch.setattr(device, "_training_step", training_step)
    monkeypatch.setattr(device, "can_compile", lambda: compiles[0])
    monkeypatch.setattr(device.time, "process_time", lambda: clock[0])
    monkeypatch.setattr(device.time, "perf_counter", lambda: clock[0])
    assert choose_precision("paper", CPU) == "float32"  # not measured yet
    for _ in range(2):
        device.measure_precision()
    assert made == [(False, True), (True, True)]
    assert choose_precision("paper", CPU) == choose_precision("paper") == faster
    assert choose_precision("short", CPU) == "float32"  # seconds of a run of minutes
    compiles[0] = False  # as runs here then are not
    assert choose_precision("paper", CPU) == "float32"
    device.measure_precision()
    assert made[2:] == [(False, False), (True, False)]
    monkeypatch.setattr(device, "_cpu_information", lambda: "model name : Another")
    assert choose_precision("paper", CPU) == "float32"
    (tmp_path / "gclib" / "precision.json").write_text("[damaged")
    device.measure_precision()
    assert choose_precision("paper", CPU) == faster
    (tmp_path / "gclib" / "precision.json").unlink()
    monkeypatch.setattr(device, "_cpu_information", lambda: "flags: amx_tile x")
    device.measure_precision()  # nothing to find out
    assert not (tmp_path / "gclib" / "precision.json").exists()


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_other_precisions_learn_too(precision: str) -> None:
    settings = recipe().stages[0]
    trainer = Trainer(
        make_stage(settings, "cosine", few_digits(), 0, 0, None), few_digits(), CPU, precision, 0
    )
    first = trainer.train_epoch(0)
    assert trainer.train_epoch(0) < first
    assert trainer.test_logits().dtype == torch.float64
    assert {p.dtype for p in trainer.stage.parameters()} == {torch.float32}


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
    done: tuple[Path, records.RunRecord], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
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
    with monkeypatch.context() as patch:  # killed between the two files
        patch.setattr(records, "save", lambda *_, **__: (_ for _ in ()).throw(KeyboardInterrupt))
        path.unlink()
        path.with_suffix(".safetensors").unlink()
        with pytest.raises(KeyboardInterrupt):
            train.keep(plain, workdir, tmp_path)
    assert not path.exists(), "no record without its weights"
    assert path.with_suffix(".safetensors").exists(), "which come first"
    assert train.keep(plain, workdir, tmp_path) == path
    with monkeypatch.context() as patch:  # also where the weights of such a recipe are not kept any more
        patch.setattr("gclib.train.kept.KEPT_WEIGHTS", ())
        path.with_suffix(".safetensors").write_bytes(b"old")
        assert train.keep(plain, workdir, tmp_path, "replace") == path
    assert path.with_suffix(".safetensors").read_bytes() == weights.read_bytes()
    resolved = recipe()  # before the run as after it
    with pytest.raises(UserError, match="was changed by overrides"):
        train.require_keepable(resolved, few_digits(), plain.seed, tmp_path)
    plainly = resolved.model_copy(update={"overrides": {}})
    with pytest.raises(UserError, match="is there already"):
        train.require_keepable(plainly, few_digits(), plain.seed, tmp_path)
    train.require_keepable(plainly, few_digits(), plain.seed, tmp_path, "replace")
    train.require_keepable(plainly, few_digits(), plain.seed + 1, tmp_path)


def test_a_run_prints_nothing_when_not_a_terminal(tmp_path: Path, capfd: pytest.CaptureFixture) -> None:
    fit(tmp_path, epochs=1)
    assert capfd.readouterr() == ("", "")


def test_a_later_stage_is_tested_after_every_epoch_and_a_first_one_where_it_is_asked_for(
    tmp_path: Path,
) -> None:
    record = fit(tmp_path, "gcl-official", epochs=6, **{"stage-two.epochs": 4})
    assert [stage.course.test_epochs for stage in record.stages] == [(5, 6), (1, 2, 3, 4), (1, 2, 3, 4)]
    (often,) = fit(tmp_path, "ce", epochs=6, test_every=1).stages
    (usual,) = fit(tmp_path, "ce", epochs=6).stages
    assert often.course.test_epochs == (1, 2, 3, 4, 5, 6)
    assert often.course.loss == usual.course.loss
