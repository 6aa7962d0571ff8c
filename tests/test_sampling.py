"""Class probabilities against exact arithmetic, index streams against chi-square tests."""

from decimal import Decimal, getcontext

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chi2_contingency, chisquare
from torch.utils.data import DataLoader, TensorDataset

from gclib.errors import UserError
from gclib.sampling import (
    STRATEGIES,
    ClassIndex,
    ClassSampler,
    class_probabilities,
    effective_number_weights,
    epoch_indices,
)
from gclib.sampling.indices import _count_at_most

# CIFAR-10-LT at imbalance ratio 100.
COUNTS = [5000, 2997, 1796, 1077, 645, 387, 232, 139, 83, 50]


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def exact_weight(n, beta):
    """(1 - beta) / (1 - beta^n) with 60 digits."""
    getcontext().prec = 60
    beta = Decimal(float(beta))
    return float((1 - beta) / (1 - beta**n))


# -------------------------------------------------------------------------------------- class probabilities


def test_effective_number_and_cben_to_four_decimals():
    effective = class_probabilities(COUNTS, "effective")
    cben = class_probabilities(COUNTS, "cben")
    printed_effective = [0.1193, 0.1086, 0.1026, 0.0990, 0.0969, 0.0957, 0.0950, 0.0945, 0.0943, 0.0941]
    printed_cben = [0.1194, 0.1086, 0.1025, 0.0989, 0.0969, 0.0957, 0.0950, 0.0946, 0.0943, 0.0942]
    np.testing.assert_allclose(effective, printed_effective, atol=5.1e-5)
    np.testing.assert_allclose(cben, printed_cben, atol=5.1e-5)
    assert np.abs(effective - cben).max() == pytest.approx(1.2e-4, abs=5e-6)
    assert effective[0] / effective[-1] == pytest.approx(1.27, abs=5e-3)
    wider = class_probabilities(COUNTS, "cben", a=0.999, b=0.0009)
    assert wider[0] / wider[-1] == pytest.approx(5.0, abs=0.05)


def test_weights_of_deferred_reweighting_to_three_decimals():
    weights = effective_number_weights(COUNTS)
    printed = [0.051, 0.077, 0.121, 0.195, 0.319, 0.525, 0.868, 1.443, 2.409, 3.993]
    np.testing.assert_allclose(10 * weights / weights.sum(), printed, atol=5.1e-4)


@pytest.mark.parametrize("beta", [0.0, 0.3, 0.9999, 1 - 1e-9, 1 - 2**-53])
def test_effective_number_weights_are_exact_from_1_image_to_a_million(beta):
    counts = [1, 2, 3, 1000, 1_000_000]
    expected = [exact_weight(n, beta) for n in counts]
    np.testing.assert_allclose(effective_number_weights(counts, beta), expected, rtol=1e-13)


def test_effective_number_lies_between_1_and_the_number_of_images():
    counts = np.array([1, 10, 1000, 10**6])
    np.testing.assert_allclose(effective_number_weights(counts, 0.0), 1)
    np.testing.assert_allclose(effective_number_weights(counts, 1 - 2**-53), 1 / counts, rtol=1e-9)


@pytest.mark.parametrize("counts", [COUNTS, [1, 10**6, 40], [9, 9], [3]])
def test_each_strategy_follows_its_formula(counts):
    top, low = max(counts), min(counts)
    span = np.log(top) - np.log(low)
    beta = [0.99 + 0.009 * (np.log(top / n) / span if span else 0) for n in counts]
    expected = {
        "instance": list(counts),
        "class": [1 for n in counts],
        "reversed": [1 / n for n in counts],
        "effective": [n * exact_weight(n, 0.99) for n in counts],
        "cben": [n * exact_weight(n, b) for n, b in zip(counts, beta, strict=True)],
    }
    parameters = {"effective": {"beta": 0.99}, "cben": {"a": 0.99, "b": 0.009}}
    assert set(expected) == set(STRATEGIES)
    for strategy, weights in expected.items():
        q = class_probabilities(counts, strategy, **parameters.get(strategy, {}))
        assert q.dtype == np.float64
        np.testing.assert_allclose(q, np.array(weights) / sum(weights), rtol=1e-10)


@settings(derandomize=True, max_examples=50, deadline=None)
@given(
    counts=st.lists(st.integers(1, 10**6), min_size=1, max_size=20),
    strategy=st.sampled_from(list(STRATEGIES)),
)
def test_probabilities_are_positive_and_sum_to_1(counts, strategy):
    q = class_probabilities(counts, strategy)
    assert np.all(q > 0)
    assert q.sum() == pytest.approx(1, abs=1e-12)
    # An image of a rarer class comes at least as often as one of a more frequent class.
    if strategy != "cben":  # its beta_j spans all of [a, a + b] however little the counts differ
        per_image = q / counts
        assert np.all(np.diff(per_image[np.argsort(counts)]) <= 1e-12 * per_image.max())


def test_cben_turns_round_where_counts_hardly_differ():
    head, tail = class_probabilities([4258, 4157], "cben") / [4258, 4157]
    assert tail < head
    head, tail = class_probabilities([4258, 4157], "effective") / [4258, 4157]
    assert tail > head


