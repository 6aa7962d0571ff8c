"""ResNet-32: its size, its start, its shortcut, and both classifiers."""

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from gclib.errors import UserError
from gclib.networks import BasicBlock, CosineClassifier, ResNet, make_network, resnet32
from gclib.networks.casts import Convolution


def seeded(num_classes: int = 10, head: str = "linear") -> ResNet:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return resnet32(num_classes, head)


def randn(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize(
    ("num_classes", "head", "parameters"),
    [(10, "linear", 464_154), (100, "linear", 470_004), (10, "cosine", 464_144), (100, "cosine", 469_904)],
)
def test_number_of_parameters(num_classes: int, head: str, parameters: int) -> None:
    assert sum(p.numel() for p in resnet32(num_classes, head).parameters()) == parameters


def test_thirty_two_layers() -> None:
    network = seeded()
    assert sum(isinstance(m, torch.nn.Conv2d | torch.nn.Linear) for m in network.modules()) == 32


@pytest.mark.parametrize("size", [32, 8, 4])
@pytest.mark.parametrize("head", ["linear", "cosine"])
def test_shapes(size: int, head: str) -> None:
    network = seeded(7, head).eval()
    inputs = randn(5, 3, size, size)
    features = network.features(inputs)
    assert features.shape == (5, 64)
    assert (features >= 0).all()  # averages of rectified values
    assert network(inputs).shape == (5, 7)
    assert torch.equal(network(inputs), network.head(features))


def test_unknown_head() -> None:
    with pytest.raises(UserError, match=r"expected one of linear, cosine, .* did you mean 'cosine'"):
        resnet32(10, "cosin")
    with pytest.raises(UserError, match="num_classes is 0, expected a number"):
        resnet32(0)


def test_cosines_are_cosines() -> None:
    head = CosineClassifier(64, 10).double()
    features = randn(20, 64).double()
    cosines = head(features).detach().numpy()
    weight, f = head.weight.detach().numpy(), features.numpy()
    expected = [[f[i] @ w / np.sqrt((f[i] @ f[i]) * (w @ w)) for w in weight] for i in range(20)]
    np.testing.assert_allclose(cosines, expected, rtol=0, atol=1e-14)


def test_cosines_stay_in_range_and_ignore_norms() -> None:
    head = CosineClassifier(64, 10).double()
    # The anchors themselves, and their opposites, sit on the borders 1 and -1.
    features = torch.cat([randn(50, 64).double(), head.weight.detach(), -head.weight.detach()])
    cosines = head(features)
    assert cosines.abs().max() <= 1 + 1e-15
    torch.testing.assert_close(cosines[50:60].diagonal(), torch.ones(10).double())
    torch.testing.assert_close(cosines[60:].diagonal(), -torch.ones(10).double())
    factors = torch.linspace(1e-3, 1e3, len(features), dtype=torch.float64)[:, None]
    torch.testing.assert_close(head(factors * features), cosines, rtol=0, atol=1e-14)
    with torch.no_grad():
        head.weight.mul_(torch.linspace(0.1, 10, 10)[:, None])
    torch.testing.assert_close(head(features), cosines, rtol=0, atol=1e-14)


def test_cosine_of_a_zero_feature_is_zero() -> None:
    assert CosineClassifier(64, 10)(torch.zeros(1, 64)).abs().max() == 0
    zeros = torch.zeros(1, 64, dtype=torch.float16)
    assert CosineClassifier(64, 10).half()(zeros).abs().max() == 0, "float16 has no 1e-12 to divide by"
    with torch.autocast("cpu", torch.float16):
        assert CosineClassifier(64, 10)(zeros).abs().max() == 0


@pytest.mark.parametrize(("channels_in", "channels", "stride"), [(16, 16, 1), (16, 32, 2), (32, 64, 2)])
def test_shortcut_is_option_a(channels_in: int, channels: int, stride: int) -> None:
    """With the second norm at zero a block is its shortcut: subsampled, and zero channels on both sides."""
    block = BasicBlock(channels_in, channels, stride)
    torch.nn.init.zeros_(block.norm2.weight)
    x = randn(2, channels_in, 8, 8)
    side = (channels - channels_in) // 2
    expected = torch.zeros(2, channels, 8 // stride, 8 // stride)
    for row in range(8 // stride):
        for column in range(8 // stride):
            expected[:, side : side + channels_in, row, column] = x[:, :, stride * row, stride * column]
    assert torch.equal(block(x), expected.relu())


def test_initial_weights() -> None:
    network = seeded(100)
    for name, module in network.named_modules():
        if isinstance(module, torch.nn.Conv2d | torch.nn.Linear):
            weight = module.weight.detach()
            expected = math.sqrt(2 / weight[0].numel())  # Kaiming normal, fan in
            error = 4 / math.sqrt(2 * weight.numel())  # four standard errors of a standard deviation
            assert weight.std().item() == pytest.approx(expected, rel=error), name
            assert abs(weight.mean().item()) < 4 * expected / math.sqrt(weight.numel()), name
            assert (weight.abs() > 2.5 * expected).any(), f"{name}: not normal"
        if isinstance(module, torch.nn.BatchNorm2d):
            assert (module.weight == 1).all()
            assert (module.bias == 0).all()
    # The bias keeps torch's own start, uniform within 1 / sqrt(64).
    bias = network.head.bias.detach()
    assert 0.1 < bias.abs().max() <= 1 / 8


def test_initial_anchors_are_directions_of_a_cube() -> None:
    anchors = seeded(100, "cosine").head.weight.detach()
    torch.testing.assert_close(anchors.norm(dim=1), torch.ones(100))
    # Uniform in the cube: coordinate over its norm has variance 1 / 64 and kurtosis near 1.8, not the normal's 3.
    kurtosis = (anchors**4).mean() / (anchors**2).mean() ** 2
    assert kurtosis.item() == pytest.approx(1.8, abs=0.1)


@pytest.mark.parametrize("head", ["linear", "cosine"])
def test_state_dict_goes_round_strictly(head: str) -> None:
    network = seeded(10, head)
    network(randn(8, 3, 8, 8))  # moves the running statistics
    state = network.state_dict()
    assert not [name for name in state if "num_batches_tracked" in name]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        other = resnet32(10, head)
    inputs = randn(4, 3, 8, 8, seed=1)
    assert not torch.equal(other.eval()(inputs), network.eval()(inputs))
    plain = dict(state)  # without torch's version numbers, as a file of weights gives it back
    assert other.load_state_dict(plain, strict=True) == torch.nn.modules.module._IncompatibleKeys([], [])
    assert torch.equal(other(inputs), network(inputs))
    with pytest.raises(RuntimeError, match="Missing key"):
        other.load_state_dict({name: value for name, value in state.items() if "head" not in name})


def test_batch_norm_counts_nothing_and_averages_as_torch_does() -> None:
    network = seeded()
    norms = [m for m in network.modules() if isinstance(m, torch.nn.BatchNorm2d)]
    assert len(norms) == 31
    assert all(norm.num_batches_tracked is None for norm in norms)
    norm, reference = norms[1], torch.nn.BatchNorm2d(16)  # the first has its ReLU within
    for seed in range(3):
        x = randn(4, 16, 8, 8, seed=seed)
        torch.testing.assert_close(norm(x), reference(x))
    torch.testing.assert_close(norm.running_var, reference.running_var)
    torch.testing.assert_close(norm.running_mean, reference.running_mean)
    torch.testing.assert_close(norm.eval()(x), reference.eval()(x))


def test_convolutions_in_float64_are_those_of_torch_in_float32() -> None:
    blocks = make_network("efficientnet-lite0", 10, "linear").embedding._blocks
    layers = [
        (Convolution(6, 4), 2)
    ]  # on 2 x 2 pixels; then each kernel and stride of Lite0's depthwise ones
    layers += [
        (block._depthwise_conv, size) for block in (blocks[k] for k in (0, 1, 3, 4)) for size in (7, 12)
    ]
    for layer, size in layers:
        x = torch.randn(3, layer.in_channels, size, size).to(memory_format=torch.channels_last)
        found = []
        for dtype in (torch.float32, torch.float64):
            inputs = [x.to(dtype).requires_grad_(), layer.to(dtype).weight]
            out = layer(inputs[0])
            found.append([out, *torch.autograd.grad(out.square().sum(), inputs)])
        for single, double in zip(*found, strict=True):
            torch.testing.assert_close(single.double(), double, rtol=1e-4, atol=1e-4)


def test_gradient_reaches_every_parameter() -> None:
    for head in ("linear", "cosine"):
        network = seeded(10, head)
        F.cross_entropy(network(randn(16, 3, 8, 8)), torch.arange(16) % 10).backward()
        for name, parameter in network.named_parameters():
            assert parameter.grad is not None, name
            assert parameter.grad.abs().max() > 0, name


@pytest.mark.parametrize("head", ["linear", "cosine"])
def test_in_bfloat16_the_classifier_keeps_full_precision(head: str) -> None:
    network = seeded(head=head).eval()
    network.in_bfloat16 = True
    images = randn(4, 3, 32, 32)
    with torch.no_grad():
        features, output = network.features(images), network(images)
    assert torch.equal(features, features.bfloat16().float())  # the embedding did compute in bfloat16
    assert output.dtype == torch.float32
    assert torch.equal(output, network.head(features))
    assert not torch.equal(output, output.bfloat16().float())


def test_cosines_of_features_of_any_leading_shape() -> None:
    head, tokens = CosineClassifier(16, 3), torch.randn(4, 7, 16)
    expected = F.cosine_similarity(tokens[..., None, :], head.weight, dim=-1)
    torch.testing.assert_close(head(tokens), expected)
    torch.testing.assert_close(head(tokens[0, 0]), expected[0, 0])
