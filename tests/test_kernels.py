"""The GPU's kernels compute what torch does: on a GPU where there is one, else under Triton's interpreter."""

from collections.abc import Iterator
from contextlib import contextmanager
from copy import deepcopy

import pytest
import torch
import torch.nn.functional as F

from gclib.errors import UserError
from gclib.networks import ResNet, TwoTailResNet, choose_variant, use, variants
from gclib.networks.casts import Convolution
from gclib.networks.variants import convolution_disagreement, disagreement

DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")


@contextmanager
def interpreted() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        if DEVICE.type == "cpu":
            patch.setenv("TRITON_INTERPRET", "1")
        yield


with interpreted():  # Triton reads it as it is imported, so before any test
    fused = pytest.importorskip("gclib.networks.fused", exc_type=ImportError)
    convolutions = pytest.importorskip("gclib.networks.convolutions", exc_type=ImportError)


@pytest.fixture(autouse=True, scope="module")
def _interpreted_and_compared_with_float32_of_all_its_bits() -> Iterator[None]:
    """Else cuDNN computes convolutions of float32 with 10 bits, on both sides of some comparisons."""
    with interpreted(), torch.backends.cudnn.flags(enabled=True, allow_tf32=False):
        yield


@pytest.mark.parametrize("channels", [16, 32, 64])
@pytest.mark.parametrize("shortcut", ["none", "same", "option A"])
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 2e-6), (torch.bfloat16, 6e-3)])
def test_norm_shortcut_and_relu_are_torchs(
    channels: int, shortcut: str, dtype: torch.dtype, tolerance: float
) -> None:
    channels_in = {"none": 0, "same": channels, "option A": channels // 2}[shortcut]
    if channels_in == 8:
        pytest.skip("no such block")
    size = 256 // channels  # images of 9 x 16 x 16 pixels are not a whole number of tiles
    assert disagreement(DEVICE, dtype, 9, channels_in, channels, size) < tolerance


def test_many_pixels_are_added_up_in_pieces_of_several_tiles(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fused, "PIECES", 4)
    assert disagreement(DEVICE, torch.float32, 9, 16, 16, 16) < 2e-6


def gradients(network: ResNet, images: torch.Tensor) -> torch.Tensor:
    loss = F.cross_entropy(network(images), torch.arange(len(images), device=images.device) % 10)
    loss.backward()
    parts = [loss[None], *(p.grad for p in network.parameters()), *network.buffers()]
    return torch.cat([part.detach().double().flatten() for part in parts])


@pytest.mark.parametrize("own", ["weight gradient", "everything"])
@pytest.mark.parametrize("channels", [16, 32, 64])
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 2e-6), (torch.bfloat16, 2**-8)])
def test_convolutions_and_their_gradients_are_torchs(
    channels: int, own: str, dtype: torch.dtype, tolerance: float
) -> None:
    # Sums of some hundred products in float32, and bfloat16 rounds their results once, by 1 in 256 at most.
    size = 128 // channels + 1  # neither whole tiles nor whole pieces
    assert convolution_disagreement(DEVICE, dtype, 9, channels, size, own) < tolerance


def test_partial_sums_of_a_weights_gradient_are_all_added_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(convolutions, "TILES", 1)
    monkeypatch.setattr(convolutions, "AT_ONCE", 4)  # of the six there are
    assert convolution_disagreement(DEVICE, torch.float32, 9, 16, 9, "weight gradient") < 2e-6


def test_of_a_network_those_convolutions_are_ours_that_the_kernels_can_compute() -> None:
    network = ResNet(2, 10, "linear")
    for variant, own in (("convolutions", "everything"), ("norms", "")):
        use(network, variant)
        found = {(m.in_channels, m.stride[0]): m.own for m in network.modules() if isinstance(m, Convolution)}
        assert found == {(3, 1): "", (16, 1): own, (16, 2): "", (32, 1): own, (32, 2): "", (64, 1): own}


@pytest.mark.parametrize(
    ("network_of", "blocks", "variant"),
    [(ResNet, 2, "norms"), (TwoTailResNet, 2, "norms"), (ResNet, 1, "convolutions")],
)
def test_a_network_by_the_kernels_has_the_plain_ones_gradients(
    network_of: type[ResNet], blocks: int, variant: str
) -> None:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = network_of(blocks, 10, "linear").to(DEVICE, memory_format=torch.channels_last)
        images = torch.randn(6, 3, 8, 8)
    images = images.to(DEVICE)
    plain, exact = deepcopy(network), deepcopy(network).double()
    use(network, variant)
    expected = gradients(exact, images.double())
    errors = [float((gradients(n, images) - expected).norm() / expected.norm()) for n in (network, plain)]
    assert errors[0] < 2 * errors[1] + 1e-6
    with torch.no_grad():
        tested, expected = network.eval()(images), exact.eval()(images.double())
        torch.testing.assert_close(tested, expected.float(), rtol=1e-4, atol=1e-4)


def test_gradients_of_convolution_and_shortcut_are_added_up_by_the_kernels() -> None:
    network = ResNet(1, 10, "linear").to(DEVICE, memory_format=torch.channels_last)
    use(network, "norms")
    with torch.profiler.profile() as profile:
        network(torch.randn(2, 3, 8, 8, device=DEVICE)).sum().backward()
    assert not [event.key for event in profile.key_averages() if event.key in ("aten::add", "aten::add_")]


def test_in_float64_kernels_change_nothing() -> None:
    network = ResNet(1, 10, "linear").double().to(DEVICE)
    images = torch.randn(2, 3, 8, 8, device=DEVICE, dtype=torch.float64)
    expected = gradients(deepcopy(network), images)
    use(network, "convolutions")
    assert torch.equal(gradients(network, images), expected)


def test_frozen_features_that_need_a_gradient_come_from_torch() -> None:
    network = ResNet(1, 10, "linear").to(DEVICE).eval()
    use(network, "norms")
    images = torch.randn(2, 3, 8, 8, device=DEVICE, requires_grad=True)
    network(images).sum().backward()
    assert images.grad.abs().max() > 0


def test_on_a_cpu_nothing_changes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GCLIB_VARIANT", "norms")
    assert choose_variant(torch.device("cpu")) == "plain"


def test_an_unknown_variant_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GCLIB_VARIANT", "norm")
    with pytest.raises(UserError, match="plain, norms, weight-gradients, convolutions"):
        choose_variant(torch.device("cpu"))


@pytest.mark.filterwarnings("ignore:the GPU kernels")
@pytest.mark.parametrize("fault", ["raises", "disagrees"])
def test_kernels_that_fail_are_not_used(fault: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def failing(*arguments: object) -> float:
        if fault == "raises":
            raise RuntimeError("no such instruction")
        return 0.5

    monkeypatch.setattr(variants, "disagreement", failing)
    monkeypatch.delenv("GCLIB_VARIANT", raising=False)
    variants.kernels_agree.cache_clear()
    try:
        assert choose_variant(torch.device("cuda")) == "plain"
    finally:
        variants.kernels_agree.cache_clear()