@pytest.mark.parametrize(
    ("strategy", "parameters", "words"),
    [
        ("efective", {}, "did you mean 'effective'"),
        ("cben", {"beta": 0.9}, "unknown parameter 'beta'.*expected a and b"),
        ("effective", {"betta": 0.9}, "did you mean 'beta'"),
        ("class", {"beta": 0.9}, "unknown parameter 'beta'.*expected none"),
        ("effective", {"beta": 1.0}, "beta is 1.0"),
        ("effective", {"beta": -0.1}, "beta is -0.1"),
        ("effective", {"beta": float("nan")}, "beta is nan"),
        ("cben", {"a": 1.0}, "a is 1.0"),
        ("cben", {"b": -1e-5}, "b is -1e-05"),
        ("cben", {"a": 0.5, "b": 0.5}, "b is 0.5"),
    ],
)
def test_impossible_samplers_end_in_one_line(strategy, parameters, words):
    with pytest.raises(UserError, match=words) as caught:
        class_probabilities(COUNTS, strategy, **parameters)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_a_class_without_images_ends_in_one_line(strategy):
    with pytest.raises(UserError, match="class 1 has 0 training images"):
        class_probabilities([4, 0], strategy)


# ------------------------------------------------------------------------------------------------- streams


@pytest.mark.parametrize("num_classes", [1, 7, 40_000])  # the last does not fit into 16 bits
def test_class_index_finds_the_images_of_each_class(num_classes):
    labels = np.random.default_rng(0).integers(num_classes, size=300)
    index = ClassIndex.from_labels(labels, num_classes)
    assert index.counts.tolist() == np.bincount(labels, minlength=num_classes).tolist()
    for j in set(labels.tolist()):
        images = index.order[index.start[j] : index.start[j] + index.counts[j]]
        assert images.tolist() == np.flatnonzero(labels == j).tolist()


@pytest.mark.parametrize("labels", [[0, 3], [-1, 0]])
def test_labels_outside_the_classes_end_in_one_line(labels):
    with pytest.raises(UserError, match="expected 0 to 2") as caught:
        ClassIndex.from_labels(np.array(labels), 3)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("labels", [[[0], [1]], [0.7, 1.2], ["0", "1"]])
def test_labels_that_are_no_classes_end_in_one_line(labels):
    with pytest.raises(UserError, match="labels"):
        ClassIndex.from_labels(np.array(labels), 3)


LABELS = np.random.default_rng(1).permutation(np.repeat(np.arange(4), [60, 25, 10, 5]))
INDEX = ClassIndex.from_labels(LABELS, 4)


def test_instance_balanced_epoch_is_a_permutation():
    epoch = epoch_indices(INDEX, None, 100, seeded())
    assert epoch.dtype == torch.int64
    assert sorted(epoch.tolist()) == list(range(100))
    assert epoch.tolist() != list(range(100))
    assert torch.equal(epoch_indices(INDEX, None, 30, seeded()), epoch[:30])
    with pytest.raises(UserError, match=r"101 indices .* at most 100"):
        epoch_indices(INDEX, None, 101, seeded())


@pytest.mark.parametrize("strategy", ["class", "reversed", "cben"])
def test_draws_pass_chi_square_tests(strategy):
    q = class_probabilities(INDEX.counts, strategy, **({"a": 0.9, "b": 0.09} if strategy == "cben" else {}))
    n = 100_000
    epoch = epoch_indices(INDEX, q, n, seeded(3)).numpy()
    assert epoch.shape == (n,)
    drawn = LABELS[epoch]
    by_class = np.bincount(drawn, minlength=4)
    assert chisquare(by_class, n * q).pvalue > 0.001
    # Each image of a class alike: probability q_j / n_j.
    by_image = np.bincount(epoch, minlength=100)
    assert chisquare(by_image, n * (q / INDEX.counts.numpy())[LABELS]).pvalue > 0.001
    # The order tells nothing: neither the half of the epoch nor the class before.
    halves = [np.bincount(half, minlength=4) for half in np.split(drawn, 2)]
    assert chi2_contingency(halves).pvalue > 0.001
    pairs = np.bincount(4 * drawn[:-1] + drawn[1:], minlength=16).reshape(4, 4)
    assert chi2_contingency(pairs).pvalue > 0.001


def test_the_generator_alone_decides():
    q = class_probabilities(INDEX.counts, "class")
    state = torch.get_rng_state()
    generator = seeded(7)
    first, second = (epoch_indices(INDEX, q, 50, generator) for _ in range(2))
    assert not torch.equal(first, second)
    assert torch.equal(first, epoch_indices(INDEX, q, 50, seeded(7)))
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize("uniform", [0.0, 1 - 2**-53])
def test_the_ends_of_the_unit_interval_stay_within_the_classes(monkeypatch, uniform):
    monkeypatch.setattr(torch, "rand", lambda *shape, **_: torch.full(shape, uniform, dtype=torch.float64))
    q = np.array([0, *10 * [0.1], 0])
    assert q.cumsum()[-1] < 1  # the last bit is lost
    index = ClassIndex.from_labels(np.repeat(np.arange(12), [3, *10 * [49], 3]), 12)
    (image,) = epoch_indices(index, q, 1, seeded())
    assert image == (3 if uniform == 0 else 3 + 490 - 1)


