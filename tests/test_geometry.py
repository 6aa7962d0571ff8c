"""The geometry of an embedding against counting image by image, and where the answer is known."""

import numpy as np
import pytest
import torch

from gclib.errors import UserError
from gclib.geometry import geometry, largest_share


def test_geometry_image_by_image():
    rng = np.random.default_rng(2)
    labels = np.arange(60) % 4
    features = rng.normal(size=(60, 5)) + 1.5 * np.eye(5)[labels]
    found = geometry(features, labels, 4, neighbours=6, clear=4 / 6)
    unit = np.array([f / np.sqrt(sum(f**2)) for f in features])
    means = [unit[labels == j].mean(0) for j in range(4)]
    for j in range(4):
        distances, nearer, same, mixed = [], [], [], []
        for i in np.flatnonzero(labels == j):
            to_means = [np.linalg.norm(unit[i] - mean) for mean in means]
            distances.append(to_means[j])
            nearer.append(min(to_means) < to_means[j])
            others = sorted((np.linalg.norm(unit[i] - unit[k]), k) for k in range(60) if k != i)
            around = [labels[k] for _, k in others[:6]]
            same.append(np.mean([label == j for label in around]))
            mixed.append(max(around.count(label) for label in range(4)) < 4)  # of 6: below two thirds
        assert found.spread[j] == pytest.approx(np.mean(distances))
        assert found.overlap[j] == pytest.approx(np.mean(nearer))
        assert found.purity[j] == pytest.approx(np.mean(same))
        assert found.obscure[j] == pytest.approx(np.mean(mixed))
    cosines = [
        means[a] @ means[b] / (np.linalg.norm(means[a]) * np.linalg.norm(means[b]))
        for a in range(4)
        for b in range(4)
        if a != b
    ]
    assert found.alignment == pytest.approx(np.mean(cosines))
    assert 0 < found.overlap.mean() < 1
    assert 0 < found.obscure.mean() < 1
    assert 0.25 < found.purity.mean() < 1


def test_geometry_of_classes_that_are_points():
    corners = np.eye(3) - 1 / 3  # an equilateral triangle round the origin
    labels = np.arange(36) % 3
    found = geometry(7 * corners[labels], labels, 3)
    np.testing.assert_allclose(found.spread, 0, atol=1e-7)
    assert found.overlap.tolist() == [0, 0, 0]
    assert found.purity.tolist() == [1, 1, 1]
    assert found.alignment == pytest.approx(-1 / 2)


def test_an_image_among_those_of_another_class_is_misplaced_but_not_in_the_obscure_region():
    angles = np.concatenate([np.linspace(0, 0.1, 20), np.linspace(2, 2.1, 20)])
    labels = np.repeat([0, 1], 20)
    labels[10] = 1  # deep inside class 0
    found = geometry(np.stack([np.cos(angles), np.sin(angles)], 1), labels, 2)
    assert found.overlap.tolist() == pytest.approx([0, 1 / 21])
    assert found.obscure.tolist() == [0, 0]
    # Both kinds alternate: of ten neighbours about five are of each, wherever one looks.
    mixed = geometry(np.stack([np.cos(angles), np.sin(angles)], 1), np.arange(40) % 2, 2)
    assert mixed.obscure.tolist() == [1, 1]


def test_geometry_ignores_the_length_of_features_and_knows_tensors():
    rng = np.random.default_rng(3)
    labels = np.arange(40) % 2
    features = rng.normal(size=(40, 3))
    longer = torch.tensor(features * rng.uniform(1, 9, size=(40, 1)))
    for one, other in zip(
        geometry(features, labels, 2), geometry(longer, torch.tensor(labels), 2), strict=True
    ):
        np.testing.assert_allclose(one, other)


def test_one_class_is_aligned_with_nothing():
    found = geometry(np.random.default_rng(4).normal(size=(20, 3)), np.zeros(20, dtype=int), 1)
    assert np.isnan(found.alignment)
    assert found.purity.tolist() == [1]
    assert found.overlap.tolist() == [0]


FEATURES, LABELS = np.random.default_rng(5).normal(size=(12, 3)), np.arange(12) % 3


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"labels": LABELS[:, None]}, r"labels have shape \(12, 1\)"),
        ({"labels": LABELS + 1}, "expected 0 to 2"),
        ({"labels": LABELS[:-1]}, r"expected \(12,\)"),
        ({"num_classes": 4}, "class 3 has no image"),
        ({"features": FEATURES * (LABELS != 1)[:, None]}, "feature 1 is zero"),
        ({"features": np.where(FEATURES > 1, np.nan, FEATURES)}, "not finite"),
        ({"features": FEATURES[:, 0]}, r"features have shape \(12,\)"),
        ({"neighbours": 12}, "expected 1 to 11"),
        ({"neighbours": 0}, "expected 1 to 11"),
        ({"clear": 80}, "clear is 80"),
    ],
)
def test_what_has_no_geometry_ends_in_one_line(change, words):
    with pytest.raises(UserError, match=words) as caught:
        geometry(**{"features": FEATURES, "labels": LABELS, "num_classes": 3, "neighbours": 3} | change)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("around", [[0, 1], [[]], [[0, 3]], [[0, -1]]])
def test_a_neighbour_beyond_c_does_not_vote_in_another_neighbourhood(around):
    with pytest.raises(UserError):
        largest_share(around, 3)
