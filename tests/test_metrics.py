"""Each measure against scikit-learn or a loop over images and classes."""

import numpy as np
import pytest
import torch
from scipy.special import softmax
from sklearn import metrics as reference

from gclib.data import class_counts
from gclib.errors import UserError
from gclib.metrics import (
    confusion_matrix,
    group_accuracy,
    groups,
    outcome,
    per_class_accuracy,
    reliability,
    top1,
)
from gclib.records import Outcome


def evaluation(num_classes=10, size=500, seed=0):
    """Logits that are right more often than not, and labels that reach every class, unequally."""
    rng = np.random.default_rng(seed)
    labels = np.concatenate([np.arange(num_classes), rng.integers(num_classes, size=size) ** 2 % num_classes])
    logits = rng.normal(size=(len(labels), num_classes))
    logits[np.arange(len(labels)), labels] += 1.5
    return 2 * logits, labels


@pytest.mark.parametrize("num_classes", [2, 10, 37])
def test_accuracies_are_those_of_scikit_learn(num_classes):
    logits, labels = evaluation(num_classes)
    predicted = logits.argmax(1)
    assert top1(logits, labels) == pytest.approx(100 * reference.accuracy_score(labels, predicted))
    recall = reference.recall_score(labels, predicted, average=None, labels=range(num_classes))
    np.testing.assert_allclose(per_class_accuracy(logits, labels, num_classes), 100 * recall)
    expected = reference.confusion_matrix(labels, predicted, labels=range(num_classes))
    np.testing.assert_array_equal(confusion_matrix(logits, labels, num_classes), expected)


def test_logits_predictions_tensors_and_arrays_give_the_same():
    logits, labels = evaluation()
    for outputs in (logits, logits.argmax(1), torch.tensor(logits), torch.tensor(logits).argmax(1)):
        for truth in (labels, torch.tensor(labels)):
            assert top1(outputs, truth) == top1(logits, labels)
            assert np.array_equal(
                per_class_accuracy(outputs, truth, 10), per_class_accuracy(logits, labels, 10)
            )
            assert np.array_equal(confusion_matrix(outputs, truth, 10), confusion_matrix(logits, labels, 10))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_logits_of_any_precision_that_ask_for_a_gradient_are_measured(dtype):
    logits, labels = evaluation()
    narrow = torch.tensor(logits, dtype=dtype, requires_grad=True)
    wide = narrow.detach().double().numpy()
    assert outcome(narrow, labels, [50] * 10) == outcome(wide, labels, [50] * 10)
    assert top1(narrow, torch.tensor(labels, dtype=torch.float32)) == top1(wide, labels)


LOGITS, LABELS = evaluation(3, size=6)


@pytest.mark.parametrize(
    ("outputs", "labels", "words"),
    [
        (LOGITS, LABELS[:, None], r"labels have shape \(9, 1\), expected \(9,\)"),
        (LOGITS.argmax(1), LABELS[:, None], r"labels have shape \(9, 1\)"),
        (LOGITS, np.eye(3)[LABELS], r"labels have shape \(9, 3\)"),
        (LOGITS, LABELS[:-1], r"labels have shape \(8,\), expected \(9,\)"),
        (LOGITS, LABELS + 1, "labels reach from 1 to 3, expected 0 to 2"),
        (LOGITS, LABELS - 1, "labels reach from -1"),
        (LOGITS, LABELS + 0.5, "labels are not whole numbers"),
        (LOGITS, np.full(9, np.nan), "labels are not whole numbers"),
        (LOGITS, LABELS.astype(str), "labels are not whole numbers"),
        (LOGITS.argmax(1)[:, None], LABELS, r"\(9, 1\)|0 to 0"),
        (LOGITS[:, :, None], LABELS, r"predictions have shape \(9, 3, 1\)"),
        (np.where(LOGITS > 2, np.nan, LOGITS), LABELS, "a logit is NaN"),
        (LOGITS[:0], LABELS[:0], "no image"),
        (LOGITS[:, :0], LABELS, "logits have shape"),
    ],
)
@pytest.mark.parametrize(
    "measure",
    [
        top1,
        lambda outputs, labels: confusion_matrix(outputs, labels, 3),
        lambda outputs, labels: per_class_accuracy(outputs, labels, 3),
    ],
)
def test_what_cannot_be_counted_ends_in_one_line(measure, outputs, labels, words):
    with pytest.raises(UserError, match=words) as caught:
        measure(outputs, labels)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("measure", [confusion_matrix, per_class_accuracy])
def test_a_class_beyond_c_ends_in_one_line_instead_of_another_row(measure):
    for predicted in ([0, 1, 3], [0, 1, -1]):
        with pytest.raises(UserError, match=r"predictions reach from .*, expected 0 to 2"):
            measure(predicted, [0, 1, 2], 3)
    with pytest.raises(UserError, match=r"logits have shape \(9, 3\), expected \(N, 4\)"):
        measure(LOGITS, LABELS, 4)


@pytest.mark.parametrize(
    ("logits", "words"),
    [
        (LOGITS.argmax(1), r"logits have shape \(9,\)"),
        (np.where(LOGITS > 2, np.inf, LOGITS), "a logit is infinite"),
        (np.where(LOGITS > 2, np.nan, LOGITS), "a logit is NaN"),
        (LOGITS[:0], "no image"),
    ],
)
def test_what_has_no_confidence_ends_in_one_line(logits, words):
    with pytest.raises(UserError, match=words):
        reliability(logits, LABELS[: len(logits)])
    with pytest.raises(UserError, match=words):
        outcome(logits, LABELS[: len(logits)], [5, 4, 3])


