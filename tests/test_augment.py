"""Augmentation against loops over single images, and its randomness."""

import numpy as np
import pytest
import torch

from gclib import data
from gclib.data import CIFAR, DIGITS
from gclib.data.augment import crop_flip, jitter, mix, normalise, pad_images, resized_crop_flip


def images(count: int, height: int, width: int, seed: int = 0) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(seed).integers(0, 256, (count, height, width, 3), np.uint8))


@pytest.mark.parametrize(("height", "width", "shift"), [(32, 32, 4), (8, 8, 1), (5, 9, 2), (8, 8, 0)])
def test_crop_and_flip_image_by_image(height: int, width: int, shift: int) -> None:
    source, rng = images(20, height, width).numpy(), np.random.default_rng(1)
    indices, offsets = rng.integers(0, 20, 64), rng.integers(0, 2 * shift + 1, (64, 2))
    flips = rng.random(64) < 0.5
    batch = crop_flip(
        pad_images(torch.from_numpy(source), shift), *map(torch.from_numpy, (indices, offsets, flips)), shift
    )
    assert batch.dtype == torch.uint8
    for k, (top, left) in enumerate(offsets):
        padded = np.pad(source[indices[k]], ((shift, shift), (shift, shift), (0, 0)))
        expected = padded[top : top + height, left : left + width]
        np.testing.assert_array_equal(batch[k].numpy(), expected[:, ::-1] if flips[k] else expected)


def test_offsets_in_the_middle_change_nothing() -> None:
    source = images(6, 8, 8)
    middle, upright = torch.full((6, 2), 3), torch.zeros(6, dtype=torch.bool)
    assert torch.equal(crop_flip(pad_images(source, 3), torch.arange(6), middle, upright, 3), source)


def test_offsets_at_the_corners_bring_in_zeros() -> None:
    white = pad_images(torch.full((1, 8, 8, 3), 255, dtype=torch.uint8), 2)
    corners = torch.tensor([[0, 0], [4, 4]])
    first, last = crop_flip(white, torch.zeros(2, dtype=torch.long), corners, torch.zeros(2).bool(), 2)
    assert first[:2].sum() == first[:, :2].sum() == last[-2:].sum() == last[:, -2:].sum() == 0
    assert (first[2:, 2:] == 255).all()
    assert (last[:-2, :-2] == 255).all()


def test_resized_crops_are_torchvisions() -> None:
    from torchvision.transforms.functional import hflip, resized_crop

    source = images(3, 8, 10)
    boxes = [(0, 0, 8, 10), (2, 3, 5, 4), (7, 9, 1, 1), (0, 6, 6, 4), (1, 0, 7, 9), (4, 5, 4, 5)]
    indices, flips = torch.tensor([0, 1, 2, 0, 1, 2]), torch.tensor([False, True, False, False, True, True])
    batch = resized_crop_flip(pad_images(source, 2), indices, torch.tensor(boxes), flips, 2)
    assert batch.dtype == torch.uint8
    for image, index, box, flip in zip(batch, indices, boxes, flips, strict=True):
        expected = resized_crop(source[index].permute(2, 0, 1).float(), *box, [8, 10], antialias=True)
        expected = (hflip(expected) if flip else expected).permute(1, 2, 0)
        assert (image - expected).abs().max() <= 0.5 + 1e-4


def test_colours_change_as_in_torchvision() -> None:
    from torchvision.transforms import functional as F

    source, generator = images(40, 6, 6), torch.Generator().manual_seed(0)
    source[1] = source[1, :, :, :1]  # grey: no hue
    colours = torch.rand(40, 4, generator=generator) * torch.tensor([0.8, 0.8, 0.8, 0.2])
    colours += torch.tensor([0.6, 0.6, 0.6, -0.1])
    colours[0] = torch.tensor([1.0, 1.0, 1.0, 0.0])
    changed = jitter(source, colours)
    assert torch.equal(changed[0], source[0])
    for image, before, (brightness, contrast, saturation, hue) in zip(
        changed, source, colours.tolist(), strict=True
    ):
        expected = F.adjust_brightness(before.permute(2, 0, 1) / 255, brightness)
        expected = F.adjust_saturation(F.adjust_contrast(expected, contrast), saturation)
        expected = F.adjust_hue(expected, hue).permute(1, 2, 0)
        assert (image - 255 * expected).abs().max() <= 0.6  # rounding, and its 0.2989 for our 0.299


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_normalise_is_the_formula(dtype: torch.dtype) -> None:
    pixels = images(4, 8, 8)
    expected = (pixels.numpy() / 255 - np.array(CIFAR.mean)) / np.array(CIFAR.std)
    result = normalise(pixels, CIFAR, dtype)
    assert result.dtype == dtype
    tolerance = {torch.float64: 1e-14, torch.float32: 1e-6}[dtype]
    np.testing.assert_allclose(result.permute(0, 2, 3, 1).numpy(), expected, rtol=0, atol=tolerance)


def test_normalise_keeps_channels_innermost_and_the_pixels_untouched() -> None:
    pixels = images(4, 8, 6)
    before = pixels.clone()
    result = normalise(pixels, CIFAR, torch.float32)
    assert result.shape == (4, 3, 8, 6)
    assert result.is_contiguous(memory_format=torch.channels_last)
    assert result.permute(0, 2, 3, 1).is_contiguous()  # so the permutation made no copy
    assert torch.equal(pixels, before)


def test_mix_is_the_formula() -> None:
    inputs = torch.randn(7, 3, 8, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    partners = torch.tensor([3, 0, 2, 6, 1, 5, 4])
    for weight in (0.0, 0.3, 0.5, 0.9, 1.0):
        mixed = mix(inputs, partners, torch.tensor(weight, dtype=torch.float64))
        expected = torch.stack(
            [weight * inputs[i] + (1 - weight) * inputs[p] for i, p in enumerate(partners.tolist())]
        )
        torch.testing.assert_close(mixed, expected, rtol=0, atol=1e-15)


def test_mix_keeps_the_channels_innermost() -> None:
    inputs = normalise(images(6, 8, 8), CIFAR, torch.float32)
    mixed = mix(inputs, torch.tensor([1, 2, 3, 4, 5, 0]), torch.tensor(0.3))
    assert mixed.is_contiguous(memory_format=torch.channels_last)


def test_what_a_data_set_takes() -> None:
    assert (CIFAR.shift, CIFAR.flip, CIFAR.mixup) == (4, True, True)
    assert CIFAR.mean == (0.4914, 0.4822, 0.4465)
    assert CIFAR.std == (0.2023, 0.1994, 0.2010)
    digits = data.load("digits")
    assert digits.augmentation is DIGITS
    assert (DIGITS.shift, DIGITS.flip, DIGITS.mixup) == (1, False, False)
    pixels = digits.train.images / 255
    np.testing.assert_allclose(DIGITS.mean, pixels.mean(), atol=5e-3)
    np.testing.assert_allclose(DIGITS.std, pixels.std(), atol=5e-3)
