"""The two protocols: every value's source, and what all recipes of the unified protocol share."""

import numpy as np
import pytest

from gclib import data, recipes
from gclib.data import CIFAR, LongTailed, Split, class_counts
from gclib.errors import UserError
from gclib.methods.settings import CODE, OURS, PAPER
from gclib.methods.stage import Stage
from gclib.tables import ROWS
from gclib.train.plan import stage_plan

UNIFIED = sorted(name for name in recipes.names() if name.endswith("-unified"))


@pytest.fixture(scope="module", params=[10, 100])
def cifar(request: pytest.FixtureRequest) -> LongTailed:
    """The numbers of CIFAR-LT at ratio 100, with black images of one pixel."""
    classes = request.param
    counts = class_counts(50_000 // classes, classes, 100)
    train, test = (np.repeat(np.arange(classes), n) for n in (counts, 10_000 // classes))
    splits = [Split(np.zeros((len(labels), 1, 1, 3), np.uint8), labels) for labels in (train, test)]
    names = tuple(map(str, range(classes)))
    return LongTailed(f"cifar{classes}", 100.0, *splits, counts, names, CIFAR, "0" * 64)


def settings(stage: dict, prefix: str = "") -> dict[str, object]:
    flat = {}
    for name, value in stage.items():
        flat |= settings(value, f"{prefix}{name}.") if isinstance(value, dict) else {prefix + name: value}
    return flat


@pytest.mark.parametrize("name", recipes.names())
def test_every_source_is_of_a_setting_that_is_there(name: str, cifar: LongTailed) -> None:
    definition = recipes.get(name).definition
    stages = recipes.get(name).resolve(cifar).stages
    there = {f"{stage.name}.{path}" for stage in stages for path in settings(stage.model_dump())}
    for path, where in definition.sources.items():
        if where == "unified protocol":
            continue  # named for both stages, whether or not there is a second
        assert path == "" or any(f"{found}.".startswith(f"{path}.") for found in there), path
        assert where.startswith((PAPER, CODE, OURS)), where
    assert definition.reference != "this companion"


@pytest.mark.parametrize("name", recipes.names())
def test_every_parameter_of_a_stage_is_one_of_its_method(name: str, cifar: LongTailed) -> None:
    for stage in recipes.get(name).resolve(cifar).stages:
        assert stage.parameters.keys() <= Stage.methods[stage.method].defaults.keys(), stage.name


def test_the_longest_name_says_the_source() -> None:
    definition = recipes.get("gcl-paper").definition
    assert definition.source("stage-one.batch_size") == PAPER
    assert definition.source("stage-one.loss.parameters.scale") == CODE
    assert definition.source("stage-one.loss.parameters.scale_of_something") == PAPER
    assert definition.source("stage-two.learning_rate") == OURS
    assert definition.source("stage-two.sampler.strategy") == PAPER


def test_the_table_tells_what_was_changed(cifar: LongTailed) -> None:
    recipe = recipes.get("gcl-official").resolve(cifar, "short", mixup=0.5)
    table = recipes.settings_table(recipe, cifar)
    assert list(table) == ["setting", "stage-one", "stage-two", "source"]
    assert len({len(column) for column in table.values()}) == 1
    rows = dict(zip(table["setting"], zip(*list(table.values())[1:], strict=True), strict=True))
    assert rows["classifier"] == ("cosine", "cosine", CODE)
    assert rows["mixup"] == ("0.5", "1.0", f"override; {CODE}")
    assert rows["epochs"][2] == "scale and data"
    assert rows["loss.parameters.margin"] == ("", "0.1", CODE)
    flat = [settings(stage.model_dump(exclude={"name"})) for stage in recipe.stages]
    assert set(rows) == {"classifier", *flat[0], *flat[1]}
    unused = {"schedule.warmup", "schedule.milestones", "schedule.factors"}  # by the cosine of stage two
    for setting, (one, two, _) in rows.items():
        if setting in unused:
            assert (one, two) == (str(flat[0][setting]), "")
        elif setting != "classifier":
            assert (one, two) == tuple(str(stage.get(setting, "")) for stage in flat)


def test_mixup_that_the_data_do_not_bear_is_not_put_on_the_code() -> None:
    digits = data.load("digits", 20)
    table = recipes.settings_table(recipes.get("gcl-official").resolve(digits, "smoke"), digits)
    rows = dict(zip(table["setting"], zip(*list(table.values())[1:], strict=True), strict=True))
    assert rows["mixup"] == ("0.0", "0.0", "scale and data")
    assert rows["momentum"] == ("0.9", "0.9", CODE)


@pytest.mark.parametrize("word", ["scale=paper", "data=cifar10", "self=1"])
def test_an_argument_of_resolve_is_no_override(word: str) -> None:
    with pytest.raises(UserError, match=f"override '{word}': no setting of a recipe"):
        recipes.parse_overrides(word)


def test_the_table_tells_a_change_of_stage_one_from_the_same_setting_of_stage_two(cifar: LongTailed) -> None:
    table = recipes.settings_table(recipes.get("gcl-official").resolve(cifar, "short", epochs=5), cifar)
    sources = dict(zip(table["setting"], table["source"], strict=True))
    assert sources["epochs"] == "override; scale and data"


@pytest.mark.parametrize("name", UNIFIED)
def test_unified_recipes_share_all_but_the_method(name: str, cifar: LongTailed) -> None:
    (published,) = (n for n in recipes.names() if recipes.get(n).definition.unified == name)
    twin, own = (recipes.get(n).resolve(cifar) for n in (name, published))
    reference = recipes.get("ce-unified").resolve(cifar).stages[0]
    assert twin.head == own.head
    for position, (stage, before) in enumerate(zip(twin.stages, own.stages, strict=True)):
        for setting in ("batch_size", "momentum", "weight_decay", "nesterov", "mixup"):
            assert getattr(stage, setting) == getattr(reference, setting), (position, setting)
        for setting in ("method", "loss", "sampler", "parameters", "epochs"):
            assert getattr(stage, setting) == getattr(before, setting), (position, setting)
    first = twin.stages[0]
    assert (first.epochs, first.learning_rate, first.schedule) == (200, 0.1, reference.schedule)
    assert (reference.batch_size, reference.mixup, reference.schedule.factors) == (128, 0, (0.1, 0.01))


def test_every_row_of_table_1_but_mixup_has_its_unified_twin() -> None:
    published = [row.recipe for row in ROWS[1] if row.method and row.protocol == "published"]
    twins = {name: recipes.get(name).definition.unified for name in published}
    without = {name for name, twin in twins.items() if not twin}
    assert without == {"ce-mixup", "gcl-paper"}  # one is ce-unified without its mixup, the other is GCL again
    assert {"ce-unified", "ldam-drw-unified", "logit-adjustment-unified", "gcl-unified"} <= set(UNIFIED)


def test_unified_second_stages_start_from_one_first_stage() -> None:
    digits = data.load("digits", 20)
    names = [
        "ce-unified",
        "crt-unified",
        "mislas-unified",
        "logit-adjustment-post-hoc-unified",
        "oltr-unified",
    ]
    first = {stage_plan(recipes.get(n).resolve(digits), digits, 0)[0].hash for n in names}
    assert len(first) == 1