def test_one_class_is_always_right():
    logits, labels = evaluation(1)
    assert top1(logits, labels) == 100
    assert per_class_accuracy(logits, labels, 1).tolist() == [100]
    assert confusion_matrix(logits, labels, 1).tolist() == [[len(labels)]]


def test_a_class_without_test_images_has_no_accuracy():
    accuracy = per_class_accuracy([0, 1, 0], [0, 1, 1], 3)
    np.testing.assert_array_equal(accuracy, [100, 50, np.nan])


def test_a_class_without_test_images_leaves_its_group_to_the_others():
    assert group_accuracy([90, np.nan, 30, np.nan], [500, 400, 50, 5]) == {
        "many": 90,
        "medium": 30,
        "few": None,
    }
    logits, labels = evaluation(3)
    found = outcome(logits[labels != 1], labels[labels != 1], [5, 4, 3])
    assert found["per_class"][1] is found["medium"] is None
    assert found["many"] == found["per_class"][0]
    assert found["top1"] == top1(logits[labels != 1], labels[labels != 1])
    for per_class in ([90, 30], [90, 30, 20, 10]):
        with pytest.raises(UserError, match=r"[24] accuracies for 3 class counts"):
            group_accuracy(per_class, [500, 400, 50])


@pytest.mark.parametrize(
    ("n_max", "num_classes", "ratio", "sizes"),
    [
        (5000, 10, 10, [10, 0, 0]),
        (5000, 10, 50, [9, 1, 0]),
        (5000, 10, 100, [8, 2, 0]),
        (5000, 10, 200, [7, 3, 0]),
        (500, 100, 10, [69, 31, 0]),
        (500, 100, 50, [41, 41, 18]),
        (500, 100, 100, [35, 35, 30]),
        (500, 100, 200, [30, 31, 39]),
    ],
)
def test_groups_by_counts_have_the_sizes_of_the_fact_sheet(n_max, num_classes, ratio, sizes):
    parts = groups(class_counts(n_max, num_classes, ratio))
    assert [len(parts[name]) for name in ("many", "medium", "few")] == sizes


def test_groups_by_counts_part_at_100_and_20():
    parts = groups([19, 100, 20, 101, 21, 5000, 1])
    assert {name: classes.tolist() for name, classes in parts.items()} == {
        "many": [3, 5],
        "medium": [1, 2, 4],
        "few": [0, 6],
    }


def test_groups_by_thirds_go_by_frequency():
    parts = groups(class_counts(5000, 10, 100), "thirds")
    assert {name: classes.tolist() for name, classes in parts.items()} == {
        "many": [0, 1, 2],
        "medium": [3, 4, 5, 6],
        "few": [7, 8, 9],
    }
    turned = groups(class_counts(5000, 10, 100)[::-1], "thirds")
    assert turned["many"].tolist() == [7, 8, 9]
    assert turned["few"].tolist() == [0, 1, 2]
    assert [len(classes) for classes in groups([5, 4], "thirds").values()] == [0, 2, 0]


def test_group_accuracy_is_the_mean_over_the_classes_or_none():
    assert group_accuracy([90, 70, 40, 10], [500, 101, 50, 20]) == {"many": 80, "medium": 25, "few": None}
    assert group_accuracy([90, 70, 10], [5, 4, 3], "thirds") == {"many": 90, "medium": 70, "few": 10}


def test_an_unknown_group_rule_ends_in_one_line():
    with pytest.raises(UserError, match=r"'third'.*did you mean 'thirds'"):
        groups([1, 2], "third")


@pytest.mark.parametrize("bins", [1, 5, 15])
def test_calibration_error_bin_by_bin(bins):
    logits, labels = evaluation(size=800)
    probability = softmax(logits, axis=1)
    found = reliability(logits, labels, bins)
    total = 0.0
    for m in range(bins):
        inside = [i for i, p in enumerate(probability) if m / bins < p.max() <= (m + 1) / bins]
        assert found.images[m] == len(inside)
        if inside:
            confidence = np.mean([probability[i].max() for i in inside])
            accuracy = np.mean([probability[i].argmax() == labels[i] for i in inside])
            assert found.confidence[m] == pytest.approx(confidence)
            assert found.accuracy[m] == pytest.approx(accuracy)
            total += len(inside) / len(labels) * abs(confidence - accuracy)
    assert found.ece == pytest.approx(total, abs=1e-12)
    assert 0 < found.ece < 1


def test_calibration_of_certain_and_of_blind_predictions():
    certain = reliability([[800.0, -800.0]] * 4, [0, 0, 0, 1])
    assert certain.images.tolist() == [0] * 14 + [4]
    assert certain.ece == pytest.approx(0.25)
    blind = reliability(np.zeros((4, 4)), [0, 1, 2, 3])  # says 1/4, is right in 1 of 4
    assert blind.ece == 0


@pytest.mark.parametrize("num_classes", [10, 11])
def test_an_outcome_makes_a_record_and_agrees_with_it(num_classes):
    logits, labels = evaluation(num_classes)
    counts = class_counts(500, num_classes, 100)
    found = outcome(torch.tensor(logits), labels, counts)
    record = Outcome(epoch=1, **found)
    # Top-1, groups and confusion matrix follow from the accuracy per class.
    record.check(tuple(counts.tolist()), tuple(np.bincount(labels).tolist()))
    assert set(found) | {"epoch"} == set(Outcome.model_fields)
    rule = "thirds" if num_classes == 10 else "counts"
    assert found["few"] == group_accuracy(found["per_class"], counts, rule)["few"]
    assert (found["confusion"] is None) == (num_classes == 11)
    assert found["ece"] == reliability(logits, labels).ece
