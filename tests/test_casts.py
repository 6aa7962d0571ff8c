"""Weights cast together give what autocast gives, weight by weight."""

import pytest
import torch
from torch import Tensor

from gclib.networks import resnet32


@pytest.mark.parametrize("head", ["linear", "two-tail-linear"])
def test_weights_cast_together_give_the_bits_of_autocast(head: str) -> None:
    images = torch.randn(4, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    found: list[list[Tensor]] = []
    for together in (False, True):
        torch.manual_seed(0)
        network = resnet32(10, head).to(memory_format=torch.channels_last)
        network.in_bfloat16, network.casts_together = True, together
        features = network.features(images)
        if head != "linear":
            features = features + network.tail(images, False).repeat(1, 2)
        features.square().sum().backward()
        found.append([features, *(p.grad for p in network.embedding.parameters())])
        with torch.no_grad():
            found[-1].append(network.eval()(images))
    for own, other in zip(*found, strict=True):
        assert torch.equal(own, other)


def test_no_weight_is_kept_for_later() -> None:
    network = resnet32(10)
    network.in_bfloat16, network.casts_together = True, True
    network(torch.randn(2, 3, 8, 8))
    assert all(getattr(module, "cast_weight", None) is None for module in network.modules())


def test_where_other_modules_compute_too_autocast_casts() -> None:
    network = resnet32(10)
    network.in_bfloat16, network.casts_together = True, True
    images = torch.randn(2, 3, 8, 8)
    with network.autocast(images):  # as OLTR does, for its attention
        assert torch.nn.Conv2d(16, 16, 1)(network.embedding[:4](images)).dtype == torch.bfloat16
