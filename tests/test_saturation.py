"""Measuring a run's training images: it changes nothing, survives a kill, and its file is whole or refused."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import matplotlib

matplotlib.use("agg")

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from matplotlib.colors import to_hex
from training import assert_same, few_digits, recipe

from gclib import data, recipes, records, saturation, train
from gclib.errors import UserError
from gclib.figures.saturation import curve_sliders, lead_panels, lead_slider
from gclib.losses import target_gradient
from gclib.saturation import Saturation, measuring
from gclib.saturation.__main__ import main
from gclib.saturation.measuring import Measuring
from gclib.train import checkpoints
from gclib.train.loop import Trainer
from gclib.train.plan import stage_plan

pytestmark = pytest.mark.usefixtures("small_networks")

EPOCHS = 6  # measured after 5 and 6
RUN = ("ce", "digits", 1.0, 0, "smoke")  # a few digits are as they are


@contextmanager
def six_epochs_of_few_digits() -> Iterator[None]:
    """Let the names of a run mean a few digits and six epochs."""
    digits, resolved = few_digits(), recipe("ce", epochs=EPOCHS)
    with pytest.MonkeyPatch.context() as patch:
        short = SimpleNamespace(resolve=lambda data, scale: resolved)
        patch.setattr(recipes, "get", lambda name: short)
        patch.setattr(data, "load", lambda name, ratio, scale: digits)
        yield


@pytest.fixture(scope="module")
def workdir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("saturation")


@pytest.fixture(scope="module")
def measured(workdir: Path) -> Saturation:
    with six_epochs_of_few_digits():
        return measuring.make(*RUN, device="cpu", workdir=workdir)


def test_a_summary_counts_each_image_where_it_sits() -> None:
    labels = torch.tensor([0, 0, 1, 1, 1])
    leads = torch.tensor([20.5, 6.8, -0.5, 700.0, -700.0], dtype=torch.float64)
    logits = torch.zeros(5, 2, dtype=torch.float64)
    logits[torch.arange(5), labels] = leads  # of two classes, the lead is the difference of logits
    found = measuring.summary(logits, labels, 2)
    assert found["saturated"] == [1, 1]  # at 6.8 the gradient is 0.0011
    expected = 1 / (1 + np.exp(-np.array([-20.5, -6.8, 0.5, -700.0, 700.0])))
    np.testing.assert_allclose(found["mean"], [expected[:2].mean(), expected[2:].mean()])
    assert found["train_accuracy"] == pytest.approx([100, 100 / 3])
    edges = measuring.LEADS
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
    seen = records.DataSummary.of(digits)
    assert measured.run == records.run_identity(resolved.model_dump(mode="json"), seen, 0)
    assert measured.epochs == (5, 6)
    assert np.array(measured.saturated).shape == (2, 10)
    assert np.sum(measured.histogram, axis=-1).tolist() == 2 * [digits.class_counts.tolist()]
    tested = dict(zip(measured.course.test_epochs, measured.course.test_accuracy, strict=True))
    for epoch, accuracy in zip(measured.epochs, measured.test_accuracy, strict=True):
        weights = np.bincount(digits.test.labels)
        assert np.average(accuracy, weights=weights) == pytest.approx(tested[epoch], abs=1e-3)
    command = "python -m gclib.saturation ce --data digits --ratio 1 --seed 0 --scale smoke"
    assert measured.command == command


def test_the_command_keeps_the_file_and_compares_it(
    measured: Saturation, workdir: Path, tmp_path: Path, capsys: pytest.CaptureFixture, monkeypatch: Any
) -> None:
    with pytest.raises(UserError, match=f"^ce is not measured yet: {measured.command}$"):
        saturation.find(*RUN, root=tmp_path)
    line = f"ce --data digits --ratio 1 --scale smoke --device cpu --workdir {workdir} --root {tmp_path}"
    with six_epochs_of_few_digits():
        main(line.split())
    printed = capsys.readouterr().out
    assert "saturation/smoke/digits-ir1/ce-seed0.json" in printed
    assert "2 epochs measured" in printed
    assert "no record of this run" in printed
    assert saturation.find(*RUN, root=tmp_path) == measured  # the finished run was read, not trained again
    assert records.find(tmp_path) == []  # nobody takes it for a run record

    course = measured.course.model_copy()
    stage = SimpleNamespace(hash=measured.stage, course=course)
    monkeypatch.setattr(records, "find", lambda *_, **__: [SimpleNamespace(stages=[stage])])
    assert saturation.difference(measured).tolist() == [0.0] * len(course.test_accuracy)
    moved = [*(x + 0.5 for x in course.test_accuracy[:-1]), course.test_accuracy[-1] - 0.25]
    stage.course = course.model_copy(update={"test_accuracy": moved})
    assert saturation.difference(measured).tolist() == pytest.approx([-0.5] * (len(moved) - 1) + [0.25])
    with six_epochs_of_few_digits():
        main(line.split())
    assert "by up to 0.5 points, by 0.25 after the last epoch" in capsys.readouterr().out


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
        ("histogram", lambda rows: rows[:1], "expected 2 epochs"),
        ("histogram", lambda rows: [rows[0][::-1], rows[1]], "each training image in one bin"),
        ("epochs", lambda epochs: [5, 7], "end with the run"),
        ("class_names", lambda names: names[:9], "a name for each class"),
        ("seed", lambda seed: "0", "seed"),
        ("seed", lambda seed: 1, "digest"),
        ("run", lambda run: "0" * 16, "run: expected the hash of recipe, data and seed"),
        ("command", lambda command: f"{command}; true", "command: expected the one"),
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


# ------------------------------------------------------------------------------------------------- figures


def gradient(difference: np.ndarray, classes: int, scale: float, margin: float) -> np.ndarray:
    """Target gradient by autograd's formula for logits that are written out."""
    logits = torch.zeros(len(difference), classes, dtype=torch.float64)
    logits[:, 0] = scale * torch.as_tensor(difference - margin)
    return target_gradient(logits, torch.zeros(len(difference), dtype=torch.int64)).numpy()


