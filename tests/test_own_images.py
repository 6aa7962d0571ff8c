"""People's own images: layouts, splits, litter, wrong levels, and lists."""

import csv
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from gclib import data
from gclib.cli.data import check
from gclib.data.own import listing, own
from gclib.errors import UserError


def images(root: Path, counts: Mapping[str, int], start: int = 0) -> Path:
    """Images of 8 x 8 pixels in folders, all different from each other."""
    number = start
    for name, count in counts.items():
        (root / name).mkdir(parents=True, exist_ok=True)
        for _ in range(count):
            number += 1
            pixels = np.random.default_rng(number).integers(0, 256, (8, 8, 3), np.uint8)
            Image.fromarray(pixels).save(root / name / f"{number}.png")
    return root


def counts(split: data.Split) -> list[int]:
    return np.bincount(split.labels).tolist()


def refusal(name: str) -> str:
    with pytest.raises(UserError) as caught:
        data.load(name)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_share_of_each_class_is_tested_and_classes_stand_by_their_images(tmp_path: Path) -> None:
    images(tmp_path, {"ant": 9, "bee": 2, "cat": 40, "dog": 9})
    loaded = data.load(f"folder:{tmp_path}@8")
    assert loaded.class_names == ("cat", "ant", "dog", "bee")
    assert (loaded.class_counts.tolist(), counts(loaded.test)) == ([32, 8, 8, 1], [8, 1, 1, 1])
    other = data.load(f"folder:{tmp_path}@8", split_seed=1)
    assert other.digest != loaded.digest
    both = np.concatenate([loaded.train.images, loaded.test.images])
    assert len(set(map(bytes, both))) == 60


def test_a_class_of_one_image_is_refused_and_named(tmp_path: Path) -> None:
    images(tmp_path, {"a": 3, "b": 1, "c": 1})
    assert "1 image in class b, c; expected at least 2" in refusal(f"folder:{tmp_path}")


@pytest.mark.parametrize("names", [("train", "test"), ("Train", "val"), ("training", "validation")])
def test_splits_of_one_s_own_are_used_as_they_are(tmp_path: Path, names: Sequence[str]) -> None:
    train, test = (
        images(tmp_path / n, {"a": k, "b": k + 1}, 100 * k) for n, k in zip(names, (3, 1), strict=True)
    )
    loaded = data.load(f"folder:{tmp_path}@8")
    assert (loaded.class_names, counts(loaded.train), counts(loaded.test)) == (("b", "a"), [4, 3], [2, 1])
    assert {bytes(image) for image in loaded.test.images} == {
        np.asarray(Image.open(path)).tobytes() for path in test.rglob("*.png")
    }
    assert len(list(train.rglob("*.png"))) == 7


def test_with_test_and_val_the_test_split_is_tested_and_the_other_left_out(tmp_path: Path) -> None:
    for number, name in enumerate(("test", "train", "val")):
        images(tmp_path / name, {"a": number + 1, "b": number + 1}, 10 * number)
    found = listing(own(f"folder:{tmp_path}"))
    assert (len(found.train), len(found.test), found.given) == (4, 2, True)
    assert found.unused == [tmp_path / "val"]


def test_litter_is_skipped_and_counted_wherever_it_lies(tmp_path: Path) -> None:
    images(tmp_path, {"a": 5, "b": 5})
    clean = data.load(f"folder:{tmp_path}@8")
    for folder in (tmp_path, tmp_path / "a"):
        for name in (".ipynb_checkpoints", "@eaDir", "__MACOSX", "#recycle"):
            images(folder / name, {"copy": 2})
        for name in ("Thumbs.db", "desktop.ini", ".DS_Store", "._1.png"):
            (folder / name).write_bytes(b"litter")
    assert data.load(f"folder:{tmp_path}@8").digest == clean.digest
    assert len(listing(own(f"folder:{tmp_path}")).litter) == 16


