"""An image file becomes the pixels that a person sees, whatever its depth, rotation or transparency."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from gclib.data.pictures import read_image, read_images
from gclib.errors import UserError

RAMP = np.linspace(0, 255, 64).round().astype(np.uint8).reshape(8, 8)  # black to white


def saved(path: Path, image: Image.Image, **options: object) -> np.ndarray:
    image.save(path, **options)
    return read_image(path, 8)


@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_sixteen_bits_look_as_eight(tmp_path: Path, suffix: str) -> None:
    expected = saved(tmp_path / f"8.{suffix}", Image.fromarray(RAMP))
    deep = saved(tmp_path / f"16.{suffix}", Image.fromarray(RAMP.astype(np.uint16) * 257))
    assert abs(deep.astype(int) - expected).max() <= 1
    assert len(np.unique(deep)) > 50


def test_32_bits_that_stay_within_8_are_read_as_8_and_else_as_16(tmp_path: Path) -> None:
    expected = saved(tmp_path / "8.tif", Image.fromarray(RAMP))
    assert (saved(tmp_path / "32.tif", Image.fromarray(RAMP.astype(np.int32))) == expected).all()
    deep = saved(tmp_path / "32-deep.tif", Image.fromarray(RAMP.astype(np.int32) * 257))
    assert abs(deep.astype(int) - expected).max() <= 1
    dark = saved(tmp_path / "16-dark.png", Image.fromarray(RAMP.astype(np.uint16)))
    assert dark.max() <= 1, "16 bits say their range"
    with pytest.raises(UserError, match="integers from -1 to 254; expected 0 to 255"):
        saved(tmp_path / "below.tif", Image.fromarray(RAMP.astype(np.int32) - 1))


def test_floating_point_from_0_to_1_is_understood_and_other_values_are_refused(tmp_path: Path) -> None:
    expected = saved(tmp_path / "8.tif", Image.fromarray(RAMP))
    found = saved(tmp_path / "float.tif", Image.fromarray(RAMP.astype(np.float32) / 255))
    assert abs(found.astype(int) - expected).max() <= 1
    for values in (RAMP.astype(np.float32), RAMP - np.float32(1), np.full((8, 8), np.nan, np.float32)):
        with pytest.raises(UserError, match=r"floating-point values from .*expected 0 to 1"):
            saved(tmp_path / "other.tif", Image.fromarray(values))


@pytest.mark.parametrize("orientation", range(1, 9))
def test_the_rotation_that_a_camera_wrote_down_is_applied(tmp_path: Path, orientation: int) -> None:
    upright = np.zeros((40, 24, 3), np.uint8)
    upright[:20, :12], upright[20:] = (255, 0, 0), (0, 0, 255)
    lying = {
        1: upright,
        2: upright[:, ::-1],
        3: upright[::-1, ::-1],
        4: upright[::-1],
        5: upright.swapaxes(0, 1),
        6: np.rot90(upright),
        7: upright[::-1, ::-1].swapaxes(0, 1),
        8: np.rot90(upright, 3),
    }[orientation]
    exif = Image.Exif()
    exif[0x0112] = orientation
    found = saved(tmp_path / "a.png", Image.fromarray(np.ascontiguousarray(lying)), exif=exif)
    assert (found == saved(tmp_path / "b.png", Image.fromarray(upright))).all()


def test_what_is_transparent_lies_on_white(tmp_path: Path) -> None:
    clear = np.zeros((8, 8, 4), np.uint8)  # black below, and no sign of it
    clear[4:, :, 3] = 255
    palette = Image.fromarray(np.repeat([0, 1], 32).reshape(8, 8).astype(np.uint8), "P")
    palette.putpalette([0, 0, 0, 0, 0, 0])
    for image, options in (
        (Image.fromarray(clear), {}),
        (Image.fromarray(clear[..., [0, 3]].copy(), "LA"), {}),
        (palette, {"transparency": 0}),
    ):
        found = saved(tmp_path / "a.png", image, **options)
        assert (found[:4] == 255).all()
        assert (found[4:] == 0).all()


def test_a_large_jpeg_is_decoded_small_and_looks_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rough = np.random.default_rng(0).integers(0, 256, (30, 40, 3), np.uint8)
    photo = Image.fromarray(rough).resize((1600, 1200), Image.Resampling.BICUBIC)
    small = saved(tmp_path / "a.jpg", photo, quality=95)
    sizes, load = [], Image.Image.convert
    monkeypatch.setattr(
        Image.Image, "convert", lambda self, *a, **k: (sizes.append(self.size), load(self, *a, **k))[1]
    )
    read_image(tmp_path / "a.jpg", 8)
    assert max(sizes[0]) <= 200
    assert abs(small.astype(int) - saved(tmp_path / "a.png", photo)).mean() < 4


def test_all_unreadable_files_are_named_at_once(tmp_path: Path) -> None:
    Image.fromarray(RAMP).save(tmp_path / "whole.png")
    whole = (tmp_path / "whole.png").read_bytes()
    for name, content in {"cut.png": whole[:60], "empty.png": b"", "text.png": b"text"}.items():
        (tmp_path / name).write_bytes(content)
    with pytest.raises(UserError) as caught:
        read_images(sorted(tmp_path.iterdir()), 8)
    assert "\n" not in str(caught.value)
    assert str(caught.value).startswith("3 of 4 files cannot be used")
    assert all(name in str(caught.value) for name in ("cut.png", "empty.png", "text.png"))
