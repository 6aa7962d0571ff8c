"""Recipes, cells and prices of Table 2: what is known of runs on the three large sets that nobody has made."""

import json
from pathlib import Path

import pytest
import torch
from factories import run_of

from gclib import data, grid, paper, recipes, records, tables
from gclib.cli import grid as command
from gclib.data import PUBLISHED, without_images
from gclib.errors import UserError
from gclib.grid.bench.photographs import photographs
from gclib.grid.price import Rates
from gclib.methods.photographs import NOT_RUN, STAGES
from gclib.methods.stage import Stage
from gclib.networks import make_network, read_embedding
from gclib.train.effort import MULTIPLICATIONS
from gclib.train.plan import stage_plan


@pytest.fixture(scope="module")
def sets() -> dict[str, data.LongTailed]:
    return {name: without_images(name, None) for name in PUBLISHED}


def test_table_2_has_the_cells_in_which_the_paper_has_a_number() -> None:
    for name, count in (("imagenet-lt", 9), ("inaturalist2018", 9), ("places-lt", 8)):
        printed = [cell for cell in paper.cells(2, name) if cell.accuracy is not None]
        cells = grid.cells("table2", name, 0)
        assert len(cells) == len(printed) == count
        assert ("oltr" in {cell.recipe for cell in cells}) == (name == "places-lt")
    assert {row.recipe for row in tables.ROWS[2]} == set(STAGES)
    with pytest.raises(UserError, match="data set of Table 2"):
        grid.cells("table2", "cifar10", 100)


@pytest.mark.parametrize("name", PUBLISHED)
@pytest.mark.parametrize("recipe", [*STAGES, "focal", "gcl-paper", "ce-mixup-tau", "ce-unified"])
def test_every_recipe_says_what_it_is_on_the_large_sets(
    sets: dict[str, data.LongTailed], name: str, recipe: str
) -> None:
    named, images = recipes.get(recipe), sets[name]
    resolved = named.resolve(images)
    places = name == "places-lt"
    assert resolved.network == ("resnet152" if places else "resnet50")
    assert (resolved.weights is not None) == places
    assert resolved.overrides == {}
    assert named.on(name).reference.endswith(f"{NOT_RUN} on {PUBLISHED[name].title}")
    for stage in resolved.stages:
        Stage.check(stage, images)
    if recipe in STAGES:
        assert (resolved.stages[0].trains == "last-block") == places
    table = recipes.settings_table(resolved, images)
    assert "scale and data" not in table["source"]
    assert "override" not in table["source"]
    assert recipes.Recipe.model_validate_json(resolved.model_dump_json()) == resolved


@pytest.mark.parametrize("name", PUBLISHED)
@pytest.mark.parametrize(
    "recipe", ["tde", "bbn", "hybrid-sc", "hybrid-psc-unified", "hybrid-sc-all", "disalign-unified"]
)
def test_recipes_without_a_row_can_be_built_there_too(
    sets: dict[str, data.LongTailed], name: str, recipe: str
) -> None:
    images = sets[name]
    resolved = recipes.get(recipe).resolve(images)
    for stage in resolved.stages:
        Stage.check(stage, images, resolved.head)
        says_itself = stage.method in ("BBN", "hybrid")
        assert (stage.trains == "all") == (says_itself or name != "places-lt" or stage.name == "stage-two")


def test_values_on_the_large_sets_stand_with_the_source_that_has_them(
    sets: dict[str, data.LongTailed],
) -> None:
    places = sets["places-lt"]

    def shown(recipe: str, images: data.LongTailed, setting: str) -> list[str]:
        table = recipes.settings_table(recipes.get(recipe).resolve(images), images)
        at = table["setting"].index(setting)
        return [values[at] for values in table.values()][1:]

    zhong, liu = "official code of Zhong et al.", "official code of Liu et al."
    for name in PUBLISHED:
        assert shown("mislas", sets[name], "batch_size") == ["256", "256", zhong]
    assert shown("oltr", places, "batch_size") == ["128", "128", liu]
    assert shown("oltr", places, "epochs") == ["30", "30", liu]
    assert shown("tde", sets["imagenet-lt"], "parameters.alpha")[0] == "3.0"
    assert shown("gcl-official-cben", places, "weights")[-1].startswith(
        "official code of Li et al. for Places-LT"
    )


def test_small_images_keep_what_they_had() -> None:
    digits = data.load("digits", 20)
    for recipe in STAGES:
        resolved = recipes.get(recipe).resolve(digits)
        assert "last_block" not in resolved.model_dump()
        assert resolved.embedding == {}
        assert recipes.get(recipe).on("digits") is recipes.get(recipe).definition