def test_folders_within_a_class_belong_to_it_and_links_are_followed_once(tmp_path: Path) -> None:
    images(tmp_path / "set", {"a": 3, "a/more": 3, "b": 4})
    images(tmp_path / "elsewhere", {"b": 3}, 50)
    (tmp_path / "set" / "b" / "linked").symlink_to(tmp_path / "elsewhere")
    assert len(listing(own(f"folder:{tmp_path / 'set'}")).train) == 11
    (tmp_path / "set" / "b" / "round").symlink_to(tmp_path / "set")
    assert "round is a link to" in refusal(f"folder:{tmp_path / 'set'}")
    (tmp_path / "set" / "b" / "round").unlink()
    (tmp_path / "set" / "c").symlink_to(tmp_path / "set")
    assert "c is a link to" in refusal(f"folder:{tmp_path / 'set'}")


@pytest.mark.parametrize(
    ("tree", "message"),
    [
        ({"train/a": 2, "train/b": 2}, "expected train/ and test/ .*found only train/"),
        ({"val/a": 2, "test/b": 2}, "found only test/, val/"),
        ({"birds/a": 2, "birds/b": 2}, "holds one folder, with folders in it; did you mean .*birds"),
        ({"a": 2}, "expected two classes or more; found only a"),
        ({"train": 2, "test": 2}, "train: expected one folder of images per class"),
        ({"train/a": 2, "train/b": 2, "test/a": 2}, "no test images of b"),
        ({"train/a": 2, "test/a": 2, "test/b": 2}, "no training images of b"),
        ({"a": 2, "b": 0}, "b holds 0 images"),
    ],
)
def test_a_wrong_level_of_folders_is_said(tmp_path: Path, tree: dict[str, int], message: str) -> None:
    images(tmp_path, tree)
    with pytest.raises(UserError, match=message):
        data.load(f"folder:{tmp_path}")


def test_names_of_folders_are_text_whatever_bytes_they_hold(tmp_path: Path) -> None:
    for name in (b"\x1b[31mred", b"two\nlines", b"\xff", "\u0646\u06cc\u200c\u0647".encode()):
        folder = os.path.join(os.fsencode(tmp_path), name)
        os.mkdir(folder)
        for number in range(2):
            Image.new("RGB", (32, 32), (number, 0, 0)).save(
                os.fsdecode(os.path.join(folder, b"%d.png" % number))
            )
    names = data.load(f"folder:{tmp_path}").class_names
    assert sorted(names) == sorted([r"\x1b[31mred", r"two\nlines", r"\udcff", "\u0646\u06cc\u200c\u0647"])
    assert "".join(names).encode()


def test_classes_may_be_called_train_and_car(tmp_path: Path) -> None:
    images(tmp_path, {"train": 2, "test": 2, "car": 2})
    assert data.load(f"folder:{tmp_path}@8").class_names == ("car", "test", "train")


def test_files_of_another_kind_are_all_named_before_an_image_is_read(tmp_path: Path) -> None:
    images(tmp_path, {"a": 3, "b": 3})
    for number in range(43):
        (tmp_path / "b" / f"notes-{number:02d}.csv").write_text("x")
    (tmp_path / "a" / "1.png").rename(tmp_path / "a" / "an image without a suffix")
    message = refusal(f"folder:{tmp_path}")
    assert "43 of 49 files are not images: b/notes-00.csv, " in message
    assert "and 23 more" in message


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("folder:at@64", "^at: expected one folder of images per class; nothing lies there"),
        ("folder:real@64", r"nothing lies there; to read real@64 write folder:real@64@32"),
        ("list:none.csv", "^none.csv: expected a CSV file, or a folder with train.csv; nothing"),
        ("folder:~nosuchuser/x", "no path that can be read"),
        ("folder:" + "x" * 300, "no path that can be read"),
        ("folder:a\nb", "no path that can be read"),
        ("folder:a\0b", "no path that can be read"),
        ("folder:real@64@1000000", "expected a side from 4 to 512"),
        ("folder:file", "^file: cannot be read .*expected a folder"),
    ],
)
def test_a_path_that_cannot_be_gets_a_true_message(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    images(tmp_path / "real@64", {"a": 2, "b": 2})
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=message) as caught:
        data.load(name)
    assert len(str(caught.value)) < 400
    assert "\n" not in str(caught.value)


