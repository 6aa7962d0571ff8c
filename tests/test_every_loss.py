"""What holds for every loss: gradients, precision, the ends of the cosine, a fixed function, one line for a mistake."""

import math
import warnings

import numpy as np
import pytest
import torch
from batches import COUNTS, EXTREME, batch

from gclib.errors import UserError
from gclib.losses import (
    CrossEntropyLoss,
    FocalLoss,
    GCLLoss,
    LabelAwareSmoothingLoss,
    LDAMLoss,
    LogitAdjustedLoss,
    cloud_sizes,
)

LOSSES = {
    "ce": lambda counts: CrossEntropyLoss(),
    "gcl": lambda counts: GCLLoss(counts, margin=0.1),
    "gcl-mean": lambda counts: GCLLoss(counts, noise="mean"),
    "ldam": LDAMLoss,
    "ldam-weighted": lambda counts: LDAMLoss(counts, weight=np.linspace(0.5, 2, len(counts))),
    "la": LogitAdjustedLoss,
    "focal": lambda counts: FocalLoss(gamma=2.0),
    "focal-weighted": lambda counts: FocalLoss(gamma=0.5, weight=np.linspace(0.5, 2, len(counts))),
    "las": lambda counts: LabelAwareSmoothingLoss(counts, head=0.4, tail=0.1),
}


def call(loss, cosine, target, noise):
    return loss(cosine, target, noise) if loss.stochastic else loss(cosine, target)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: cloud_sizes(COUNTS, "power-1/5"), r"'power-1/5'.*did you mean 'power-1/[34]'"),
        (lambda: GCLLoss(COUNTS, noise="half_normal"), "did you mean 'half-normal'"),
        (lambda: GCLLoss(COUNTS, scale=0), "scale is 0"),
        (lambda: GCLLoss(COUNTS, scale="30"), "scale is '30', expected a number above 0"),
        (lambda: LogitAdjustedLoss(COUNTS, tau=None), "tau is None, expected a number"),
        (
            lambda: LDAMLoss(COUNTS, scale=torch.nn.Parameter(torch.tensor(30.0))),
            "scale is Parameter containing",
        ),
        (lambda: GCLLoss(COUNTS, noise_std=0.0), "noise_std is 0.0"),
        (lambda: GCLLoss(COUNTS, noise_scale=-0.5), "noise_scale is -0.5"),
        (lambda: GCLLoss(COUNTS, margin=float("nan")), "margin is nan"),
        (lambda: GCLLoss(COUNTS, focal_gamma=-1), "focal_gamma is -1"),
        (lambda: LDAMLoss(COUNTS, max_margin=-1), "max_margin is -1"),
        (lambda: LDAMLoss(COUNTS, scale=float("inf")), "scale is inf"),
        (lambda: LDAMLoss(COUNTS, weight=[1.0, 2.0]), "expected 10 numbers"),
        (lambda: LogitAdjustedLoss(COUNTS, tau=-1), "tau is -1"),
        (lambda: FocalLoss(gamma=-1), "gamma is -1"),
        (lambda: FocalLoss(weight=[1.0, -2.0]), "class weights"),
        (lambda: LabelAwareSmoothingLoss(COUNTS, head=1.0, tail=0.0), "head is 1.0"),
        (lambda: LabelAwareSmoothingLoss(COUNTS, head=0.1, tail=0.2), "head is 0.1"),
        (lambda: LabelAwareSmoothingLoss(COUNTS, head=0.1, tail=-0.2), "tail is -0.2"),
    ],
)
def test_impossible_parameters_end_in_one_line(make, words):
    with pytest.raises(UserError, match=words) as caught:
        make()
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("counts", [COUNTS, EXTREME])
def test_gradients(name, counts):
    loss = LOSSES[name](counts)
    cosine, target, noise = batch(len(counts), size=6)
    # Scale 30 curves strongly; nearer together the cosines leave finite differences their digits.
    cosine = (0.2 * cosine).requires_grad_()
    assert torch.autograd.gradcheck(lambda x: call(loss, x, target, noise), cosine)


