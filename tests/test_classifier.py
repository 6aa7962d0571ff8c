"""A run leaves a classifier that predicts elsewhere: the same classes, calibrated where it can be, as ONNX too."""

import csv
import io
import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load as safetensors_load
from safetensors.torch import save as safetensors_save
from training import few_digits, fit, no_fingerprint, resnet8

import gclib
from gclib import classifier, records
from gclib.classifier import Classifier, Transform, load_classifier
from gclib.cli import predict
from gclib.errors import UserError
from gclib.train import making, runner, runs
from gclib.train.calibration import fitted_temperature

SHORT = {"epochs": 1, "test_every": 1}
# One of each way in which a last stage changes what is predicted.
RECIPES = {
    "bbn": {},
    "ce-mixup-lws": {"stage-two.epochs": 1},
    "ce-mixup-ncm": {},
    "ce-mixup-tau-chosen": {},
    "disalign": {"stage-two.epochs": 1},
    "gcl-official": {"stage-two.epochs": 1},
    "logit-adjustment-post-hoc": {},
    "mislas": {"stage-two.epochs": 1},
    "oltr": {"stage-two.epochs": 1},
    "tde": {},
}


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runs, "fingerprint", no_fingerprint)
    for module in (making, runner, classifier):
        monkeypatch.setattr(module, "make_network", resnet8)


