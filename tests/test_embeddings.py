"""Embeddings: which images, what is kept of them and what is refused; their figures."""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import matplotlib

matplotlib.use("agg")

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from matplotlib.colors import to_hex
from torch import nn
from training import few_digits

from gclib import ROOT, data, embeddings, records
from gclib.embeddings import Embedding, embedding
from gclib.embeddings.__main__ import main
from gclib.embeddings.archive import packed, unpacked
from gclib.errors import UserError
from gclib.figures import embedding as figures
from gclib.figures import interactive, style
from gclib.figures.apart import LETTERS, LINES, sides, spread
from gclib.geometry import NEIGHBOURS, geometry
from gclib.networks import ResNet

RECORD = ROOT / "results" / "smoke" / "digits-ir20" / "gcl-official" / "seed0.json"
NAMES = ("head", "middle", "tail")


@pytest.fixture(autouse=True)
def _one_style() -> Iterator[None]:
    with matplotlib.rc_context():
        style.use()
        yield
    plt.close("all")


def made(features: int = 2, each: int = 20, seed: int = 0) -> Embedding:
    """Three classes in both splits, somewhat mixed, every fourth image classified wrongly."""
    rng = np.random.default_rng(seed)
    labels = np.tile(np.repeat([0, 1, 2], each), 2)
    values = rng.normal(size=(len(labels), features)) + 3 * np.eye(3, features)[labels] + 0.1
    return Embedding(
        features=values,
        labels=labels,
        test=np.arange(len(labels)) >= 3 * each,
        predicted=np.where(np.arange(len(labels)) % 4, labels, (labels + 1) % 3),
        plane=values[:, :2],
        class_counts=np.array([100, 30, 10]),
        class_names=NAMES,
        settings={"per_class": each, "seed": seed},
    )


def small_network(num_features: int = 4) -> ResNet:
    torch.manual_seed(0)
    network = ResNet(1, 10, "linear")
    network.embedding = nn.Sequential(nn.Flatten(), nn.Linear(192, num_features))
    network.head = nn.Linear(num_features, 10)
    return network.double()


# ------------------------------------------------------------------------------------------------- which images


def test_a_subset_has_images_of_each_class_and_split() -> None:
    digits = data.load("digits", 20)
    images, labels, test = embeddings.subset(digits, 12, seed=3)
    assert np.bincount(labels[test]).tolist() == [12] * 10
    assert np.bincount(labels[~test]).tolist() == np.minimum(digits.class_counts, 12).tolist()
    known = {
        (image.tobytes(), label, in_test)
        for in_test, split in ((False, digits.train), (True, digits.test))
        for image, label in zip(split.images, split.labels.tolist(), strict=True)
    }
    found = list(zip((image.tobytes() for image in images), labels.tolist(), test.tolist(), strict=True))
    assert set(found) <= known
    assert len(set(found)) > 0.95 * len(found)  # two digits may have the same pixels; none is drawn twice
    again, other = embeddings.subset(digits, 12, seed=3)[0], embeddings.subset(digits, 12, seed=4)[0]
    assert np.array_equal(images, again)
    assert not np.array_equal(images, other)


def test_features_and_predictions_are_those_of_the_network() -> None:
    digits, network = few_digits(), small_network(2)
    found = embeddings.embed(network, digits, per_class=5)
    images = embeddings.subset(digits, 5, 0)[0]
    mean, std = np.array(digits.augmentation.mean), np.array(digits.augmentation.std)
    pixels = torch.from_numpy(((images / 255 - mean) / std).transpose(0, 3, 1, 2))
    with torch.no_grad():
        np.testing.assert_allclose(found.features, network.embedding(pixels).numpy(), atol=1e-9)
        assert np.array_equal(found.predicted, network(pixels).argmax(1).numpy())
    assert np.array_equal(found.plane, found.features)  # two features need no projection
    assert "tsne" not in found.settings


def test_tsne_ignores_length_and_keeps_clusters_together() -> None:
    rng = np.random.default_rng(0)
    labels = np.arange(60) % 3
    features = rng.normal(size=(60, 8)) / 5 + 3 * np.eye(3, 8)[labels]
    plane = embeddings.tsne(features, perplexity=8, seed=1)
    assert geometry(plane - plane.mean(0), labels, 3, neighbours=5).purity.min() > 0.9
    np.testing.assert_allclose(embeddings.tsne(4 * features, perplexity=8, seed=1), plane)


