"""Features in the place of images: the same run, the embedding computed once; and methods that fit at many classes."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from training import few_digits, fit, recipe

from gclib import recipes, train
from gclib.data import LongTailed, Split
from gclib.methods.stage import Batch, Stage
from gclib.methods.stages.mislas import SmoothedClassifier
from gclib.methods.stages.rebalance import class_means
from gclib.networks import Network
from gclib.train import runner
from gclib.train.features import featured
from gclib.train.making import make_stage

pytestmark = pytest.mark.usefixtures("without_fingerprint", "small_networks")

AS_IT_IS = {
    "trains": "head",
    "augment": False,
    "mixup": 0.0,
    "stage-two.augment": False,
    "stage-two.mixup": 0.0,
}


@pytest.fixture
def embedded(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many images went through an embedding, call by call."""
    seen: list[int] = []
    features = Network.features

    def counted(network: Network, images: torch.Tensor) -> torch.Tensor:
        if images.ndim == 4:
            seen.append(len(images))
        return features(network, images)

    monkeypatch.setattr(Network, "features", counted)
    return seen


def on_images(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let every image pass the whole network from now on, each time."""
    for owner in (Stage, SmoothedClassifier):
        monkeypatch.setattr(owner, "keeps_features", classmethod(lambda cls, settings: False))


METHODS = "ce-mixup-crt ce-mixup-tau-chosen ce-mixup-ncm mislas".split()


@pytest.mark.parametrize("name", METHODS)
def test_a_run_on_features_is_the_run_on_images(
    name: str, tmp_path: Path, embedded: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    changes = {"epochs": 2} | AS_IT_IS
    first = fit(tmp_path / "features", name, **changes)
    images = len(few_digits().train) + len(few_digits().test)
    # The classifier that it leaves is calibrated on held-out images, from their pixels.
    shares = [stage["held_out"] for stage in first.recipe["stages"] if "held_out" in stage]
    calibrated = int(few_digits().held_out(shares[0]).sum()) if shares else 0
    assert sum(embedded) == images + calibrated
    on_images(monkeypatch)
    second = fit(tmp_path / "images", name, **changes)
    assert sum(embedded) > 3 * images
    for one, other in zip(first.stages, second.stages, strict=True):
        np.testing.assert_allclose(one.course.loss, other.course.loss, rtol=1e-5)
        assert one.last == other.last
        assert one.choice == other.choice


@pytest.mark.parametrize("name", ["ce-mixup-crt", "mislas"])
def test_test_images_pass_an_embedding_that_learns_nothing_more_once(
    name: str, tmp_path: Path, embedded: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    changes = {"epochs": 1, "stage-two.epochs": 3}
    first = fit(tmp_path / "once", name, **changes)
    once = sum(embedded)
    on_images(monkeypatch)
    embedded.clear()
    second = fit(tmp_path / "each", name, **changes)
    assert sum(embedded) - once == 2 * 2 * len(few_digits().test), (
        "two of three tests, from the last and the best"
    )
    for one, other in zip(first.stages, second.stages, strict=True):
        assert one.course.test_accuracy == other.course.test_accuracy
        assert one.last == other.last


def test_methods_share_the_features_and_a_damaged_file_is_made_anew(
    tmp_path: Path, embedded: list[int]
) -> None:
    changes: dict[str, Any] = {"epochs": 1} | AS_IT_IS
    first = fit(tmp_path, "ce-mixup-crt", **changes)
    once = sum(embedded)
    fit(tmp_path, "ce-mixup-lws", **changes)
    assert sum(embedded) == once
    (file,) = (tmp_path / "features").iterdir()
    file.write_bytes(file.read_bytes()[:100])
    assert fit(tmp_path, "ce-mixup-crt", resume=False, **changes).stages[2].last == first.stages[2].last
    assert sum(embedded) == 2 * once


def test_features_of_another_precision_are_other_features(tmp_path: Path) -> None:
    digits = few_digits()
    resolved = recipe("ce")
    network = make_stage(resolved.stages[0], resolved.head, digits, 0, 0, None).network
    found = []
    for network.in_bfloat16 in (False, True, False):
        featured(network, digits, torch.device("cpu"), torch.float32, tmp_path)
        found.append(len(list(tmp_path.iterdir())))
    assert found == [1, 2, 2]


def test_a_classifier_on_features_is_not_compiled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runner, "can_compile", lambda: True)
    monkeypatch.setattr(runner, "measure_precision", lambda: None)
    monkeypatch.setattr(torch, "compile", lambda *_, **__: pytest.fail("it takes longer than such a run"))
    long = recipes.get("ce").resolve(few_digits(), "paper", epochs=1, trains="head", augment=False)
    made = train.fit(long, few_digits(), seed=0, device="cpu", workdir=tmp_path)
    assert made.environment.compiled is False


def test_statistics_that_shift_and_augmented_images_need_the_images() -> None:
    def on_features(name: str, stage: int = 1, **overrides: Any) -> bool:
        settings = recipe(name, **overrides).stages[stage]
        return Stage.methods[settings.method].on_features(settings)

    plain = {"stage-two.augment": False, "stage-two.mixup": 0.0}
    assert on_features("mislas", **plain)
    assert not on_features("mislas", **plain, **{"stage-two.parameters.shift": True})
    assert not on_features("ce-mixup-crt")
    assert not on_features("oltr", **plain)
    assert not on_features("ce", 0, augment=False)
    assert on_features("ce", 0, augment=False, trains="head")


class Largest(TorchDispatchMode):
    """Notes the largest tensor that is made."""

    numbers = 0

    def __torch_dispatch__(self, function: Any, types: Any, arguments: Any = (), options: Any = None) -> Any:
        out = function(*arguments, **(options or {}))
        for one in out if isinstance(out, tuple | list) else [out]:
            if isinstance(one, torch.Tensor):
                self.numbers = max(self.numbers, one.numel())
        return out


def many_classes(classes: int) -> LongTailed:
    labels = np.arange(2 * classes) % classes
    split = Split(np.zeros((len(labels), 8, 8, 3), np.uint8), labels)
    counts = np.full(classes, 2)
    return replace(
        few_digits(),
        train=split,
        test=split,
        class_counts=counts,
        class_names=tuple(map(str, range(classes))),
    )


@pytest.mark.parametrize("name", ["oltr", "ce-mixup-ncm"])
def test_no_method_makes_a_difference_for_each_image_class_and_feature(name: str) -> None:
    data, count = many_classes(500), 400
    resolved = recipe(name)
    stage = make_stage(resolved.stages[1], resolved.head, data, 0, 1, None)
    features = torch.randn(count, 64, requires_grad=True)
    with Largest() as seen:
        if name == "oltr":
            stage.embed = lambda images: images  # type: ignore[assignment]
            stage.loss(Batch(features, torch.arange(count), None, None, None)).backward()
        else:
            stage(features)
    assert count * 500 <= seen.numbers < 4 * count * 500


def test_class_means_are_those_of_each_class_alone() -> None:
    generator = torch.Generator().manual_seed(0)
    features, labels = torch.randn(50, 7, generator=generator), torch.randint(5, (50,), generator=generator)
    for label, mean in enumerate(class_means(features, labels, 5)):
        assert torch.equal(mean, features[labels == label].mean(0))
