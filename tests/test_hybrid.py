"""Hybrid contrastive learning: both contrasts from their formulas, the streams, the mixing."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from training import assert_learns_and_keeps_the_tail, few_digits, recipe

from gclib.data.augment import grey
from gclib.methods.stage import Stage
from gclib.methods.stages.hybrid import draw_boxes, draw_colours, prototypical_contrast, supervised_contrast
from gclib.train.loop import Trainer
from gclib.train.making import make_stage
from gclib.train.resident import Resident


def randn(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def stage(name: str, **overrides: Any) -> Stage:
    resolved = recipe(name, epochs=10, **overrides)
    return make_stage(resolved.stages[0], resolved.head, few_digits(), 0, 0, None).double()


def test_supervised_contrast() -> None:
    z, y = F.normalize(randn(8, 5)), torch.tensor([0, 0, 1, 1, 1, 2, 2, 0])
    v, terms = z.numpy(), []
    for i in range(8):
        below = sum(np.exp(v[i] @ v[k] / 0.1) for k in range(8) if k != i)
        positive = [p for p in range(8) if p != i and y[p] == y[i]]
        terms.append(-np.mean([np.log(np.exp(v[i] @ v[p] / 0.1) / below) for p in positive]))
    assert supervised_contrast(z, y, 0.1).item() == pytest.approx(np.mean(terms), rel=1e-12)
    z.requires_grad_()
    assert torch.autograd.gradcheck(lambda x: supervised_contrast(x, y, 0.5), z)


def test_prototypical_contrast_leaves_the_own_class_out_below() -> None:
    z, p, y = F.normalize(randn(6, 5)), F.normalize(randn(3, 5, seed=1)), torch.arange(6) % 3
    u, q, terms = z.numpy(), p.numpy(), []
    for i in range(6):
        below = sum(np.exp(u[i] @ q[j] / 0.1) for j in range(3) if j != y[i])
        terms.append(-np.log(np.exp(u[i] @ q[y[i]] / 0.1) / below))
    assert prototypical_contrast(z, p, y, 0.1).item() == pytest.approx(np.mean(terms), rel=1e-12)


@pytest.mark.parametrize("name", ["ce", "bbn", "hybrid-sc", "hybrid-sc-joint", "hybrid-psc"])
def test_a_method_says_how_often_an_image_of_the_epoch_passes_the_network(name: str) -> None:
    one, sizes = stage(name), list[int]()
    draws = one.draw(torch.Generator().manual_seed(0))
    images = Resident(few_digits().train, few_digits().augmentation, torch.device("cpu"), torch.float64)
    batch = images.batch(draws, torch.arange(16), torch.tensor([0]))
    first = next(module for module in one.network.modules() if isinstance(module, torch.nn.Conv2d))
    first.register_forward_pre_hook(lambda _, inputs: sizes.append(len(inputs[0])))
    one.loss(batch)
    assert sum(sizes) == one.passes(one.settings) * 16


@pytest.mark.parametrize(("name", "views"), [("hybrid-sc", 2), ("hybrid-psc", 1)])
def test_streams_and_mixing(name: str, views: int) -> None:
    one, train = stage(name), few_digits().train
    draws = one.draw(torch.Generator().manual_seed(0))
    first = draws.other
    assert first.indices.sort().values.tolist() == list(range(len(train)))
    assert (first.other is not None) == (views == 2)
    if views == 2:
        assert torch.equal(first.other.indices, first.indices)
        assert not torch.equal(first.other.offsets, first.offsets)
    assert 0.1 < first.greys.double().mean() < 0.3
    batch = Resident(train, few_digits().augmentation, torch.device("cpu"), torch.float64).batch(
        draws, torch.arange(16), torch.tensor([0])
    )
    one.eval()
    with torch.no_grad():
        parts = [batch.other, batch.other.other][:views]
        features = one.network.features(torch.cat([part.images for part in parts]))
        z, y = F.normalize(one.projection(features)), torch.cat([part.targets for part in parts])
        temperature = one.settings.parameters["temperature"]
        if views == 2:
            contrast = supervised_contrast(z, y, temperature)
        else:
            contrast = prototypical_contrast(z, F.normalize(one.prototypes), y, temperature)
        plain = F.cross_entropy(one.network(batch.images), batch.targets)
        for epoch, alpha in ((0, 1.0), (5, 0.75), (9, 0.19)):
            one.begin_epoch(epoch)
            expected = alpha * contrast + (1 - alpha) * plain
            assert one.loss(batch).item() == pytest.approx(expected.item(), rel=1e-6), epoch
    assert torch.equal(one(batch.images), one.network(batch.images))


def test_joint_is_one_pass_over_whole_batches() -> None:
    one, digits = stage("hybrid-sc-all", batch_size=15), few_digits()
    draws = one.draw(torch.Generator().manual_seed(0))
    assert len(draws.indices) == len(digits.train) // 15 * 15 < len(digits.train)
    views = [draws, draws.other, draws.other.other]
    assert all(len(view.boxes) == len(view.colours) == len(draws.indices) for view in views)
    assert not any(torch.equal(view.boxes, views[0].boxes) for view in views[1:])
    batch = Resident(digits.train, digits.augmentation, torch.device("cpu"), torch.float64).batch(
        draws, torch.arange(15), torch.tensor([0])
    )
    seen: list[int] = []
    one.network.embedding.register_forward_hook(lambda _, images, __: seen.append(len(images[0])))
    joint = one.loss(batch)
    assert seen == [45]
    one.eval()
    apart = stage("hybrid-sc", batch_size=15).eval()
    apart.load_state_dict(one.state_dict())
    for each in (one, apart):
        each.begin_epoch(5)
    assert one.loss(batch).item() == pytest.approx(apart.loss(batch).item(), rel=1e-6)
    assert joint.isfinite()


def test_boxes_are_drawn_as_torchvision_draws_them() -> None:
    from torchvision.transforms import RandomResizedCrop

    boxes = draw_boxes(4000, 32, 32, torch.Generator().manual_seed(0))
    top, left, height, width = boxes.T
    assert min(top.min(), left.min()) >= 0
    assert max((top + height).max(), (left + width).max()) <= 32
    torch.manual_seed(0)
    image = torch.zeros(3, 32, 32)
    theirs = torch.tensor(
        [RandomResizedCrop.get_params(image, [0.2, 1.0], [3 / 4, 4 / 3]) for _ in range(4000)]
    )
    for ours, other in zip(boxes.numpy().T, theirs.numpy().T, strict=True):
        assert ours.mean() == pytest.approx(other.mean(), abs=5 * other.std() * (2 / 4000) ** 0.5)
        assert ours.std() == pytest.approx(other.std(), rel=0.06)


def test_four_of_five_images_have_their_colours_changed() -> None:
    colours = draw_colours(4000, torch.Generator().manual_seed(0))
    unchanged = torch.tensor([1.0, 1.0, 1.0, 0.0])
    assert (colours != unchanged).any(1).double().mean() == pytest.approx(0.8, abs=0.03)
    reach = torch.tensor([0.4, 0.4, 0.4, 0.1])
    assert ((colours - unchanged).abs() <= reach + 1e-6).all()
    torch.testing.assert_close((colours - unchanged).abs().amax(0), reach, rtol=0.01, atol=0)


@pytest.mark.parametrize("name", ["hybrid-sc", "hybrid-psc"])
def test_projection_and_prototypes_learn_with_the_network(name: str) -> None:
    one = stage(name)
    before = {path: value.clone() for path, value in one.named_parameters()}
    assert any("projection" in path for path in before)
    assert ("prototypes" in before) == (name == "hybrid-psc")
    Trainer(one, few_digits(), torch.device("cpu"), "float64", 0).train_epoch(0)
    for path, value in one.named_parameters():
        assert not torch.equal(value, before[path]), path


def test_grey_takes_the_luma_of_the_chosen() -> None:
    from torchvision.transforms.functional import rgb_to_grayscale

    images = torch.randint(0, 256, (4, 5, 6, 3), generator=torch.Generator().manual_seed(0)).to(torch.uint8)
    chosen = torch.tensor([True, False, True, False])
    out = grey(images, chosen)
    assert torch.equal(out[~chosen], images[~chosen])
    expected = rgb_to_grayscale(images.permute(0, 3, 1, 2), 3).permute(0, 2, 3, 1)
    assert (out[chosen].int() - expected[chosen].int()).abs().max() <= 1
    assert out.dtype == torch.uint8


@pytest.mark.parametrize("name", ["hybrid-sc", "hybrid-psc"])
def test_it_learns_and_keeps_the_tail(name: str, once: Callable) -> None:
    assert_learns_and_keeps_the_tail(name, once)