def test_rows_that_share_a_first_stage_share_its_hash(sets: dict[str, data.LongTailed]) -> None:
    def first(recipe: str, name: str) -> str:
        return stage_plan(recipes.get(recipe).resolve(sets[name]), sets[name], 0)[0].hash

    for name in PUBLISHED:
        assert len({first(recipe, name) for recipe in ("ce-mixup", "ce-mixup-crt", "mislas")}) == 1
    assert first("ce", "places-lt") != first("ce-lws", "places-lt")  # a new last block is another network


@pytest.mark.parametrize("name", PUBLISHED)
def test_a_batch_is_cut_into_as_many_parts_as_a_source_names_gpus(
    sets: dict[str, data.LongTailed], name: str
) -> None:
    parts = {recipe: [s.parts for s in recipes.get(recipe).resolve(sets[name]).stages] for recipe in STAGES}
    cut = {recipe: found for recipe, found in parts.items() if set(found) != {1}}
    assert cut == {"ce-mixup": [4], "ce-mixup-crt": [4, 1], "mislas": [4, 1]}
    table = recipes.settings_table(recipes.get("mislas").resolve(sets[name]), sets[name])
    row = table["setting"].index("parts")
    assert [values[row] for values in table.values()] == ["parts", "4", "", "official code of Zhong et al."]


def test_another_network_does_not_start_from_the_weights_of_the_recipe_s(
    sets: dict[str, data.LongTailed],
) -> None:
    named = recipes.get("ce")
    for overrides in ({"network": "resnet18"}, {"weights": "new"}):
        resolved = named.resolve(sets["places-lt"], **overrides)
        assert (resolved.weights, resolved.last_block) == (None, "given")
    given = named.resolve(sets["places-lt"], weights="ab" * 32, last_block="given")
    assert (given.weights, given.last_block) == ("ab" * 32, "given")
    with pytest.raises(UserError, match="last_block new needs weights"):
        named.resolve(sets["imagenet-lt"], last_block="new")


def test_a_new_last_block_is_not_that_of_the_weights(tmp_path: Path) -> None:
    torch.manual_seed(0)
    trained, network = (make_network("resnet18", 5, "linear") for _ in range(2))
    torch.save(trained.state_dict(), tmp_path / "w.pth")
    made = {name: value.clone() for name, value in network.state_dict().items()}
    network.start_from(read_embedding(tmp_path / "w.pth", "resnet18", last_block=False))
    block = network.last_block()
    assert {name.split(".")[1] + name.split(".")[2] for name in block} == {"layer41"}
    for name, value in network.state_dict().items():
        kept = name in block or name.startswith("head.")
        assert torch.equal(value, made[name] if kept else trained.state_dict()[name]), name
    weights = read_embedding(tmp_path / "w.pth", "resnet18", last_block=False)
    with pytest.raises(ValueError, match="another network"):
        network.start_from({k: v for k, v in weights.items() if "layer3" not in k})