def test_geometry_is_that_of_one_split() -> None:
    whole = made(features=5)
    expected = geometry(whole.features[whole.test], whole.labels[whole.test], 3, 6, 0.9)
    for one, other in zip(whole.of(test=True).geometry(6, 0.9), expected, strict=True):
        np.testing.assert_array_equal(one, other)
    assert whole.of(test=False).right.tolist() == whole.right[:60].tolist()


# ------------------------------------------------------------------------------------------------- the file


def test_a_file_gives_back_what_was_kept(tmp_path: Path) -> None:
    whole = made(features=5)
    embeddings.save(whole, tmp_path / "a.npz")
    embeddings.save(made(features=5), tmp_path / "b.npz")
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.npz", "b.npz"]
    back = embeddings.load(tmp_path / "a.npz")
    for name in ("labels", "test", "predicted", "class_counts"):
        assert np.array_equal(getattr(back, name), getattr(whole, name)), name
    np.testing.assert_allclose(back.features, whole.features, rtol=1e-3)
    np.testing.assert_allclose(back.plane, whole.plane, rtol=1e-6)
    assert (back.class_names, back.settings) == (whole.class_names, whole.settings)
    for one, other in zip(back.geometry(), whole.geometry(), strict=True):
        np.testing.assert_allclose(one, other, atol=2e-2)


