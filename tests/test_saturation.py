"""Measuring a run's training images: it changes nothing, survives a kill, and its file is whole or refused."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from test_resume import assert_same
from training import few_digits, recipe

from gclib import checkpoints, records, saturation, train
from gclib.errors import UserError
from gclib.loop import Trainer
from gclib.plan import stage_plan
from gclib.saturation import Measuring, Saturation

EPOCHS = 6  # measured after 5 and 6
RUN = ("ce", "digits", 20.0, 0, "smoke")


@contextmanager
def six_epochs_of_few_digits() -> Iterator[None]:
    """Let the names of a run mean a few digits and six epochs."""
    digits, resolved = few_digits(), recipe("ce", epochs=EPOCHS)
    with pytest.MonkeyPatch.context() as patch:
        short = SimpleNamespace(resolve=lambda data, scale: resolved)
        patch.setattr(saturation.recipes, "get", lambda name: short)
        patch.setattr(saturation.data, "load", lambda name, ratio: digits)
        yield


@pytest.fixture(scope="module")
def workdir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("saturation")


@pytest.fixture(scope="module")
def measured(workdir: Path) -> Saturation:
    with six_epochs_of_few_digits():
        return saturation.make(*RUN, device="cpu", workdir=workdir)


def test_a_summary_counts_each_image_where_it_sits() -> None:
    labels = torch.tensor([0, 0, 1, 1, 1])
    leads = torch.tensor([20.5, 6.8, -0.5, 700.0, -700.0], dtype=torch.float64)
    logits = torch.zeros(5, 2, dtype=torch.float64)
    logits[torch.arange(5), labels] = leads  # of two classes, the lead is the difference of logits
    found = saturation.summary(logits, labels, 2)
    assert found["saturated"] == [1, 1]  # at 6.8 the gradient is 0.0011
    expected = 1 / (1 + np.exp(-np.array([-20.5, -6.8, 0.5, -700.0, 700.0])))
    np.testing.assert_allclose(found["mean"], [expected[:2].mean(), expected[2:].mean()])
    assert found["train_accuracy"] == pytest.approx([100, 100 / 3])
    edges = saturation.LEADS
    for row, inside in zip(found["histogram"], ([20.5, 6.8], [-0.5, edges[-1], edges[0]]), strict=True):
        bins = [min(int(lead - edges[0]), len(edges) - 2) for lead in inside]
        assert np.flatnonzero(row).tolist() == sorted(bins)


def test_measuring_changes_nothing_and_goes_on_after_a_kill(
    measured: Saturation, workdir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    resolved = recipe("ce", epochs=EPOCHS)
    plain = train.fit_first_stage(resolved, few_digits(), seed=0, device="cpu", workdir=workdir / "plain")
    stage = stage_plan(resolved, few_digits(), 0)[0].hash
    state = checkpoints.load(workdir / "saturation" / "stages" / stage)
    assert state is not None
    train_epoch = Trainer.train_epoch

    class KilledError(Exception):
        pass

    def killed(trainer: Trainer, epoch: int) -> float:
        if epoch == EPOCHS - 1:
            raise KilledError
        return train_epoch(trainer, epoch)

    again: dict[str, Any] = {
        "seed": 0,
        "device": "cpu",
        "workdir": workdir / "broken",
        "trainer": Measuring,
    }
    monkeypatch.setattr(Trainer, "train_epoch", killed)
    with pytest.raises(KilledError):
        train.fit_first_stage(resolved, few_digits(), **again)
    monkeypatch.setattr(Trainer, "train_epoch", train_epoch)
    broken = train.fit_first_stage(resolved, few_digits(), **again)
    assert broken["measured"] == state["measured"]
    for one in (plain, broken, state):
        one.pop("measured", None)
        one.pop("stage", None)
        del one["course"]["seconds"]
    assert_same(broken, plain, "killed and not measured")
    assert_same(state, plain, "measured and not measured")


def test_what_is_measured_belongs_to_the_run(measured: Saturation) -> None:
    resolved, digits = recipe("ce", epochs=EPOCHS), few_digits()
    assert measured.stage == stage_plan(resolved, digits, 0)[0].hash
    data = records.DataSummary.of(digits)
    assert measured.run == records.run_identity(resolved.model_dump(mode="json"), data, 0)
    assert measured.epochs == (5, 6)
    assert measured.saturated_share.shape == (2, 10)
    assert np.sum(measured.histogram, axis=-1).tolist() == 2 * [digits.class_counts.tolist()]
    tested = dict(zip(measured.course.test_epochs, measured.course.test_accuracy, strict=True))
    for epoch, accuracy in zip(measured.epochs, measured.test_accuracy, strict=True):
        weights = np.bincount(digits.test.labels)
        assert np.average(accuracy, weights=weights) == pytest.approx(tested[epoch], abs=1e-3)
    command = "python -m gclib.saturation ce --data digits --ratio 20 --seed 0 --scale smoke"
    assert measured.command == command


def test_the_command_keeps_the_file_and_compares_it(
    measured: Saturation, workdir: Path, tmp_path: Path, capsys: pytest.CaptureFixture, monkeypatch: Any
) -> None:
    with pytest.raises(UserError, match=f"^ce is not measured yet: {measured.command}$"):
        saturation.find(*RUN, root=tmp_path)
    line = f"ce --data digits --ratio 20 --scale smoke --device cpu --workdir {workdir} --root {tmp_path}"
    with six_epochs_of_few_digits():
        saturation.main(line.split())
    printed = capsys.readouterr().out
    assert "saturation/smoke/digits-ir20/ce-seed0.json" in printed
    assert "2 epochs measured" in printed
    assert "no record of this run" in printed
    assert saturation.find(*RUN, root=tmp_path) == measured  # the finished run was read, not trained again
    assert records.find(tmp_path) == []  # nobody takes it for a run record

    course = measured.course.model_copy()
    stage = SimpleNamespace(hash=measured.stage, course=course)
    monkeypatch.setattr(saturation.records, "find", lambda *_, **__: [SimpleNamespace(stages=[stage])])
    assert saturation.difference(measured) == 0
    stage.course = course.model_copy(update={"test_accuracy": [x + 0.5 for x in course.test_accuracy]})
    assert saturation.difference(measured) == pytest.approx(0.5)
    with six_epochs_of_few_digits():
        saturation.main(line.split())
    assert "by up to 0.5 points" in capsys.readouterr().out


def test_a_damaged_file_is_refused_in_one_line(measured: Saturation, tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    saturation.save(measured, path)
    assert saturation.load(path) == measured
    content = path.read_bytes()
    for damaged in (b"", b"[]", b"{}", content[:-9], content[: len(content) // 2], b"\xff" + content):
        path.write_bytes(damaged)
        with pytest.raises(
            UserError, match=r"^[^\n]*a\.json holds no measurement \([^\n]*make it again[^\n]*$"
        ):
            saturation.load(path)
    for place in range(0, len(content) - 1, 97):
        path.write_bytes(content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :])
        with pytest.raises(UserError, match="holds no measurement"):
            saturation.load(path)
    with pytest.raises(UserError, match="holds no measurement"):
        saturation.load(tmp_path / "missing.json")


@pytest.mark.parametrize(
    ("name", "change", "complaint"),
    [
        ("saturated", lambda rows: rows[:1], "a number for each epoch"),
        ("mean", lambda rows: [row[:9] for row in rows], "a number for each epoch"),
        ("histogram", lambda rows: [[row[1:] for row in rows[0]], rows[1]], "expected 44 bins"),
        ("histogram", lambda rows: [rows[0][::-1], rows[1]], "each training image in one bin"),
        ("epochs", lambda epochs: [5, 7], "end with the run"),
        ("class_names", lambda names: names[:9], "a name for each class"),
        ("seed", lambda seed: "0", "seed"),
        ("seed", lambda seed: 1, "digest"),
    ],
)
def test_a_file_that_contradicts_itself_is_refused(
    measured: Saturation, tmp_path: Path, name: str, change: Any, complaint: str
) -> None:
    document = json.loads(measured.model_dump_json())
    document[name] = change(document[name])
    if complaint != "digest":
        fields = {key: value for key, value in document.items() if key != "digest"}
        document["digest"] = records.content_hash(fields)
    (tmp_path / "a.json").write_text(json.dumps(document))
    with pytest.raises(UserError, match=f"holds no measurement .*{complaint}"):
        saturation.load(tmp_path / "a.json")