def test_weights_that_are_not_here_are_planned_with_and_told_when_a_run_begins(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("GCLIB_DATA", "TORCH_HOME"):
        monkeypatch.setenv(name, str(tmp_path / name))
    places = data.without_images("places-lt", None)
    resolved = recipes.get("ce").resolve(places)
    assert resolved.weights == "394f9c45" + 56 * "0"
    table = recipes.settings_table(resolved, places)
    told = table["stage-one"][table["setting"].index("weights")]
    assert told == "394f9c45..."  # zeros would be read as digits of the file
    with pytest.raises(UserError, match=r"gcl data fetch weights:resnet152/IMAGENET1K_V1"):
        data.find_weights(resolved.weights)


def test_a_price_follows_from_rates_images_and_epochs(sets: dict[str, data.LongTailed]) -> None:
    rates = Rates("resnet50", 1000.0, 4000.0, "made up")
    ce = recipes.get("ce").resolve(sets["imagenet-lt"])
    seconds = rates.seconds(ce.stages[0], "resnet50", 115_846, 50_000)
    # 200 epochs with 32 + 40 tests.
    assert seconds == pytest.approx(1 / 1000 + 72 * 50_000 / (200 * 115_846) / 4000)
    deeper = rates.seconds(ce.stages[0], "resnet152", 115_846, 50_000)
    assert deeper / seconds == pytest.approx(11.51 / 4.09)
    frozen = ce.stages[0].model_copy(update={"trains": "last-block"})
    assert rates.seconds(frozen, "resnet50", 115_846, 50_000) < seconds / 2
    second = (
        recipes.get("gcl-official-cben").resolve(sets["imagenet-lt"]).stages[1]
    )  # its embedding is frozen
    passes = 1 + 50_000 / 115_846  # forward alone, and a test an epoch
    assert rates.seconds(second, "resnet50", 115_846, 50_000, first=False) == pytest.approx(passes / 4000)
    cells = grid.cells("table2", "imagenet-lt", 0)
    progress = grid.survey(cells, "no-runs", "no-results")
    estimate = grid.estimate(progress, grid.predicted_speeds(cells, rates), jobs=1)
    alone = sum(115_846 * stage.epochs for stage in ce.stages) * seconds
    assert estimate.cells[cells[0]] == pytest.approx(alone)
    assert estimate.total < sum(estimate.cells.values()) + alone  # a shared first stage counts once


def test_a_measured_gpu_goes_before_a_prediction(tmp_path: Path) -> None:
    assert "nobody measured it" in grid.rates_of("A100", tmp_path).basis
    report = {
        "device": "NVIDIA A100-SXM4-80GB",
        "network": "resnet50",
        "trained": 1500.0,
        "tested": 5000.0,
        "seconds": 60.0,
        "date": "2026-01-01",
    }
    (tmp_path / "a100.json").write_text(json.dumps(report))
    rates = grid.rates_of("A100", tmp_path)
    assert (rates.trained, rates.basis) == (
        1500.0,
        "a measurement of 60 s on NVIDIA A100-SXM4-80GB, 2026-01-01",
    )
    predicted, measured = grid.rates_of("H100", tmp_path), grid.rates_of("H200")
    assert "a measurement of" in measured.basis
    assert predicted.trained == pytest.approx(measured.trained * 3.35 / 4.8, rel=0.001)
    assert predicted.tested == pytest.approx(measured.tested * 3.35 / 4.8, rel=0.001)
    for nothing_of_that_name in ("abacus", "", " ", "0", "nvidia", "100", "a10"):
        with pytest.raises(UserError, match="unknown GPU"):
            grid.rates_of(nothing_of_that_name, tmp_path)
    assert grid.rates_of("a100-sxm4", tmp_path) == grid.rates_of("NVIDIA A100-SXM4-80GB", tmp_path) == rates
    (tmp_path / "a100.json").write_text("{}")
    with pytest.raises(UserError, match="no report of gcl bench photographs"):
        grid.rates_of("A100", tmp_path)


def test_a_dry_run_needs_no_photographs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command.run(["table2"], dry_run=True, gpu="A100", price=2.0, workdir=tmp_path)
    said = " ".join(capsys.readouterr().out.split())
    for title in ("ImageNet-LT", "Places-LT", "iNaturalist 2018"):
        assert f"{title}, paper scale" in said
    assert "hours of one A100" in said
    assert "at 2 an hour" in said
    assert "nobody measured it" in said


def test_a_record_of_a_large_set_is_found_and_stands_in_its_table(
    sets: dict[str, data.LongTailed], tmp_path: Path
) -> None:
    cell, images = grid.cells("table2", "places-lt", 0)[0], sets["places-lt"]
    (one,) = grid.survey([cell], tmp_path, tmp_path)
    assert (one.state, len(one.left)) == ("to run", 1)
    record = run_of(recipes.get("ce").resolve(images), images)
    records.save(record, records.results_path(record, tmp_path))
    (one,) = grid.survey([cell], tmp_path, tmp_path)
    assert (one.state, len(one.left)) == ("done", 0)
    shown = tables.results_table(records.find(tmp_path), 2, "places-lt", 996, every=True).to_markdown()
    assert f"{record.clean.top1:.2f}" in shown
    assert "seed0.json" in shown


def test_a_rehearsed_measurement_is_read_as_one(tmp_path: Path) -> None:
    report, path = photographs(torch.device("cpu"), "resnet18", 0.05, tmp_path, batch=2, side=32)
    rates = grid.rates_of(report["device"], tmp_path)
    assert (rates.network, rates.trained) == ("resnet18", report["trained"])
    assert rates.trained > 0
    assert rates.tested > 0
    assert path.parent == tmp_path
    assert MULTIPLICATIONS.keys() == data.NETWORKS.keys()


def test_a_report_that_cannot_be_written_is_told_before_anything_is_measured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gclib.grid.bench.photographs._rates", lambda *_: pytest.fail("it measured"))
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="cannot write"):
        photographs(torch.device("cpu"), "resnet18", 60, tmp_path / "file")
