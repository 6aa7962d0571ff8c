"""Class counts, the subset that they leave of each class, and what is held out of it."""

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from gclib import data
from gclib.errors import UserError


def test_first_kept_positions() -> None:
    labels = np.repeat(np.arange(10), 5000)
    assert data.long_tailed_indices(labels, 100)[:8].tolist() == [
        398,
        3833,
        4836,
        4572,
        636,
        2545,
        1161,
        2230,
    ]


def test_truncation_makes_the_real_ratio_larger() -> None:
    counts = data.class_counts(500, 100, 200)
    assert counts[0] / counts[-1] == 250


@given(n_max=st.integers(1, 6000), classes=st.integers(1, 40), ratio=st.floats(1, 300))
def test_counts_follow_the_formula_or_are_refused(n_max: int, classes: int, ratio: float) -> None:
    expected = [int(n_max * ratio ** (-c / max(classes - 1, 1))) for c in range(classes)]
    if min(expected) < 1:
        with pytest.raises(UserError, match="without an image"):
            data.class_counts(n_max, classes, ratio)
    else:
        assert data.class_counts(n_max, classes, ratio).tolist() == expected


def test_subsets_of_larger_ratios_lie_within_smaller_ones() -> None:
    labels = np.repeat(np.arange(10), 200)
    assert set(data.long_tailed_indices(labels, 50)) < set(data.long_tailed_indices(labels, 10))


def test_images_that_stand_in_some_order_are_held_out_by_draw_and_those_of_a_cut_from_the_end() -> None:
    whole, cut = data.load("digits"), data.load("digits", 20)
    labels = whole.train.labels
    for share in (0.2, 0.5):
        places = [np.flatnonzero(whole.held_out(share)[labels == label]) for label in range(10)]
        assert [len(of) for of in places] == [int(share * 100)] * 10
        assert all(of.min() < 50 for of in places), "not the last of each class"
        assert len({tuple(of) for of in places}) == 10
    assert (whole.held_out(0.2) == whole.held_out(0.2)).all()
    assert not (whole.held_out(0.2) & ~whole.held_out(0.5)).any(), "a larger share holds a smaller one"
    for label, count in enumerate(cut.class_counts):
        kept = count - int(0.2 * count)
        assert cut.held_out(0.2)[cut.train.labels == label].tolist() == [
            place >= kept for place in range(count)
        ]


def test_unequal_classes_start_from_the_smallest() -> None:
    labels = np.repeat([0, 1, 2], [40, 90, 60])
    chosen = np.bincount(labels[data.long_tailed_indices(labels, 4)])
    assert chosen.tolist() == data.class_counts(40, 3, 4).tolist()


def test_labels_outside_the_classes_are_refused() -> None:
    for labels in ([-1, 0, 1], [0, 2]):
        with pytest.raises(UserError):
            data.long_tailed_indices(np.array(labels), 1)


@pytest.mark.parametrize("form", [list, torch.tensor, lambda labels: np.array(labels, np.float32)])
def test_labels_may_be_a_list_or_a_tensor(form: Callable) -> None:
    labels = [0, 1, 1, 0, 1, 0, 0, 1]
    expected = data.long_tailed_indices(np.array(labels), 2)
    assert data.long_tailed_indices(form(labels), 2).tolist() == expected.tolist()
    with pytest.raises(UserError, match="imbalance ratio '2': expected a number"):
        data.long_tailed_indices(form(labels), "2")  # type: ignore[arg-type]


@pytest.mark.parametrize("n_max", [1, 7, 49, 50, 98, 103, 5000])
def test_the_ratio_that_a_refusal_names_is_possible(n_max: int) -> None:
    with pytest.raises(UserError) as caught:
        data.class_counts(n_max, 10, n_max + 1)
    named = re.search(rf"; give a ratio (of at most|below) {n_max}$", str(caught.value))
    assert named
    assert data.class_counts(n_max, 10, n_max * (1 if named[1] == "of at most" else 0.999))[-1] == 1


def test_a_fraction_of_a_class_or_a_share_beyond_one_is_refused() -> None:
    for n_max, classes in ((100, 2.5), (100.5, 10), (100, "10")):
        with pytest.raises(UserError, match="expected whole numbers"):
            data.class_counts(n_max, classes, 10)  # type: ignore[arg-type]
    for share in (-0.1, 1.0, 2):
        with pytest.raises(UserError, match=r"share is .*, expected a number in \[0, 1\)"):
            data.held_out(np.zeros(10, int), share)


def test_a_seed_that_no_generator_takes_and_a_name_that_is_none_are_refused() -> None:
    labels = np.repeat(np.arange(3), 10)
    for seed in (-1, 2**32, "0"):
        with pytest.raises(UserError, match="seed is"):
            data.long_tailed_indices(labels, 2, seed=seed)  # type: ignore[arg-type]
        with pytest.raises(UserError, match="split_seed is"):
            data.load("digits", 20, split_seed=seed)  # type: ignore[arg-type]
    for name in (Path("digits"), None, 3):
        with pytest.raises(UserError, match="expected a name, such as 'cifar10'"):
            data.load(name, 20)  # type: ignore[arg-type]


def test_a_data_set_is_shown_in_a_line() -> None:
    digits = data.load("digits", 20)
    shown = "335 training images, 100 to 5 in 10 classes; 740 test images"
    assert repr(digits) == f"LongTailed('digits', ratio 20: {shown})"
    assert repr(data.load("digits")).startswith("LongTailed('digits', as it is: ")
    assert repr(digits.test) == "Split(740 images)"


def test_the_ratio_49_of_49_images_is_refused_for_one_below() -> None:
    with pytest.raises(UserError, match=r"the largest class has 49; give a ratio below 49$"):
        data.class_counts(49, 10, 49)
    with pytest.raises(UserError, match=r"or give a ratio below 49$"):
        data.long_tailed_indices(np.repeat([0, 1], (49, 60)), 50)


@pytest.mark.parametrize(
    "counts", [("5000", 10, 100), (5000, "10", 100), (5000, None, 100), (5000, 10, "100")]
)
def test_text_where_a_number_belongs_is_refused(counts: tuple) -> None:
    with pytest.raises(UserError, match=r"expected (a number|whole numbers)"):
        data.class_counts(*counts)
