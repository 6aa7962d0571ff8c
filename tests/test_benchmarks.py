"""The benchmarks are a fair contest, run, and leave a report whose rows follow from its timings."""

import io
import runpy
import sys
from contextlib import redirect_stdout
from pathlib import Path

import numpy as np
import pytest
import torch

from benchmarks import contests, methods, usual
from benchmarks.report import Report
from benchmarks.timing import interleave
from gclib.data import CIFAR
from gclib.losses import GCLLoss
from gclib.networks import resnet32
from gclib.sampling import ClassIndex, class_probabilities

ROOT = Path(__file__).parents[1]
COUNTS = [5000, 2997, 1796, 1077, 645, 387, 232, 139, 83, 50]


@pytest.fixture(scope="module")
def cifar():
    """CIFAR-10-LT at ratio 100, or random images of its shape."""
    data, _ = contests.images()
    return data


def test_the_usual_loss_is_ours_on_the_same_draws():
    generator = torch.Generator().manual_seed(0)
    ours, theirs = GCLLoss(COUNTS, scale=30, noise_scale=0.5), usual.UsualGCLLoss(COUNTS)
    cosine = torch.rand(32, 10, generator=generator).mul(2).sub(1)
    target = torch.randint(0, 10, (32,), generator=generator)
    noise = 2 * ours.draw(cosine.shape, generator)  # some beyond the clamp
    gradients = []
    for loss in (ours, theirs):
        leaf = cosine.clone().requires_grad_()
        value = loss(leaf, target, noise)
        value.backward()
        gradients.append(torch.cat([value.detach()[None], leaf.grad.flatten()]))
    torch.testing.assert_close(*gradients, rtol=1e-4, atol=1e-6)


def test_the_usual_loss_draws_what_ours_draws():
    torch.manual_seed(0)
    drawn = usual.UsualGCLLoss(COUNTS).normal.sample((100_000,))
    ours = GCLLoss(COUNTS).draw((100_000,), torch.Generator().manual_seed(1))
    assert drawn.mean().abs() < 0.01
    assert float(drawn.std()) == pytest.approx(float(ours.std()), rel=0.02)


def test_both_loops_see_the_same_kind_of_images(cifar):
    """Same crops and flips, each about as often: the set of all shifted and mirrored versions of one image."""
    torch.manual_seed(0)
    images = usual.PILImages(cifar.train, usual.transform(cifar))
    ours = contests.our_loop(cifar, "float32", 64, compiled=False)
    draws = ours.stage.draw(torch.Generator().manual_seed(0))
    draws.indices[:], draws.partners, draws.weights = 7, None, None
    mine = ours.train_set.batch(draws, torch.arange(2_000), torch.tensor([0])).images
    theirs = torch.stack([images[7][0] for _ in range(2_000)])
    assert mine.shape == theirs.shape == (2_000, 3, 32, 32)
    mean, std = (torch.tensor(values)[:, None, None] for values in (CIFAR.mean, CIFAR.std))
    pixels = [((x * std + mean) * 255).round().to(torch.uint8) for x in (mine, theirs)]
    versions = [{image.numpy().tobytes() for image in x} for x in pixels]
    assert all(162 * 0.99 <= len(v) <= 9 * 9 * 2 for v in versions)
    assert len(versions[0] & versions[1]) >= 162 * 0.98


def test_a_usual_step_trains_the_whole_network(cifar):
    loop = usual.UsualLoop(cifar, 8, workers=0)
    weights = [parameter.detach().clone() for parameter in loop.network.parameters()]
    loop.steps(2)
    assert len(loop.history) == 2
    assert np.isfinite(loop.history).all()
    moved = zip(weights, loop.network.parameters(), strict=True)
    assert all(not torch.equal(before, after) for before, after in moved)


def test_the_usual_network_computes_what_ours_computes():
    torch.manual_seed(0)
    theirs, ours = usual.usual_resnet32(10), resnet32(10, "cosine")
    with torch.no_grad():
        for mine, other in zip(ours.parameters(), theirs.parameters(), strict=True):
            mine.copy_(other)
    images = torch.randn(4, 3, 32, 32)
    torch.testing.assert_close(ours(images), theirs(images), rtol=1e-4, atol=1e-5)


def test_a_short_epoch_of_ours_has_as_many_steps_as_asked_for(cifar):
    trainer = contests.our_loop(cifar, "float32", 8, compiled=False)
    contests.train(trainer, 3)
    assert len(trainer.step_losses) == 3


