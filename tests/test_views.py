"""One photo as a network sees it: torchvision's crops, and files as people have them."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from photographs import photo
from PIL import Image, ImageOps
from scipy.stats import ks_2samp

from gclib.data import views


@pytest.mark.parametrize("size", [(500, 375), (300, 320), (60, 240)])
def test_crops_are_distributed_as_torchvision_s(size: tuple[int, int]) -> None:
    from torchvision.transforms import RandomResizedCrop

    count, (width, height) = 3000, size
    numbers = torch.rand(count, views.NUMBERS, generator=torch.Generator().manual_seed(0)).tolist()
    ours = np.array([views.box(row, height, width) for row in numbers])
    image = torch.empty(3, height, width)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        theirs = np.array(
            [RandomResizedCrop.get_params(image, [0.08, 1.0], [3 / 4, 4 / 3]) for _ in range(count)]
        )
    for boxes in (ours, theirs):
        assert (boxes[:, :2] >= 0).all()
        assert (boxes[:, 0] + boxes[:, 2] <= height).all()
        assert (boxes[:, 1] + boxes[:, 3] <= width).all()
    measures: list[Callable[[np.ndarray], np.ndarray]] = [
        lambda b: b[:, 2] * b[:, 3],  # area
        lambda b: b[:, 3] / b[:, 2],  # aspect ratio
        lambda b: b[:, 0],
        lambda b: b[:, 1],
    ]
    for measure in measures:
        assert ks_2samp(measure(ours), measure(theirs)).pvalue > 1e-3


def test_a_photo_without_a_fitting_box_gives_its_middle() -> None:
    never = [0.99] * views.TRIES + [0.0] * views.TRIES + [0.5, 0.5]
    assert views.box(never, 100, 1000) == (0, 433, 100, 133)
    assert views.box([0.99] * views.NUMBERS, 1000, 100) == (433, 0, 133, 100)
    assert views.box([0.0] * views.NUMBERS, 1, 1) == (0, 0, 1, 1)


def odd_files(root: Path) -> dict[str, Path]:
    """Files as people have them, each with what it must look like beside it."""
    image, turned = photo(1), Image.Exif()
    turned[0x0112] = 6
    grey, cmyk = image.convert("L"), image.convert("CMYK")
    clear = image.convert("RGBA")
    clear.putalpha(Image.linear_gradient("L").resize(image.size))
    white = Image.alpha_composite(Image.new("RGBA", image.size, "white"), clear).convert("RGB")
    kinds: dict[str, tuple[Image.Image, dict[str, Any], Image.Image]] = {
        "turned.jpg": (
            image,
            {"exif": turned, "quality": 95},
            ImageOps.exif_transpose(image.rotate(-90, expand=True)),
        ),
        "grey.jpg": (grey, {"quality": 95}, grey.convert("RGB")),
        "cmyk.jpg": (cmyk, {"quality": 95}, cmyk.convert("RGB")),
        "progressive.jpg": (image, {"quality": 95, "progressive": True}, image),
        "png.JPEG": (image, {"format": "PNG"}, image),
        "clear.png": (clear, {}, white),
        "palette.gif": (image.quantize(16), {}, image.quantize(16).convert("RGB")),
    }
    expected = {}
    for name, (stored, options, seen) in kinds.items():
        stored.save(root / name, **options)
        expected[name] = seen
    return expected


def test_a_strip_takes_no_more_memory_than_a_photo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Image.fromarray(np.zeros((2, 60_000, 3), np.uint8)).save(tmp_path / "strip.png")
    sizes, scaled = [], views._scaled
    monkeypatch.setattr(
        views, "_scaled", lambda pixels, *size: (sizes.append(size), scaled(pixels, *size))[1]
    )
    assert views.test_view(tmp_path / "strip.png", 224).shape == (3, 224, 224)
    assert sizes == [(256, 8 * 256)]
    wide = torch.from_numpy(np.array(photo(3, 900, 100))).permute(2, 0, 1)
    assert torch.equal(views.centre(wide, 50), views.centre(wide[:, :, 50:850], 50))


def test_a_large_photo_is_decoded_at_a_fraction_of_its_size_and_looks_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    turned = Image.Exif()
    turned[0x0112] = 6
    photo(1, 1300, 900).save(tmp_path / "large.jpg", quality=95, exif=turned)
    numbers = torch.rand(3, views.NUMBERS, generator=torch.Generator().manual_seed(1)).tolist()

    def seen() -> list[np.ndarray]:
        path = tmp_path / "large.jpg"
        made = [views.test_view(path, 96), *(views.training_view(path, 96, row, False) for row in numbers)]
        return [view.numpy().astype(int) for view in made]

    whole, sizes, size_of = seen(), [], views._as_tensor
    monkeypatch.setattr(views, "LARGE", 1000)
    monkeypatch.setattr(views, "_as_tensor", lambda image: (sizes.append(min(image.size)), size_of(image))[1])
    for one, other in zip(whole, seen(), strict=True):
        assert np.abs(one - other).mean() < 2
    assert sizes[0] == 225  # a quarter of 900; twice 110 are wanted
    assert set(sizes) <= {900, 450, 225}


@pytest.mark.parametrize("pillow", [False, True])
def test_odd_files_are_read_as_a_person_sees_them(
    tmp_path: Path, pillow: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if pillow:
        monkeypatch.setattr(views, "_torchcodec", lambda: None)
        assert views.decoder_name().startswith("pillow ")
    for name, seen in odd_files(tmp_path).items():
        found = views.decoded(tmp_path / name).permute(1, 2, 0).numpy().astype(int)
        assert found.shape == (seen.height, seen.width, 3), name
        assert np.abs(found - np.asarray(seen)).mean() < 3, name


@pytest.mark.parametrize("flipped", [False, True])
def test_channels_stay_innermost_from_the_decoder_to_the_batch(tmp_path: Path, flipped: bool) -> None:
    photo(0).save(path := tmp_path / "photo.jpg")
    view = views.training_view(path, 64, views.NUMBERS * [0.5], flipped)
    assert view.permute(
        1, 2, 0
    ).is_contiguous()  # else each pixel is moved, which takes a tenth of the decoding
    assert views.centre(views.decoded(path), 64).stride()[0] == 1
