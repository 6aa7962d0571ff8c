"""Short scales see so many images and no more, of every class, at any size and number of classes."""

import re
import tracemalloc
from pathlib import Path
from typing import Any

import nbformat
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from gclib import ROOT, data, recipes, records
from gclib.data import longtail, own
from gclib.data.budget import sample_counts
from gclib.errors import UserError
from gclib.train import effort as efforts
from gclib.train.effort import effort


@given(st.lists(st.integers(1, 3000), min_size=1, max_size=60), st.integers(1, 5000))
def test_a_sample_takes_the_same_share_of_each_class_and_one_at_least(
    counts: list[int], at_most: int
) -> None:
    whole = np.array(counts)
    taken = sample_counts(whole, at_most)
    assert (taken >= 1).all()
    assert (taken <= whole).all()
    assert taken.sum() <= max(at_most, len(whole))
    if whole.sum() <= at_most:
        assert (taken == whole).all()
    else:
        share = taken.max() / whole.max()
        assert (abs(taken - share * whole) <= 1 + share).all()


def test_a_sample_of_a_cut_is_a_cut_of_the_same_ratio() -> None:
    cut = data.class_counts(5000, 10, 100)
    taken = sample_counts(cut, 1000, 100)
    assert 900 < taken.sum() <= 1000
    assert taken.tolist() == data.class_counts(int(taken[0]), 10, 100).tolist()
    with pytest.raises(
        UserError, match=r"ratio 100 over 5000 classes needs .* sees 500; leave .*\(ratio 0\)"
    ):
        sample_counts(np.repeat(1000, 5000) // (1 + np.arange(5000) // 50), 500, 100)


def _folder(root: Path, counts: list[int]) -> str:
    for label, count in enumerate(counts):
        (root / f"{label:02d}").mkdir(parents=True)
        for number in range(count):
            image = Image.new("RGB", (8, 8), (label, number % 256, number // 256))
            image.save(root / f"{label:02d}" / f"{number}.bmp")
    return f"folder:{root}@32"


def test_a_smoke_run_reads_a_sample_of_every_class_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name, read = _folder(tmp_path, [900, 90, 9, 2]), []
    plain = own.read_images
    monkeypatch.setattr(own, "read_images", lambda paths, size: (read.extend(paths), plain(paths, size))[1])
    smoke = data.load(name, scale="smoke")
    assert len(read) == len(set(read)) == len(smoke.train) + len(smoke.test)
    assert 450 < len(smoke.train) <= 500
    assert smoke.class_counts[2:].tolist() == [4, 1]
    assert np.bincount(smoke.test.labels).tolist() == [180, 18, 1, 1]
    assert data.load(name, scale="smoke").digest == smoke.digest
    cut = data.load(name, 1, scale="smoke")
    assert cut.class_counts.tolist() == [1, 1, 1, 1]
    records.DataSummary.of(data.load(name, 1, scale="smoke"))
    recipe = recipes.get("ce").resolve(smoke, "smoke")
    assert recipe.stages[0].epochs == 1
    assert len(data.load(name).train) == 801


def test_a_sample_of_very_many_classes_has_some_from_head_to_tail_and_keeps_the_budget(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    counts = [max(3, 30 - label) for label in range(40)]
    name = _folder(tmp_path, counts)
    monkeypatch.setattr(longtail, "image_budget", lambda *_: 20)
    few = data.load(name, scale="smoke")
    assert few.class_names == ("00", "10", "20", "29", "39")
    assert len(few.train) <= 20
    assert len(few.test) <= 20
    for part in (few.train, few.test):
        assert [few.class_names[label] for label in part.labels] == [
            f"{image[0, 0, 0]:02d}" for image in part.images
        ]
    assert few.class_counts.tolist() == sorted(few.class_counts, reverse=True)
    cut = data.load(name, 2, scale="smoke")
    records.DataSummary.of(cut)
    assert cut.class_counts.tolist() == data.class_counts(cut.class_counts[0], 5, 2).tolist()


@pytest.mark.parametrize("scale", ["smoke", "short"])
def test_the_digits_are_never_sampled(scale: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(longtail, "image_budget", lambda *_: 50)
    assert data.load("digits", 20, scale=scale).digest == data.load("digits", 20).digest
    assert len(data.load("digits", 20, scale=scale).train) == 335


def test_a_larger_image_counts_as_several_but_the_digits_budget_stays() -> None:
    budgets = [data.image_budget("smoke", side, side) for side in (4, 8, 16, 32, 64)]
    assert budgets == [8000, 8000, 2000, 500, 125]
    digits = data.load("digits", 20)
    assert recipes.get("ce").resolve(digits, "smoke").stages[0].epochs == 23


def test_loading_takes_little_more_memory_than_the_images(tmp_path: Path) -> None:
    name = _folder(tmp_path, [250, 50]).replace("@32", "@64")
    data.load(name.replace("@64", "@8"))  # modules and tables of formats, which are loaded once
    tracemalloc.start()
    loaded = data.load(name)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1.5 * (loaded.train.images.nbytes + loaded.test.images.nbytes)


def test_what_a_run_takes_is_said_before_it_starts() -> None:
    cifar = data.without_images("cifar10", 100)
    digits = data.load("digits", 20)
    said = effort(recipes.get("gcl-official").resolve(digits, "smoke"), digits)
    assert said.startswith("9,715 images in training and 9,620 in tests: about 1 minute on one CPU core")
    recipe = recipes.get("ce").resolve(cifar, "paper")
    assert effort(recipe, cifar).startswith("2,481,200 images in training")
    assert "epochs" not in effort(recipe, cifar)


def test_a_method_of_several_passes_takes_as_many_times_as_long(monkeypatch: pytest.MonkeyPatch) -> None:
    cifar = data.without_images("cifar10", 100)
    monkeypatch.setattr(efforts, "tests_of", lambda *_: 0)  # which pass once, whatever the method
    alone, *several = (
        efforts._seconds(recipes.get(name).resolve(cifar, "paper"), cifar)
        for name in ("ce", "bbn", "hybrid-psc", "hybrid-sc")
    )
    assert [seconds / alone for seconds in several] == pytest.approx([2, 2, 3])


@pytest.mark.parametrize("name", ["gcl-official", "ce-mixup-crt", "ce-every-epoch", "ce"])
def test_tests_are_counted_as_they_are_made(name: str) -> None:
    runs = records.find(ROOT / "results", scale="paper", recipe=name, dataset="cifar10")
    made = runs[-1]  # the first runs tested their second stages less often
    resolved = recipes.get(name).resolve(data.without_images("cifar10", 100), "paper")
    expected = [list(stage.course.test_epochs) for stage in made.stages]
    for place, stage in enumerate(resolved.stages):
        epochs = range(1, stage.epochs + 1)
        assert [epoch for epoch in epochs if stage.tested(epoch, place == 0)] == expected[place]
        assert efforts.tests_of(stage, place == 0) == len(expected[place])


def test_the_page_says_what_the_test_images_can_show_and_what_the_run_takes_before_it_trains() -> None:
    page = nbformat.read(ROOT / "notebooks" / "training.ipynb", as_version=4)
    code = "\n".join(cell.source for cell in page.cells if cell.cell_type == "code")
    places = [code.index(call) for call in ("in cautions(", "print(effort(", "train.fit(")]
    assert places == sorted(places)


def test_a_short_run_says_that_it_is_no_comparison_and_what_one_takes() -> None:
    cifar = data.without_images("cifar10", 100)
    for overrides, said in (({}, "; 12 of 200 epochs"), ({"epochs": 40}, "")):
        recipe = recipes.get("ce").resolve(cifar, "short", **overrides)
        assert said in effort(recipe, cifar)
        whole = effort(recipes.get("ce").resolve(cifar, "paper", **overrides), cifar)
        (hours,) = re.findall(r"about (\d+ \w+)", whole)
        assert effort(recipe, cifar).endswith(f"take scale paper, about {hours}") == bool(said)


def test_a_larger_network_takes_longer_and_more_memory() -> None:
    cifar = data.without_images("imagenet-lt", None)
    said = [
        effort(recipes.get("ce").resolve(cifar, "paper", network=name, epochs=3), cifar)
        for name in ("resnet18", "resnet50", "resnet152")
    ]
    hours = [int(re.findall(r"about (\d+) hours", text)[0]) for text in said]
    memory = [float(re.findall(r"([\d.]+) GB", text)[0]) for text in said]
    assert hours == sorted(set(hours))
    assert memory == sorted(set(memory))


@pytest.mark.parametrize(("network", "values"), [("resnet50", 631), ("efficientnet-lite0", 530)])
def test_memory_of_large_photographs_is_what_was_measured(network: str, values: int) -> None:
    photographs = data.without_images("imagenet-lt", None)
    recipe = recipes.get("ce").resolve(photographs, "paper", network=network, batch_size=256)
    said = float(re.findall(r"([\d.]+) GB", effort(recipe, photographs))[0])
    assert said == pytest.approx(0.7 + 256 * values * 224**2 * 4 / 1e9, rel=0.15)


def test_frozen_features_cost_one_pass_and_no_memory_of_a_batch() -> None:
    photographs = data.without_images("imagenet-lt", None)

    def said(epochs: int, **overrides: Any) -> tuple[int, float]:
        changes = {"network": "resnet50", "weights": "ab" * 32, "trains": "head", "mixup": 0.0} | overrides
        later = {"stage-two.epochs": epochs, "stage-two.augment": changes["augment"], "stage-two.mixup": 0.0}
        recipe = recipes.get("gcl-official-cben").resolve(
            photographs, "paper", epochs=epochs, **changes, **later
        )
        text = effort(recipe, photographs)
        number, unit = re.findall(r"about (\d+) (hours|minutes)", text)[0]
        return int(number) * (60 if unit == "hours" else 1), float(re.findall(r"([\d.]+) GB", text)[0])

    once, long, anew = said(1, augment=False), said(20, augment=False), said(20, augment=True)
    images = len(photographs.train) + len(photographs.test)
    through = (0.0005 + 0.94 * 0.0022 * 49) / 3  # forward, on one core
    assert once[0] == pytest.approx(images * through / 60, rel=0.35)
    assert once[0] <= long[0] < 1.5 * once[0]
    assert anew[0] > 20 * once[0]
    assert once[1] == long[1] < 2 < anew[1]