@pytest.mark.parametrize("name", LOSSES)
def test_second_derivatives(name):
    """Against finite differences of the first; a gradient penalty and MAML take them."""
    loss = LOSSES[name]([60, 9, 1])
    cosine, target, noise = batch(3, size=4)
    cosine = (0.2 * cosine).requires_grad_()
    assert torch.autograd.gradgradcheck(lambda x: call(loss, x, target, noise), cosine)
    (slope,) = torch.autograd.grad(call(loss, cosine, target, noise), cosine, create_graph=True)
    (plain,) = torch.autograd.grad(call(loss, cosine, target, noise), cosine)
    torch.testing.assert_close(slope, plain)
    (third,) = torch.autograd.grad(
        torch.autograd.grad(slope.square().sum(), cosine, create_graph=True)[0].sum(), cosine
    )
    assert third.any()


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_narrow_inputs_lose_nothing_but_their_own_rounding(name, dtype):
    loss = LOSSES[name](COUNTS)
    cosine, target, noise = batch(10, dtype=dtype)
    cosine.requires_grad_()
    value = call(loss, cosine, target, noise)
    assert value.dtype == torch.float32
    value.backward()
    assert cosine.grad.dtype == dtype
    wide = cosine.detach().double().requires_grad_()
    exact = call(loss, wide, target, noise.double())
    exact.backward()
    assert exact.dtype == torch.float64
    assert value.item() == pytest.approx(exact.item(), rel=1e-5)
    # The gradient's own rounding, and that of float32 logits up to 60 apart, which the softmax passes on.
    tolerance = torch.finfo(dtype).eps + 60 * torch.finfo(torch.float32).eps
    torch.testing.assert_close(cosine.grad.double(), wide.grad, rtol=tolerance, atol=1e-6)


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("sign", [-1, 1])
def test_the_ends_of_the_cosine_give_finite_losses(name, sign):
    loss = LOSSES[name](EXTREME)
    target = torch.arange(4)
    cosine = (sign * (2 * torch.eye(4) - 1)).requires_grad_()
    value = call(loss, cosine, target, torch.full((4, 4), 1.0))
    value.backward()
    assert math.isfinite(value.item())
    assert torch.isfinite(cosine.grad).all()


@pytest.mark.parametrize("name", LOSSES)
def test_one_class_costs_nothing(name):
    loss = LOSSES[name]([5])
    cosine = torch.tensor([[0.3], [-0.8]], requires_grad=True)
    value = call(loss, cosine, torch.tensor([0, 0]), torch.full((2, 1), 0.5))
    value.backward()
    assert value.item() == 0
    assert not cosine.grad.any()


@pytest.mark.parametrize("name", LOSSES)
def test_with_its_noise_given_a_loss_reads_no_value_and_draws_nothing(name):
    """On the meta device there are no values: a branch or a number that depends on one would raise."""
    loss = LOSSES[name](COUNTS).to("meta")
    cosine, target, noise = (tensor.to("meta") for tensor in batch(10))
    cosine.requires_grad_()
    state = torch.get_rng_state()
    value = call(loss, cosine, target, noise)
    value.backward()
    assert value.shape == ()
    assert cosine.grad.shape == cosine.shape
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize("name", LOSSES)
def test_a_loss_adds_nothing_to_a_checkpoint_and_trains_nothing(name):
    loss = LOSSES[name](COUNTS)
    assert not loss.state_dict()
    assert not list(loss.parameters())


COUNTED = [name for name in LOSSES if name not in ("ce", "focal")] + ["ce-weighted"]


@pytest.mark.parametrize("name", COUNTED)
@pytest.mark.parametrize("counts", [[100], [100, 10], COUNTS])
def test_logits_of_another_width_than_the_classes_end_in_one_line(name, counts):
    cosine, target, noise = batch(3, size=6)
    weighted = CrossEntropyLoss(weight=np.ones(len(counts)))
    loss = weighted if name == "ce-weighted" else LOSSES[name](counts)
    with pytest.raises(UserError, match=rf"\(6, 3\).*expected \(B, {len(counts)}\)") as caught:
        call(loss, cosine, target, noise)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda target: target[:, None], r"targets \(6, 1\)"),
        (lambda target: target[:5], r"targets \(5,\)"),
        (lambda target: target.to(torch.uint8), r"torch.uint8.*target.long\(\)"),
        (lambda target: target.double(), "torch.float64, expected torch.int64"),
    ],
)
def test_targets_of_another_form_end_in_one_line(name, change, words):
    cosine, target, noise = batch(10, size=6)
    with pytest.raises(UserError, match=words):
        call(LOSSES[name](COUNTS), cosine, change(target), noise)