def write_list(path: Path, rows: Sequence[Sequence[object]]) -> None:
    with path.open("w", newline="") as file:
        csv.writer(file).writerows(rows)


def test_lists_say_which_image_is_of_which_class_and_split(tmp_path: Path) -> None:
    images(tmp_path, {"pictures": 12})
    files = sorted(path.relative_to(tmp_path) for path in tmp_path.rglob("*.png"))
    write_list(
        tmp_path / "train.csv", [["label", "path"], *([k % 3, path] for k, path in enumerate(files[:8]))]
    )
    write_list(tmp_path / "test.csv", [[path, k] for k, path in enumerate(files[8:11])])
    loaded = data.load(f"list:{tmp_path}@8")
    assert (loaded.class_names, counts(loaded.train), counts(loaded.test)) == (
        ("0", "1", "2"),
        [3, 3, 2],
        [1] * 3,
    )
    drawn = data.load(f"list:{tmp_path / 'train.csv'}@8")
    assert (counts(drawn.train), counts(drawn.test)) == ([2, 2, 1], [1, 1, 1])


def test_groups_are_not_parted_by_the_split(tmp_path: Path) -> None:
    images(tmp_path, {"pictures": 60})
    files = sorted(path.relative_to(tmp_path) for path in tmp_path.rglob("*.png"))
    rows = [(path, "ab"[k % 2], f"track-{k // 6}") for k, path in enumerate(files)]
    write_list(tmp_path / "all.csv", rows)
    found = listing(own(f"list:{tmp_path / 'all.csv'}"))
    track = {tmp_path / path: group for path, _, group in rows}
    sides = [{track[path] for path in part.paths} for part in (found.train, found.test)]
    assert not sides[0] & sides[1]
    assert [len(side) for side in sides] == [8, 2]
    write_list(tmp_path / "all.csv", [(path, label, label) for path, label, _ in rows])
    assert "groups that cannot be parted" in refusal(f"list:{tmp_path / 'all.csv'}")


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (
            "pictures/1.png,a\nnone/1.png,a\nnone/2.png,b\n",
            "2 of 3 files are missing: .*none/1.png, .*none/2.png",
        ),
        ("pictures/1.png\n", "line 1: expected path,label"),
        ("path,label\npictures/1.png,a,b,c\n", "line 2: expected path,label"),
        ("", "no image in it"),
        ("pictures/1.png,a\npictures/2.png,a\n", "expected two classes or more"),
        (
            "pictures/1.png,a\npictures/2.png,b\npictures/../pictures/1.png,a\n",
            r"all.csv: listed twice: \S+/1.png; expected one line for each file",
        ),
        (
            "pictures/1.png,a\npictures/2.png,b\nlinked/1.png,b\npictures/2.png,b\n",
            r"all.csv: under two labels: \S+linked/1.png; expected one line",
        ),
        (
            'pictures/1.png,\t"a, big"\n',
            r"""line 1: a cell begins with a quotation mark: '"a'; expected it right""",
        ),
    ],
)
def test_a_list_that_is_none_is_refused_in_one_line(tmp_path: Path, lines: str, message: str) -> None:
    images(tmp_path, {"pictures": 3})
    (tmp_path / "linked").symlink_to(tmp_path / "pictures")
    (tmp_path / "all.csv").write_text(lines)
    with pytest.raises(UserError, match=message):
        data.load(f"list:{tmp_path / 'all.csv'}")