def trained(folder: Path, name: str, **changes: Any) -> tuple[records.RunRecord, Path]:
    record = fit(folder, name, **{**SHORT, **RECIPES.get(name, {}), **changes})
    return record, folder / record.identity / "classifier.safetensors"


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Runs share their first stages."""
    return tmp_path_factory.mktemp("runs")


@pytest.fixture
def file(shared: Path) -> Path:
    return trained(shared, "gcl-official")[1]


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    folder.mkdir()
    for number in range(3):
        Image.fromarray(few_digits().test.images[number]).resize((40, 30)).save(folder / f"{number}.png")
    return folder


def test_importing_the_package_loads_no_torch_for_it() -> None:
    code = "import sys, gclib; assert 'torch' not in sys.modules; gclib.load_classifier; assert 'torch' in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("name", RECIPES)
def test_it_predicts_what_the_run_predicted(name: str, shared: Path) -> None:
    record, path = trained(shared, name)
    model = gclib.load_classifier(path)
    assert isinstance(model, torch.nn.Module)
    assert not model.training
    test = few_digits().test
    with torch.no_grad():
        logits = model(model.transform.of_pixels(test.images))
    assert logits.dtype == torch.float32
    right = (logits.argmax(1).numpy() == test.labels).mean()
    assert 100 * right == pytest.approx(record.clean.top1, abs=1e-4)
    assert model.class_names == few_digits().class_names
    assert model.card.run == record.identity
    assert model.card.recipe.model_dump(mode="json") == record.recipe


def test_the_transform_takes_paths_images_and_pixels_alike(file: Path, photos: Path) -> None:
    transform = load_classifier(file).transform
    path = photos / "1.png"
    tensors = [transform(path), transform(str(path)), transform(Image.open(path))]
    tensors.append(transform(np.asarray(Image.open(path))))
    assert tensors[0].shape == (3, 8, 8)
    assert all(torch.equal(one, tensors[0]) for one in tensors)
    with pytest.raises(UserError, match=r"pixels are float64 \(8, 8\); expected uint8"):
        transform(np.zeros((8, 8)))
    with pytest.raises(UserError, match=r"nowhere\.png: not a readable image"):
        transform(photos / "nowhere.png")


@pytest.mark.parametrize("shape", [{}, {"width": 9}, {"scaled": 10}])
def test_an_image_that_cannot_be_brought_to_pixels_is_told_in_one_line(
    file: Path, photos: Path, shape: dict[str, int]
) -> None:
    transform = Transform(load_classifier(file).card.model_copy(update=shape))
    path = photos / "0.png"
    path.write_bytes(path.read_bytes()[:400])
    with pytest.raises(UserError, match=r"0\.png: not a readable image: OSError$"):
        transform(path)
    for bad in (Image.open(path), Image.new("La", (9, 9))):  # cut off; of a mode that becomes no other
        with pytest.raises(UserError, match=r"^not a readable image: \w+Error$"):
            transform(bad)
    for empty in (np.zeros((0, 9, 3), np.uint8), Image.new("RGB", (9, 0))):
        with pytest.raises(UserError, match=r"^an image of 0x9 pixels; expected at least one$"):
            transform(empty)


def test_probabilities_are_calibrated_on_held_out_images_alone(shared: Path) -> None:
    assert load_classifier(trained(shared, "ce")[1]).card.calibration is None
    _, path = trained(shared, "ce", held_out=0.2, learning_rate=0.02)
    model = load_classifier(path)
    known = model.card.calibration
    assert known is not None
    assert known.images == sum(int(0.2 * n) for n in few_digits().class_counts)
    assert known.loss_after <= known.loss_before
    images = model.transform.of_pixels(few_digits().test.images)
    with torch.no_grad():
        plain = model.stage(images)
    assert torch.allclose(model.probabilities(images), (plain / known.temperature).softmax(1))
    assert torch.equal(
        model.probabilities(images).argmax(1), plain.argmax(1)
    )  # the temperature changes no class
    # A first stage that saw the images leaves none to calibrate on.
    both = {"epochs": 1, "stage-two.epochs": 1, "stage-two.held_out": 0.2}
    assert load_classifier(trained(shared, "gcl-official", **both)[1]).card.calibration is None


def test_the_temperature_is_found_and_classes_count_alike() -> None:
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(20_000, 3, generator=generator, dtype=torch.float64) * 2
    labels = torch.multinomial(logits.softmax(1), 1, generator=generator)[:, 0]
    assert fitted_temperature(logits, labels).temperature == pytest.approx(1, rel=0.05)
    assert fitted_temperature(4 * logits, labels).temperature == pytest.approx(4, rel=0.05)
    # Without errors the best temperature would be 0.
    assert fitted_temperature(logits, logits.argmax(1)) is None
    # Half the images of a class are dropped: with weights by class the temperature stays.
    kept = (labels != 0) | (torch.rand(len(labels), generator=generator) < 0.5)
    assert fitted_temperature(logits[kept], labels[kept]).temperature == pytest.approx(1, rel=0.05)


def read_csv(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


def changed(content: bytes, **card: Any) -> bytes:
    size = 8 + int.from_bytes(content[:8], "little")
    said = json.loads(content[8:size])["__metadata__"]
    whole = json.loads(said["card"]) | card
    return safetensors_save(safetensors_load(content), said | {"card": json.dumps(whole)})


def test_a_file_that_is_no_classifier_is_told_in_one_line(file: Path, tmp_path: Path) -> None:
    content = file.read_bytes()
    weights = safetensors_load(content)
    nan = {**weights, "network.head.weight": weights["network.head.weight"] * torch.nan}
    said = {"format": "gclib-classifier-1"}
    card = json.loads(
        json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])["__metadata__"]["card"]
    )
    recipe = card["recipe"]
    cases = {
        "is damaged": content[:5000],
        "is damaged, or no safetensors": b"",
        "is damaged, or no": b"<html>",
        "holds weights, but not what they are of": safetensors_save(weights),
        "was changed, or is of another version": safetensors_save(weights, said),
        "names, counts": changed(content, class_names=["a", "b"]),
        "unknown network": changed(content, recipe=recipe | {"network": "resnet5"}),
        "holds other weights than its recipe has": changed(content, recipe=recipe | {"network": "resnet18"}),
        "less than or equal to 4096": changed(content, height=10**9),
        "holds NaN": safetensors_save(nan, said | {"card": json.dumps(card)}),
    }
    for message, bad in cases.items():
        path = tmp_path / "bad.safetensors"
        path.write_bytes(bad)
        with pytest.raises(UserError, match=message) as error:
            load_classifier(path)
        assert "\n" not in str(error.value)
    with pytest.raises(UserError, match=r"cannot read .*No such file"):
        load_classifier(tmp_path / "none.safetensors")


def test_gcl_predict_prints_a_table_or_csv(file: Path, photos: Path, gcl: Callable) -> None:
    code, table, said = gcl("predict", file, photos)
    assert code == 0, said
    assert "0.png" in table
    assert "not calibrated" in said
    rows = read_csv(gcl("predict", file, photos / "2.png", photos, "--csv", "--top", "3")[1])
    assert len(rows) == 4 * 3
    assert list(rows[0]) == ["image", "class", "probability"]
    assert rows[:3] == rows[9:]
    model = load_classifier(file)
    expected = model.probabilities(model.transform(photos / "2.png")[None])[0].sort(descending=True)
    assert [float(row["probability"]) for row in rows[:3]] == pytest.approx(
        expected.values[:3].tolist(), abs=1e-6
    )
    assert rows[0]["class"] == model.class_names[expected.indices[0]]


def test_photos_of_a_folder_are_those_that_training_would_find(photos: Path, tmp_path: Path) -> None:
    for name in ("within", ".hidden", "@eaDir"):
        (photos / name).mkdir()
        Image.new("RGB", (9, 9)).save(photos / name / "5.png")
    (tmp_path / "elsewhere").mkdir()
    Image.new("RGB", (9, 9)).save(tmp_path / "elsewhere" / "6.png")
    (photos / "linked").symlink_to(tmp_path / "elsewhere")
    (photos / "notes.txt").write_text("no image")
    found = [str(path.relative_to(photos)) for path in predict._photos([photos])]
    assert found == ["0.png", "1.png", "2.png", "linked/6.png", "within/5.png"]
    (photos / "round").symlink_to(photos)
    with pytest.raises(UserError, match=r"round is a link to .*, which holds it; remove the link"):
        list(predict._photos([photos]))


def test_bad_photos_are_named_together_and_nothing_is_printed(
    file: Path, photos: Path, gcl: Callable
) -> None:
    (photos / "cut.jpg").write_bytes(b"\xff\xd8\xff\xe0 and no more")
    (photos / "empty.jpg").touch()
    bomb = photos / "bomb.png"
    Image.new("1", (20_000, 20_000)).save(bomb)
    code, table, said = gcl("predict", file, photos / "0.png", photos / "cut.jpg", photos / "empty.jpg", bomb)
    assert (code, table) == (2, "")
    assert len(said.splitlines()) == 1
    assert "3 of 4 photos cannot be used" in said
    assert "bomb.png: more pixels than an honest photo has" in said
    (photos / "gone.png").symlink_to(photos / "nowhere.png")
    code, table, said = gcl("predict", file, photos)
    assert (code, table) == (2, "")
    for name in ("cut.jpg", "empty.jpg", "gone.png"):
        assert name in said, "also what a folder holds and cannot be read is told"
    empty = photos / "none"
    empty.mkdir()
    assert "no image in this folder" in gcl("predict", file, empty)[2]
    code, table, said = gcl("predict", file, photos / "0.png", "--csv", photos / "out.csv")
    assert (code, table) == (2, "")
    assert re.search(r"nothing lies at \S+/out.csv; .* write --csv > FILE", " ".join(said.split()))


def test_without_a_classifier_no_photo_is_looked_at(
    tmp_path: Path, gcl: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(predict, "_photos", lambda images: pytest.fail("looked at the photos"))
    no_classifier = tmp_path / "photo.jpg"
    no_classifier.write_bytes(b"\xff\xd8")
    code, table, said = gcl("predict", no_classifier, tmp_path)
    assert (code, table) == (2, "")
    assert "no safetensors file" in said


def test_an_export_that_cannot_be_written_is_told_before_anything_is_computed(
    file: Path, tmp_path: Path, gcl: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("onnxruntime", reason="extra `onnx`")
    monkeypatch.setattr(torch.onnx, "export", lambda *_, **__: pytest.fail("computed"))
    code, _, said = gcl("export", file, tmp_path)
    assert code == 2
    assert "cannot write" in said


def test_an_export_over_its_own_classifier_is_refused(file: Path, tmp_path: Path, gcl: Callable) -> None:
    pytest.importorskip("onnxruntime", reason="extra `onnx`")
    (copy := tmp_path / "a.safetensors").write_bytes(file.read_bytes())
    (tmp_path / "b.onnx").symlink_to(copy)
    for output in (copy, tmp_path / "b.onnx"):
        code, _, said = gcl("export", copy, output)
        assert code == 2
        assert "is the classifier itself; name another file, such as a.onnx" in said
    assert copy.read_bytes() == file.read_bytes()


def test_class_names_are_text_everywhere(file: Path, photos: Path, tmp_path: Path, gcl: Callable) -> None:
    names = ["<script>alert(1)</script>", "[red]bold[/red]", 'a, "b"', *"3456789"]
    path = tmp_path / "named.safetensors"
    path.write_bytes(changed(file.read_bytes(), class_names=names))
    assert load_classifier(path).class_names == tuple(names)
    shown = gcl("predict", path, photos / "0.png", "--top", "10")[1]
    assert all(name in shown for name in names)
    rows = read_csv(gcl("predict", path, photos / "0.png", "--top", "10", "--csv")[1])
    assert {row["class"] for row in rows} == set(names)


@pytest.mark.parametrize("name", ["gcl-official", pytest.param("oltr", marks=pytest.mark.soak)])
def test_as_onnx_it_gives_the_same_probabilities(
    name: str, shared: Path, tmp_path: Path, gcl: Callable
) -> None:
    onnxruntime = pytest.importorskip("onnxruntime", reason="extra `onnx`")
    path = trained(shared, name)[1]
    model = load_classifier(path)
    code, out, err = gcl("export", path, tmp_path / "model.onnx")
    assert (code, err) == (0, "")
    assert float(out.split()[-1]) < 1e-5, "how far its probabilities are off"
    images = model.transform.of_pixels(few_digits().test.images[:5])
    session = onnxruntime.InferenceSession(tmp_path / "model.onnx")
    (found,) = session.run(None, {"images": images.numpy()})
    np.testing.assert_allclose(found, model.probabilities(images).numpy(), atol=1e-5)
    card = json.loads(session.get_modelmeta().custom_metadata_map["card"])
    assert card["class_names"] == list(model.class_names)
    assert not model.training


def test_it_is_a_module_like_others(file: Path) -> None:
    model: Classifier = load_classifier(file)
    images = torch.randn(2, 3, 8, 8)
    scripted = torch.export.export(model, (images,)).module()
    assert torch.allclose(scripted(images), model(images), atol=1e-5)
    again = load_classifier(file)
    again.load_state_dict(model.state_dict())