def test_three_sliders_leave_each_other_alone() -> None:
    gap, classes, scales, margins = np.linspace(-1.5, 2, 29), (2, 10, 100), (4, 30), (0, 0.2, 0.5)
    families = {c: {s: gradient(gap, c, s, 0) for s in scales} for c in classes}
    figure = curve_sliders(gap, families, margins, start=(10, 30, 0.2))
    assert [slider.active for slider in figure.layout.sliders] == [1, 1, 1]
    assert (
        figure.layout.xaxis.range[0] == gap[0] + 0.5
    )  # at the largest margin the line still begins at the left

    def shown() -> tuple[np.ndarray, np.ndarray]:
        (line,) = [trace for trace in figure.data[1:] if trace.visible]
        return np.array(line.x), np.array(line.y)

    def check(c: int, s: float, m: float) -> None:
        x, y = shown()
        np.testing.assert_allclose(y, gradient(x, c, s, m), rtol=1e-9)

    check(10, 30, 0.2)
    rng, places = np.random.default_rng(0), [1, 1, 1]
    for _ in range(30):  # as plotly does: each value of a list goes to the next of the traces
        number = int(rng.integers(3))
        places[number] = int(rng.integers(len(figure.layout.sliders[number].steps)))
        change, traces = figure.layout.sliders[number].steps[places[number]].args
        for name, values in change.items():
            for trace, value in zip(traces, values, strict=True):
                figure.data[trace][name] = value
        check(classes[places[0]], scales[places[1]], margins[places[2]])
    np.testing.assert_allclose(figure.data[0].y, gradient(np.array(figure.data[0].x), 10, 30, 0.2), rtol=1e-9)


def test_leads_are_drawn_epoch_by_epoch_in_the_colours_of_their_group() -> None:
    leads, epochs = np.arange(-3.0, 4.0), [5, 10, 15, 20]
    shares = {
        name: np.random.default_rng(k).dirichlet(np.ones(6), 4) for k, name in enumerate(("head", "tail"))
    }
    colours = {"head": "#833fd5", "tail": "#da7d00"}
    figure = lead_slider(leads, shares, epochs, colours)
    (slider,) = figure.layout.sliders
    assert [step.label for step in slider.steps] == ["5", "10", "15", "20"]
    for place, step in enumerate(slider.steps):
        curve, *rows = step.args[0]["y"]
        np.testing.assert_allclose(curve, 1 / (1 + np.exp(np.arange(-2.5, 3))))
        for row, expected in zip(rows, shares.values(), strict=True):
            np.testing.assert_allclose(row, expected[place])
    assert [line.line.color for line in figure.data[1:]] == list(colours.values())
    assert len({line.line.dash for line in figure.data}) == len(figure.data)
    panels = lead_panels(leads, shares, epochs, colours).axes
    assert [axes.get_title("right") for axes in panels] == [f"after epoch {n}" for n in (5, 15, 20)]
    for axes, place in zip(panels, (0, 2, 3), strict=True):
        assert axes.get_ylabel()
        drawn = {patch.get_label(): patch for patch in axes.patches}
        for name, rows in shares.items():
            np.testing.assert_allclose(drawn[name].get_data().values, rows[place])
            assert to_hex(drawn[name].get_edgecolor()) == colours[name]
    assert panels[-1].get_xlabel()
    plt.close("all")


def test_a_fifth_group_is_drawn_as_well() -> None:
    names = list("abcde")
    figure = lead_panels(
        [0, 1, 2], {name: [[0.5, 0.5]] for name in names}, [1], dict.fromkeys(names, "#833fd5"), panels=1
    )
    assert [patch.get_label() for patch in figure.axes[0].patches] == names
    plt.close("all")