def test_a_class_with_probability_0_is_never_drawn():
    index = ClassIndex.from_labels(np.array([0, 1, 1, 2, 4]), 5)  # class 3 has no image
    epoch = epoch_indices(index, [0, 0.5, 0.5, 0, 0], 2000, seeded())
    assert set(epoch.tolist()) == {1, 2, 3}
    with pytest.raises(UserError, match="class 3 has no image"):
        epoch_indices(index, np.full(5, 0.2), 10, seeded())


@pytest.mark.parametrize("num_classes", [1, 2, 3, 10, 100, 8142])
def test_drawn_classes_are_those_of_a_plain_binary_search(num_classes):
    generator = torch.Generator().manual_seed(num_classes)
    chances = torch.rand(num_classes, dtype=torch.float64, generator=generator) ** 9
    edges = (chances / chances.sum()).cumsum(0)
    edges /= edges[-1].clone()
    values = torch.rand(20_000, dtype=torch.float64, generator=generator)
    values[0], values[1] = 0, 1 - 2**-53
    values[2 : num_classes + 1] = edges[:-1].clamp(max=1 - 2**-53)  # exactly on the edges
    assert torch.equal(_count_at_most(edges, values), torch.searchsorted(edges, values, right=True))


@pytest.mark.parametrize(
    "q", [[1.0], [0.2] * 5, [0, 0, 0, 0], [2, -1, 0, 0], [np.nan] * 4, [np.inf, 1, 1, 1]]
)
def test_what_is_no_probability_of_each_class_ends_in_one_line(q):
    with pytest.raises(UserError, match="expected 4 numbers >= 0"):
        epoch_indices(INDEX, q, 10, seeded())


def test_beta_is_a_number_or_one_per_class():
    with pytest.raises(UserError, match=r"beta has shape \(2,\)"):
        effective_number_weights([3, 2, 1], [0.5, 0.9])


# ------------------------------------------------------------------------------ for a DataLoader of one's own


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_a_sampler_gives_a_data_loader_what_the_training_loop_draws(strategy):
    sampler = ClassSampler(LABELS, strategy, generator=seeded(3))
    loader = DataLoader(TensorDataset(torch.arange(100)), batch_size=32, sampler=sampler)
    assert len(loader) == 4
    q = None if strategy == "instance" else class_probabilities(INDEX.counts, strategy)
    generator = seeded(3)
    for _ in range(2):  # a pass is an epoch
        (epoch,) = (torch.cat([images for (images,) in loader]),)
        assert torch.equal(epoch, epoch_indices(INDEX, q, 100, generator))


def test_a_sampler_without_generator_follows_torch_and_a_number_of_its_own():
    sampler = ClassSampler(torch.tensor(LABELS), "class", num_samples=300)
    torch.manual_seed(4)
    first, second = list(sampler), list(sampler)
    torch.manual_seed(4)
    assert (list(sampler), len(sampler)) == (first, 300)
    assert first != second


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"labels": [0, 2, 2]}, "class 1 has 0 training images"),
        (
            {"labels": [0, 10**12]},
            "1000000000001 classes, but only 2 labels; number the classes from 0 without gaps",
        ),
        ({"labels": [0, 1], "num_classes": 3}, "3 classes, but only 2 labels"),
        ({"labels": []}, "class counts have shape"),
        ({"labels": [0, 1], "num_classes": 1}, "expected 0 to 0"),
        ({"labels": [[0], [1]]}, "labels have shape"),
        ({"labels": [0, 1], "strategy": "klass"}, "did you mean 'class'"),
        ({"labels": [0, 1], "beta": 0.9}, "unknown parameter 'beta'"),
        ({"labels": [0, 1], "num_samples": 0}, "num_samples is 0, expected 1 or more"),
        ({"labels": [0, 1], "strategy": "instance", "num_samples": 3}, "expected 1 to 2"),
        ({"labels": [0, 1], "num_samples": 1.5}, "num_samples is 1.5, expected a whole number"),
        ({"labels": [0, 1], "num_classes": 2.0}, "num_classes is 2.0, expected a whole number"),
        ({"labels": [0, 1], "generator": 0}, r"generator is 0, expected a torch.Generator"),
        ({"labels": [0, 1], "strategy": "cben", "a": 0.99, "b": 0.01}, r"b is 0.01, expected a \+ b below 1"),
    ],
)
def test_an_impossible_sampler_for_a_loader_ends_in_one_line(arguments, words):
    with pytest.raises(UserError, match=words):
        ClassSampler(**{"strategy": "class"} | arguments)


def test_whole_numbers_of_a_column_of_objects_are_labels():
    labels = np.array([0, 1, 1], dtype=object)
    assert ClassSampler(labels, "class").index.counts.tolist() == [1, 2]
    with pytest.raises(UserError, match="not whole numbers"):
        ClassSampler(np.array(["a", "b"], dtype=object), "class")