def test_a_file_in_both_lists_is_refused(tmp_path: Path) -> None:
    images(tmp_path, {"p": 4})
    write_list(tmp_path / "train.csv", [(f"p/{k}.png", k % 2) for k in (1, 2, 3, 4)])
    write_list(tmp_path / "test.csv", [("p/1.png", 1), ("p/2.png", 0)])
    assert "in training and in test: " in refusal(f"list:{tmp_path}")
    write_list(tmp_path / "test.csv", [(f"../{tmp_path.name}/p/1.png", 1), ("./p/2.png", 0)])
    assert re.search("in training and in test: .*p/1.png, .*p/2.png", refusal(f"list:{tmp_path}"))


def test_blanks_before_quotes_and_two_spellings_of_an_accent_make_no_class(tmp_path: Path) -> None:
    images(tmp_path, {"p": 4})
    (tmp_path / "all.csv").write_text(
        '"path", "label"\n p/1.png, "caf\u00e9, big"\np/2.png,"cafe\u0301, big"\n'
        'p/3.png,  dog\n"p/4.png", "dog" \n',
        encoding="utf-8",
    )
    assert listing(own(f"list:{tmp_path / 'all.csv'}")).class_names == ("caf\u00e9, big", "dog")


def test_a_ratio_that_is_not_possible_names_the_smallest_and_the_largest_class(tmp_path: Path) -> None:
    images(tmp_path, {"a": 60, "b": 5})
    with pytest.raises(UserError, match=r"smallest, which has 4 .*\(the largest has 48\); leave .*\(ratio 0"):
        data.load(f"folder:{tmp_path}@8", 20)