@pytest.mark.parametrize("name", LOSSES)
def test_logits_that_are_no_floats_end_in_one_line(name):
    cosine, target, noise = batch(10, size=6)
    with pytest.raises(UserError, match=r"torch.int64, expected a float type; give logits.float\(\)"):
        call(LOSSES[name](COUNTS), cosine.long(), target, noise)


def test_noise_of_another_shape_ends_in_one_line():
    cosine, target, noise = batch(10, size=6)
    with pytest.raises(UserError, match=r"noise has shape \(10,\)"):
        GCLLoss(COUNTS)(cosine, target, noise[0])


@pytest.mark.parametrize("name", LOSSES)
def test_the_order_of_a_mapping_does_not_matter(name):
    cosine, target, noise = batch(10)
    by_label = {label: COUNTS[label] for label in reversed(range(10))}
    given = [call(LOSSES[name](counts), cosine, target, noise) for counts in (COUNTS, by_label)]
    assert torch.equal(*given)


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_a_loss_in_a_narrow_model_keeps_the_digits_of_its_constants(name, dtype):
    cosine, target, noise = batch(10, dtype=torch.float32)
    expected = call(LOSSES[name](COUNTS).float(), cosine, target, noise)
    narrow = torch.nn.Sequential(torch.nn.Linear(2, 2), LOSSES[name](COUNTS)).to(dtype)
    assert narrow[0].weight.dtype == dtype
    assert torch.equal(call(narrow[1], cosine, target, noise), expected)


@pytest.mark.parametrize("name", [*COUNTED[:-1], "focal-weighted"])
def test_a_device_without_float64_takes_every_loss(name):
    """As ``to("mps")`` does: it has no float64, and says so with a TypeError."""

    def move(tensor):
        if tensor.dtype == torch.float64:
            raise TypeError(
                "Cannot convert a MPS Tensor to float64 dtype as the MPS framework doesn't support it"
            )
        return tensor.to("meta")

    loss = LOSSES[name](COUNTS)
    assert {buffer.dtype for buffer in loss.buffers()} == {torch.float64}
    loss._apply(move)
    assert {(buffer.dtype, buffer.device.type) for buffer in loss.buffers()} == {(torch.float32, "meta")}


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("label", [-100, -1, 10])
def test_a_label_that_is_no_class_is_an_error_and_left_out_of_no_mean(name, label):
    """Torch's own losses take -100 for an image to leave out."""
    cosine, target, noise = batch(10)
    target[3] = label
    with pytest.raises((IndexError, RuntimeError), match=r"out of (bounds|range)"):
        call(LOSSES[name](COUNTS), cosine, target, noise)


@pytest.mark.parametrize("name", ["gcl", "gcl-mean", "ldam", "ldam-weighted"])
def test_a_cosine_beyond_rounding_is_told_but_not_at_every_step(name):
    cosine, target, noise = batch(10)
    loss = LOSSES[name](COUNTS)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        call(loss, cosine.sign() * 1.01, target, noise)  # bfloat16 rounds as coarsely
    with pytest.warns(UserWarning, match="cosine of size 37, expected at most 1") as told:
        call(loss, cosine.sign() * 37, target, noise)
    assert told[0].filename == call.__code__.co_filename, "the line that calls the loss"
    with pytest.warns(UserWarning, match="cosine of size nan"):
        call(LOSSES[name](COUNTS), cosine * torch.nan, target, noise)
    looks = 0
    for _ in range(998):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            call(loss, cosine.sign() * 37, target, noise)
        looks += len(caught)
    assert looks == 8  # calls 4, 8, ..., 512: on a GPU each look waits for all that is queued