def test_a_damaged_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "seed0.embedding.npz"
    embeddings.save(made(), path)
    content = path.read_bytes()
    for damaged in (b"", b"text", content[:-1], content[: len(content) // 2]):
        path.write_bytes(damaged)
        with pytest.raises(UserError, match=r"seed0\.embedding\.npz holds no embedding \(.*make it again"):
            embeddings.load(path)
    with pytest.raises(UserError, match="holds no embedding"):
        embeddings.load(tmp_path / "missing.npz")


def test_a_changed_byte_is_refused_or_changes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    embeddings.save(made(), path)
    content, kept, refused = path.read_bytes(), embeddings.load(path), 0
    places = range(0, len(content), 29)
    for place in places:
        path.write_bytes(content[:place] + bytes([content[place] ^ 4]) + content[place + 1 :])
        try:
            found = embeddings.load(path)
        except UserError:
            refused += 1
        else:  # a date in the archive, say
            assert all(np.array_equal(getattr(found, name), getattr(kept, name)) for name in vars(kept))
    assert refused > 0.6 * len(places)


@pytest.mark.parametrize(
    ("name", "value", "complaint"),
    [
        ("labels", np.zeros(3, np.uint16), "for each image"),
        ("labels", np.full(120, 3, np.uint16), "beyond the 3"),
        ("predicted", np.full(120, 9, np.uint16), "beyond the 3"),
        ("labels", np.zeros(120, np.int64), "labels is int64"),
        ("features", np.zeros((120, 2), np.float16), "zero or not finite"),
        ("features", np.full((120, 2), np.nan, np.float16), "zero or not finite"),
        ("plane", np.full((120, 2), np.inf, np.float32), "no place"),
        ("test", np.array([{}] * 120), "pickle"),
        ("test", None, "test"),
    ],
)
def test_a_file_that_holds_something_else_is_refused(
    tmp_path: Path, name: str, value: np.ndarray | None, complaint: str
) -> None:
    path = tmp_path / "a.npz"
    embeddings.save(made(), path)
    about, arrays = unpacked(path.read_bytes())
    if value is None:
        del arrays[name]
    else:
        arrays[name] = value
    if complaint == "pickle":
        np.savez(path, **arrays)
    else:
        path.write_bytes(packed(about, arrays))  # with a digest of what it holds now
    with pytest.raises(UserError, match=f"holds no embedding .*{complaint}"):
        embeddings.load(path)


@pytest.mark.parametrize("name", ["labels", "predicted", "features", "plane", "test", "about"])
def test_a_value_edited_in_a_file_is_refused(tmp_path: Path, name: str) -> None:
    """Each edit gives a valid embedding, so that nothing but the digest can tell."""
    path = tmp_path / "a.npz"
    embeddings.save(made(), path)
    with np.load(path) as file:
        arrays = dict(file)
    if name == "about":
        arrays[name] = np.frombuffer(arrays[name].tobytes().replace(b"tail", b"tali"), np.uint8)
    else:
        arrays[name][3] = 1 - arrays[name][3]
    np.savez(path, **arrays)
    with pytest.raises(
        UserError, match=r"holds no embedding \(it does not match its digest: .*make it again"
    ):
        embeddings.load(path)


# ------------------------------------------------------------------------------------------------- beside a record


@pytest.fixture
def results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The committed smoke run as if it were one at paper scale: its record, and its weights beside it."""
    folder = tmp_path / "results" / "paper" / "digits-ir20" / "gcl-official"
    folder.mkdir(parents=True)
    document = json.loads(RECORD.read_text())
    (folder / "seed0.json").write_text(json.dumps(document))
    (folder / "seed0.safetensors").write_bytes(RECORD.with_suffix(".safetensors").read_bytes())
    find = records.find
    monkeypatch.setattr(records, "find", lambda root, scale, **rest: find(root, scale="smoke", **rest))
    monkeypatch.setattr(records, "results_path", lambda record, root: folder / "seed0.json")
    monkeypatch.setattr(embedding, "tsne", lambda features, *rest: np.asarray(features)[:, :2])
    return tmp_path / "results"


def test_an_embedding_is_made_beside_its_record_and_found_there(
    results: Path, capsys: pytest.CaptureFixture
) -> None:
    path = next(results.rglob("seed0.json"))
    with pytest.raises(UserError, match=r"not made yet: python -m gclib\.embeddings .*seed0\.json$"):
        embeddings.find("gcl-official", "digits", 20, root=results)
    main([str(path)])
    assert str(path.with_suffix(".embedding.npz")) in capsys.readouterr().out
    found = embeddings.find("gcl-official", "digits", 20, root=results)
    assert found.features.shape[1] == 64
    assert found.settings["recipe"] == "gcl-official"
    assert found.of(test=True).right.mean() > 0.3  # a trained network: chance is 0.1
    path.with_suffix(".safetensors").write_bytes(b"others")
    with pytest.raises(SystemExit, match=r"these weights .* are not those of seed0\.json"):
        main([str(path)])
    fields = records.load(path).model_dump(exclude={"digest"})
    records.save(records.RunRecord(**fields | {"weights": "ab" * 32}), path, force=True)
    with pytest.raises(UserError, match="made from other weights: python -m"):
        embeddings.find("gcl-official", "digits", 20, root=results)
    path.with_suffix(".safetensors").unlink()
    with pytest.raises(UserError, match=r"no stage-one weights .*gcl run training"):
        embeddings.make(path)


def test_a_run_that_is_not_there_is_told_with_its_command(tmp_path: Path) -> None:
    expected = (
        "gcl run training -p data cifar10 -p ratio 100 -p recipe ce -p seed 1 --scale paper -p keep new"
    )
    with pytest.raises(UserError, match=f"^ce is not trained yet: {expected}$"):
        embeddings.find("ce", "cifar10", 100, 1, root=tmp_path)


# ------------------------------------------------------------------------------------------------- figures


def test_the_obscure_region_lies_between_two_classes() -> None:
    rng = np.random.default_rng(0)
    labels = np.arange(400) % 2
    plane = rng.uniform(-1, 1, (400, 2))
    plane[:, 0] = np.where(labels, abs(plane[:, 0]), -abs(plane[:, 0]))  # they meet at x = 0
    x, y, obscure = figures.obscure_cells(plane, labels)
    assert obscure.any()
    assert abs(x[obscure.any(0)]).max() < 0.35
    far = figures.obscure_cells(plane + np.outer(labels, [5, 0]), labels)[2]
    assert not far.any()  # nothing is drawn where there is no image
    assert obscure.shape == (len(y), len(x))


def test_panels_show_every_image_in_the_colour_of_its_class() -> None:
    whole = made()
    figure = figures.embedding_panels({"ce": whole, "gcl": whole})
    assert [axes.get_title() for axes in figure.axes[:2]] == ["ce, training images", "gcl, training images"]
    assert all(axes.get_ylabel() for axes in figure.axes)
    assert figure.axes[-1].get_xlabel()
    assert figure.legends
    part = whole.of(test=True)
    right, wrong = figure.axes[2].collections[-2:]  # behind them lies the region, if there is one
    np.testing.assert_allclose(right.get_offsets(), part.plane[part.right])
    np.testing.assert_allclose(wrong.get_offsets(), part.plane[~part.right])
    colours = np.array(style.class_colours(part.class_counts))[part.labels]
    assert [to_hex(colour) for colour in right.get_facecolors()] == colours[part.right].tolist()
    assert [text.get_text() for text in figure.axes[2].texts] == list(NAMES)


def test_the_region_is_shaded_only_where_every_class_can_be_clear() -> None:
    whole = made(each=2 * NEIGHBOURS)
    rare = (whole.labels == 2) & ~whole.test
    keep = ~rare | (np.cumsum(rare) <= NEIGHBOURS)  # one image too few in training
    parts = {
        name: getattr(whole, name)[keep] for name in ("features", "plane", "labels", "predicted", "test")
    }
    lean = replace(whole, **parts)
    training, test = figures.embedding_panels({"ce": lean}).axes
    assert [len(training.collections), len(test.collections)] == [2, 3]


def test_hovering_tells_class_split_and_verdict() -> None:
    whole = made()
    bundle = interactive.show_plotly(
        figures.embedding_plot({"ce": whole, "gcl": whole}), "e", "alt", plt.figure()
    ).bundle
    traces = bundle["application/vnd.plotly.v1+json"]["data"]
    assert [trace.get("name") for trace in traces[:3]] == ["obscure region", "training images", "test images"]
    test, part = traces[2], whole.of(test=True)
    assert test["text"][:2] == ["head, taken for middle", "head, right"]
    assert test["hovertemplate"] == "test image: %{text}<extra>ce</extra>"
    assert test["marker"]["color"] == part.labels.tolist()
    assert test["marker"]["symbol"] == np.where(part.right, 0, 4).tolist()
    assert traces[1]["marker"]["symbol"][1] == 100
    np.testing.assert_allclose(test["x"], part.plane[:, 0], atol=0.006)
    assert sum(trace.get("showlegend") is True for trace in traces) == 3


def test_no_name_lies_on_another() -> None:
    places = np.zeros((10, 2))
    apart = spread(places, 1.0)
    distances = np.linalg.norm(apart[:, None] - apart[None], axis=2) + np.eye(10)
    assert distances.min() > 0.98
    assert apart[0].tolist() == [0, 0], "the first stays where it is"
    names = ["airplane", "automobile", "ship", "truck"]
    crowd = np.array([[0.5, 0.5], [0.55, 0.5], [0.5, 0.53], [0.0, 0.5]])
    boxes = []
    for name, place, way in zip(names, crowd, sides(names, crowd, np.array([[0, 0], [1, 1]])), strict=True):
        size = np.array([len(name) / LETTERS, 1 / LINES])
        corner = place + np.array(way) * size / 2 - size / 2
        assert corner[0] >= 0, f"{name} is cut"
        assert not [one for one, far in boxes if (corner + size > one).all() and (corner < far).all()], name
        boxes.append((corner + 1e-9, corner + size - 1e-9))


def test_an_animation_moves_the_images_and_stands_still_at_first() -> None:
    course = [replace(made(), plane=made().plane * scale) for scale in (0.1, 0.5, 1)]
    figure = figures.epoch_animation({"long": course, "even": course[::-1]})
    assert [frame.name for frame in figure.frames] == ["1", "2", "3"]
    part = course[0].of(test=True)
    np.testing.assert_allclose(figure.frames[0].data[0].x, part.plane[:, 0], atol=0.006)
    np.testing.assert_allclose(figure.frames[0].data[2].x, 10 * part.plane[:, 0], atol=0.006)
    np.testing.assert_allclose(figure.data[0].x, 10 * part.plane[:, 0], atol=0.006)  # the last epoch
    assert figure.layout.xaxis.range[1] > 10 * abs(part.plane).max()
    assert figure.layout.sliders[0].active == 2
    twin = figures.epoch_panels({"long": course, "even": course}, [1, 3])
    assert [axes.get_title() for axes in twin.axes][:2] == ["long, epoch 1", "long, epoch 3"]
    page = interactive.show_plotly(figure, "e", "alt", twin).bundle["text/html"]
    assert "addFrames" in page
    assert "Plotly.animate" not in page  # nothing moves until it is asked to