def test_a_check_says_what_is_double_odd_small_and_left_out(
    tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    root = images(tmp_path / "set", {"ant": 30, "bee": 4, "cat": 60})
    Image.fromarray(np.full((8, 8), 40_000, np.uint16)).save(root / "ant" / "deep.png")
    (root / "cat" / "copy.png").write_bytes((root / "ant" / "1.png").read_bytes())
    for name in ("Thumbs.db", "README.txt"):
        (root / name).write_text("x")
    check(f"folder:{root}@8")
    said = capsys.readouterr().out
    for part in (
        "3 classes, 77 training and 19 test images, brought to 8x8; test images drawn from each class",
        "49 (cat) to 3 (bee), imbalance ratio 16.3",
        "the rarest 1 of 3 classes have 1 test images",
        "more than 8 bits a pixel, brought to 8: 1 (ant/deep.png)",
        "the same image in several classes: 1 (",
        "cat/copy.png",
        "litter of programs, skipped: 1 (Thumbs.db)",
        "not used: 1 (README.txt)",
        "but images stand on two sides",
    ):
        assert part in said
    assert "whole" not in said


def photo(number: int) -> Image.Image:
    """A smooth picture of its own, 64 x 64."""
    coarse = np.random.default_rng(number).integers(0, 256, (6, 6, 3), np.uint8)
    return Image.fromarray(coarse).resize((64, 64), Image.Resampling.BICUBIC)


def test_a_check_finds_what_is_nearly_the_same_across_splits_and_classes(
    tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    for folder in ("train/a", "train/b", "test/a", "test/b"):
        (tmp_path / folder).mkdir(parents=True)
    for number in range(40):
        photo(number).save(tmp_path / "train" / "ab"[number % 2] / f"{number}.png")
    photo(0).save(tmp_path / "test" / "a" / "saved-anew.jpg", quality=80)
    photo(2).resize((50, 50)).save(tmp_path / "test" / "b" / "smaller-and-elsewhere.png")
    photo(100).save(tmp_path / "test" / "a" / "other.png")
    Image.new("RGB", (64, 64), "white").save(tmp_path / "test" / "b" / "empty.png")
    Image.new("RGB", (64, 64), "white").save(tmp_path / "train" / "a" / "empty-too.gif")
    check(f"folder:{tmp_path}@64")
    said = capsys.readouterr().out
    assert "nearly the same image in training and test: 2 (" in said
    assert f"{Path('test', 'a', 'saved-anew.jpg')} = {Path('train', 'a', '0.png')}" in said
    assert (
        "nearly the same image in two classes: 1 (test/b/smaller-and-elsewhere.png = train/a/2.png)" in said
    )
    assert "but images stand on two sides" in said


def test_names_that_agree_up_to_a_sign_are_a_group_within_their_folder(
    tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    for label in "ab":
        images(tmp_path / "set", {label: 30}, 100 * ord(label))
        for number, path in enumerate(sorted((tmp_path / "set" / label).glob("*.png"))):
            path.rename(path.with_name(f"track_{number // 5}_{number % 5:03d}.png"))
    found = listing(own(f"folder:{tmp_path / 'set'}@8,groups=_"))
    sides = [{(path.parent, path.name[:7]) for path in part.paths} for part in (found.train, found.test)]
    assert not sides[0] & sides[1]
    assert [len(side) for side in sides] == [10, 2]
    assert data.load(f"folder:{tmp_path / 'set'}@8,groups=_").name.endswith(",groups=_")
    parted = listing(own(f"folder:{tmp_path / 'set'}@8"))
    assert {path.parent.name + path.name[:7] for path in parted.test.paths} & {
        path.parent.name + path.name[:7] for path in parted.train.paths
    }
    for side in ("train", "test"):
        images(tmp_path / "split" / side, {"a": 2, "b": 2}, 500 + len(side))
    rows = [(path, "ab"[k % 2], "one") for k, path in enumerate(sorted(tmp_path.glob("split/*/*/*.png")))]
    write_list(tmp_path / "train.csv", rows[:4])
    write_list(tmp_path / "test.csv", rows[4:])
    check(f"list:{tmp_path}@8")
    assert "groups with images in training and test: 1 (one)" in capsys.readouterr().out


def test_a_check_names_every_file_that_cannot_be_used(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    images(tmp_path, {"a": 30, "b": 30})
    for number in range(1, 26):
        (tmp_path / "a" / f"{number}.png").write_bytes(b"")
    with pytest.raises(UserError, match="25 of 60 files cannot be used"):
        check(f"folder:{tmp_path}")
    assert len(capsys.readouterr().out.splitlines()) == 25


def test_a_photo_with_a_preview_is_of_the_format_that_its_name_says(
    tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    images(tmp_path, {"a": 10, "b": 10})
    whole, preview = (Image.effect_noise((side, side), 90) for side in (32, 8))
    for name in ("phone.jpg", "phone.png"):
        whole.save(tmp_path / "a" / name, "MPO", save_all=True, append_images=[preview])
    check(f"folder:{tmp_path}@8")
    (told,) = [line for line in capsys.readouterr().out.splitlines() if "another format" in line]
    assert "phone.png" in told
    assert "phone.jpg" not in told


@pytest.mark.parametrize("format", ["gif", "tiff"])
def test_a_file_that_is_damaged_behind_its_first_frame_is_told(
    format: str, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    images(tmp_path, {"a": 10, "b": 10})
    frames = [Image.effect_noise((16, 16), 90 + k) for k in range(4)]
    whole = tmp_path / "a" / f"whole.{format}"
    frames[0].save(whole, save_all=True, append_images=frames[1:])
    content, found = whole.read_bytes(), set()
    for cut in range(40, len(content), max(1, len(content) // 60)):
        whole.write_bytes(content[:cut])
        try:
            check(f"folder:{tmp_path}@8")
        except UserError as error:
            assert "1 of 21 files cannot be used" in str(error)  # noqa: PT017
        found |= {line.split(":")[0] for line in capsys.readouterr().out.splitlines()}
    assert "damaged behind the first frame, which is used" in found


def test_a_test_split_that_shows_nothing_is_told() -> None:
    counts = np.array([100, 5])
    (said,) = data.cautions(counts, np.array([1, 1]))
    assert "one test image a class: this test split is no evidence" in said
    (said,) = data.cautions(counts, np.array([90, 4]))
    assert re.search("the rarest 1 of 2 classes have 4 test images .*below 69 points may be chance", said)
    assert data.cautions(counts, np.array([200, 100])) == []