def test_the_bare_step_computes_in_our_precision(cifar, monkeypatch):
    dtypes = {}
    for precision in ("float32", "bfloat16"):
        network = resnet32(10, "cosine")
        monkeypatch.setattr(contests, "resnet32", lambda *_, network=network: network)
        bare = contests.bare_loop(cifar, precision, 2, compiled=False)
        network.embedding[0].register_forward_hook(
            lambda module, images, out, precision=precision: dtypes.update({precision: out.dtype})
        )
        bare(1)
    assert dtypes == {"float32": torch.float32, "bfloat16": torch.bfloat16}


def test_the_usual_weights_are_effective_number_sampling():
    labels = np.random.default_rng(0).permutation(np.repeat(np.arange(10), COUNTS))
    weights = np.array(usual.image_weights(labels.tolist(), 10))
    by_class = np.bincount(labels, weights) / weights.sum()
    np.testing.assert_allclose(by_class, class_probabilities(COUNTS, "effective"), rtol=1e-9)
    assert len(usual.multinomial_indices(torch.from_numpy(weights))) == len(labels)


def test_the_labels_have_the_shape_of_inaturalist():
    total, num_classes, most, fewest = contests.INATURALIST
    counts = ClassIndex.from_labels(contests.inaturalist_labels(), num_classes).counts
    assert (counts.sum(), counts.max(), counts.min()) == (total, most, fewest)


def test_contestants_take_turns_and_the_first_turn_does_not_count():
    turns = []
    names = "abc"
    seconds = interleave({name: lambda name=name: turns.append(name) for name in names}, repeats=2)
    assert "".join(turns) == "abcabcabc"
    assert {name: len(values) for name, values in seconds.items()} == dict.fromkeys(names, 2)


@pytest.fixture(scope="module")
def quick(tmp_path_factory) -> Report:
    folder = tmp_path_factory.mktemp("bench")
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(io.StringIO()) as printed:
        patch.setattr(sys, "argv", ["benchmarks", "--quick", "--folder", str(folder)])
        with pytest.raises(SystemExit) as done:
            runpy.run_module("benchmarks", run_name="__main__")
    assert not done.value.code
    (path,) = folder.iterdir()
    report = Report.model_validate_json(path.read_text())
    assert path.name == report.file_name()
    assert all(row.what in printed.getvalue() for row in report.rows)
    return report


def test_a_quick_run_leaves_a_valid_report(quick):
    assert quick.quick
    assert quick.environment.threads == 1
    assert all(
        len(seconds) == 2 and min(seconds) > 0
        for contest in quick.timings.values()
        for seconds in contest.values()
    )
    assert [row.bar for row in quick.rows if row.bar][1:] == [
        "at least 0.9 x", "at most 3 %", "at most 2 x", "at most 0.05 s", "at most 0.05 s", "at most 100 MB",
        *["at most 1.15 x"] * len(methods.PASSES), "at least 1.4 x", "at least 1.8 x",
    ]  # fmt: skip


def test_rows_follow_from_timings_and_say_whether_the_bar_holds(quick):
    timings = {
        contest: {name: [1.0, 2.0] for name in contestants} for contest, contestants in quick.timings.items()
    }
    timings["training step"] |= {"gclib": [0.5, 9.0], "usual, 2 workers": [0.75, 0.8]}
    fields = quick.model_dump(exclude={"rows", "timings"}) | {"timings": timings}
    report = Report.model_validate(fields)
    speed_up = report.rows[0]
    assert speed_up.measured == 1.5  # the better of the two counts of workers, the best turn of each
    assert speed_up.holds is (report.environment.precision == "float32")
    assert not report.holds  # a second for the statistics is too much
    steps = {row.what: row.measured for row in report.rows if row.what.startswith("step of")}
    assert steps["step of bbn, stage 1: time, to that of its passes"] == 0.5  # two passes in the time of one
    assert steps["step of mislas, stage 2: time, to that of its passes"] == 1
    with pytest.raises(ValueError, match="rows: do not follow"):
        Report.model_validate(fields | {"rows": [report.rows[0].model_copy(update={"measured": 9.0})]})


def test_committed_reports_are_whole():
    paths = [*(ROOT / "results" / "bench").glob("*.json")]
    assert paths
    for path in paths:
        report = Report.model_validate_json(path.read_text())
        assert not report.quick
        assert path.name == report.file_name()
        assert all(len(turns) == 5 for contest in report.timings.values() for turns in contest.values())


def test_the_usual_normalisation_is_ours(cifar):
    flat = usual.transform(cifar).transforms[-1]
    assert (tuple(flat.mean), tuple(flat.std)) == (CIFAR.mean, CIFAR.std)
