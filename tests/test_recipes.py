"""Recipes: their settings by name, data set and scale, and the hashes of their stages."""

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from gclib import data, methods, recipes, tables
from gclib.data import LongTailed
from gclib.errors import UserError
from gclib.losses import GCLLoss
from gclib.methods.settings import Schedule
from gclib.methods.stage import Stage, make_loss
from gclib.records import DataSummary, run_identity
from gclib.train.plan import stage_plan

OFFICIAL = {
    "gcl-official": "class",
    "gcl-official-cben": "cben",
    "gcl-official-effective": "effective",
    "gcl-official-instance": "instance",
    "gcl-official-lws": "cben",
}


def test_names() -> None:
    assert recipes.names() == sorted(recipes.names())
    assert {"ce", "ce-mixup", "gcl-official-tau", "gcl-paper", *OFFICIAL} <= set(recipes.names())
    for name in recipes.names():
        assert recipes.get(name).definition.summary.endswith(".")


METHOD = """
from gclib.methods.settings import Definition, StageSettings

STAGE = StageSettings(name="one", method="train", epochs=2)
RECIPES = {{{name!r}: Definition("Added.", "linear", lambda data: (STAGE,))}}
"""


def test_a_recipe_is_found_in_a_file_that_was_added_later(
    digits: LongTailed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "added" not in recipes.names()
    (tmp_path / "added_later.py").write_text(METHOD.format(name="added"))
    monkeypatch.setattr(methods, "__path__", [*methods.__path__, str(tmp_path)])
    assert "added" in recipes.names()
    assert recipes.get("added").resolve(digits).stages[0].epochs == 2
    assert ["added"] in [row[0] for row in tables.results_table([], part="beyond", every=True).rows]
    assert not any("added" in row[0] for number in (3, 4, 5) for row in tables.results_table([], number).rows)
    assert "added" not in tables.readme_table(tmp_path)
    (tmp_path / "added_twice.py").write_text(METHOD.format(name="ce"))
    with pytest.raises(UserError, match=r"recipe 'ce' in .* stands in another file.*a name of its own"):
        recipes.names()


@pytest.mark.parametrize(
    ("name", "after"), [("ce", 0.01), ("ce-mixup", 0.1), ("gcl-official", 0.1), ("gcl-paper", 0.01)]
)
def test_schedules_a_and_b_at_each_epoch(cifar: LongTailed, name: str, after: float) -> None:
    """Five epochs of warm-up, then 1; times `after` behind epoch 160 and `after` squared behind 180."""
    stage = recipes.get(name).resolve(cifar).stages[0]
    assert (stage.learning_rate, stage.epochs) == (0.1, 200)
    factors = [stage.schedule.factor(epoch, 200) for epoch in range(200)]
    assert factors[:6] == [0.2, 0.4, 0.6, 0.8, 1, 1]
    assert factors[159:161] == [1, after]
    assert factors[179:181] == [after, pytest.approx(after**2)]
    assert factors[199] == pytest.approx(after**2)
    assert len(set(factors)) == 7


@pytest.mark.parametrize("name", ["bbn", "tde"])
def test_schedule_c_at_each_epoch(cifar: LongTailed, name: str) -> None:
    """BBN's warm-up, 1/3 (1 - a) + a with a = t/5, then times 0.01 from epoch 120 and again from 160 on."""
    stage = recipes.get(name).resolve(cifar).stages[0]
    code = [
        (1 / 3 * (1 - min(t / 5, 1)) + min(t / 5, 1)) * 0.01 ** ((t >= 120) + (t >= 160)) for t in range(200)
    ]
    assert [stage.schedule.factor(epoch, 200) for epoch in range(200)] == pytest.approx(code)
    assert stage.schedule.factor(0, 1) <= 1


@pytest.mark.parametrize("name", ["bbn", "hybrid-sc", "hybrid-psc", "oltr"])
def test_methods_with_a_loss_of_their_own_refuse_what_it_would_drop(digits: LongTailed, name: str) -> None:
    stage = "stage-two" if name == "oltr" else "stage-one"
    for change, given in (({"mixup": 0.5}, "mixup 0.5"), ({"loss.name": "gcl"}, "loss 'gcl'")):
        overrides = {f"{stage}.{path}": value for path, value in change.items()}
        with pytest.raises(UserError, match=f"was given {given}; expected no mixup"):
            recipes.get(name).resolve(digits, **overrides)


def test_schedule_e_at_named_epochs(cifar: LongTailed) -> None:
    stage = recipes.get("gcl-official").resolve(cifar).stages[1]
    rates = [stage.learning_rate * stage.schedule.factor(epoch, stage.epochs) for epoch in range(30)]
    named = {0: 0.002, 5: 0.00187, 10: 0.0015, 15: 0.001, 20: 0.0005, 29: 5.5e-6}
    for epoch, rate in named.items():
        assert rates[epoch] == pytest.approx(rate, rel=4e-3), epoch
    # As the released code computes it: 0.1 * (0.1 * 0.1 * (1 + cos)).
    code = [0.1 * 0.1 * 0.1 * (1 + np.cos(np.pi * t / 30)) for t in range(30)]
    assert rates == pytest.approx(code)


def test_short_schedules_keep_their_shape() -> None:
    factors = [Schedule().factor(epoch, 10) for epoch in range(10)]
    assert factors == [1.0] * 8 + [0.01, 0.0001]
    assert Schedule().factor(0, 1) == 1.0


def test_plain_recipes(cifar: LongTailed) -> None:
    plain, mixed = (recipes.get(name).resolve(cifar) for name in ("ce", "ce-mixup"))
    for recipe, alpha in ((plain, 0.0), (mixed, 1.0)):
        (stage,) = recipe.stages
        assert (recipe.head, stage.method, stage.loss.name) == ("linear", "train", "cross-entropy")
        assert (stage.batch_size, stage.momentum, stage.weight_decay, stage.nesterov) == (
            128,
            0.9,
            2e-4,
            False,
        )
        assert (stage.sampler.strategy, stage.mixup) == ("instance", alpha)


@pytest.mark.parametrize(("name", "sampler"), OFFICIAL.items())
def test_official_recipes(cifar: LongTailed, name: str, sampler: str) -> None:
    recipe = recipes.get(name).resolve(cifar)
    one, two = recipe.stages
    assert recipe.head == "cosine"
    for stage, epochs, scale, margin, gamma in ((one, 200, 30, 0, 0), (two, 30, 20, 0.1, 1)):
        assert (stage.epochs, stage.batch_size, stage.weight_decay, stage.momentum) == (epochs, 64, 2e-4, 0.9)
        assert (stage.mixup, stage.nesterov) == (1.0, False)
        # Whatever a recipe leaves at a default counts as well.
        loss = make_loss(stage.loss, cifar.class_counts)
        assert isinstance(loss, GCLLoss)
        assert (loss.scale, loss.margin, loss.focal_gamma, loss.noise_std) == (scale, margin, gamma, 1 / 3)
        assert loss.reach[-1] == scale * 0.5
        assert loss.reach[4] == pytest.approx(scale * 0.5 * 0.445, abs=0.01 * scale)  # "log"
    assert (one.method, one.sampler.strategy) == ("train", "instance")
    assert two.method == ("LWS" if name == "gcl-official-lws" else "cRT")
    assert (two.sampler.strategy, two.sampler.parameters) == (sampler, {})
    assert two.parameters == ({} if two.method == "LWS" else {"reinitialise": False})


@pytest.mark.parametrize("base", ["gcl-official", "ce-mixup"])
def test_tau_recipes(base: str, cifar: LongTailed) -> None:
    one, two = recipes.get(f"{base}-tau").resolve(cifar).stages
    assert one == recipes.get(base).resolve(cifar).stages[0]
    assert (two.method, two.epochs, two.parameters) == ("tau-normalisation", 0, {"tau": 1.0})
    chosen = recipes.get(f"{base}-tau-chosen").resolve(cifar).stages
    assert chosen == tuple(
        stage.model_copy(update={"held_out": 0.2, "parameters": {}}) for stage in (one, two)
    )


def test_paper_recipe(cifar: LongTailed) -> None:
    recipe = recipes.get("gcl-paper").resolve(cifar)
    one, two = recipe.stages
    assert recipe.head == "cosine"
    assert (one.batch_size, one.mixup, one.loss.parameters) == (128, 1, {"scale": 30, "noise_scale": 1})
    assert (two.method, two.epochs, two.batch_size, two.mixup) == ("cRT", 30, 128, 0)
    assert (two.learning_rate, two.schedule.kind, two.sampler.strategy) == (0.1, "cosine", "cben")
    assert (two.loss.parameters, two.parameters) == ({"scale": 30, "noise_scale": 1}, {"reinitialise": True})


@pytest.mark.parametrize(
    ("scale", "of_cifar", "of_digits"),
    [("paper", (200, 30), (200, 30)), ("short", (12, 2), (200, 30)), ("smoke", (1, 1), (23, 3))],
)
def test_epochs_of_each_scale(
    cifar: LongTailed, digits: LongTailed, scale: str, of_cifar: tuple, of_digits: tuple
) -> None:
    for source, epochs in ((cifar, of_cifar), (digits, of_digits)):
        recipe = recipes.get("gcl-official").resolve(source, scale)
        assert (recipe.scale, tuple(stage.epochs for stage in recipe.stages)) == (scale, epochs)
        tau = recipes.get("gcl-official-tau").resolve(source, scale)
        assert tau.stages[1].epochs == 0


def test_digits_take_small_batches_and_no_mixup(digits: LongTailed) -> None:
    for name in recipes.names():
        for stage in recipes.get(name).resolve(digits).stages:
            assert stage.batch_size == 32
            assert stage.learning_rate <= 0.05
            if name.startswith("gcl"):
                assert stage.mixup == 0
    assert recipes.get("gcl-official").resolve(digits).stages[1].learning_rate == 0.002


def test_each_stage_of_each_recipe_can_be_built(digits: LongTailed) -> None:
    from gclib.networks import resnet32

    for name in recipes.names():
        recipe = recipes.get(name).resolve(digits)
        for settings in recipe.stages:
            Stage.make(settings, resnet32(10, recipe.head), digits)


def test_stage_plan_runs_stage_two_from_the_last_and_from_the_best(digits: LongTailed) -> None:
    recipe = recipes.get("gcl-official").resolve(digits)
    one, last, best = stage_plan(recipe, digits, 0)
    assert [stage.start for stage in (one, last, best)] == ["scratch", "last", "best"]
    assert (one.settings, last.settings, best.settings) == (*recipe.stages, recipe.stages[1])
    assert (one.parent, last.parent, best.parent) == (None, one, one)
    assert len({one.hash, last.hash, best.hash}) == 3
    (single,) = stage_plan(recipes.get("ce").resolve(digits), digits, 0)
    assert single.start == "scratch"


def rows_of(first: str, second: str) -> dict[str, list[list[str]]]:
    """Settings in which two recipes differ, by stage: name and both values."""
    found: dict[str, list[list[str]]] = {}
    for (name, *_), *values in tables.settings_difference(first, second).rows:
        stage, _, setting = name.partition(": ")
        found.setdefault(stage, []).append([setting, *(value[0] for value in values)])
    return found


def test_recipes_that_share_stage_one_share_its_hash(digits: LongTailed, cifar: LongTailed) -> None:
    def hashes(name: str, source: LongTailed = digits, seed: int = 0, **overrides: object) -> list[str]:
        recipe = recipes.get(name).resolve(source, **overrides)
        return [stage.hash for stage in stage_plan(recipe, source, seed)]

    base = hashes("gcl-official")
    for name in [*OFFICIAL, "gcl-official-tau", "gcl-official-no-focal", "gcl-official-no-margin"]:
        assert hashes(name)[0] == base[0]
        assert name == "gcl-official" or not set(hashes(name)[1:]) & set(base[1:])
    assert hashes("gcl-official", **{"stage-two.epochs": 5})[0] == base[0]
    others = [
        hashes("gcl-paper"),
        hashes("gcl-official", seed=1),
        hashes("gcl-official", data.load("digits", 10)),
        hashes("gcl-official", cifar),
        hashes("gcl-official", epochs=5),
    ]
    everything = [h for run in [base, *others] for h in run]
    assert len(set(everything)) == len(everything)


def test_controls_of_the_text_take_one_setting_after_the_other_from_the_code() -> None:
    first = "gcl-paper-cross-entropy"
    code = {setting: values for setting, _, values in rows_of(first, "gcl-official-cben")["stage two"]}
    taken: list[set[str]] = [set()]
    for name in ("kept", "slow", "loss", "mixup", "batch"):
        differing = rows_of(first, f"gcl-paper-{name}")
        assert differing.keys() == {"stage two"}, "the first stage is shared"
        assert all(row[2] == code[row[0]] for row in differing["stage two"])
        taken.append({row[0].split(",")[0] for row in differing["stage two"]})
    steps = [after - before for before, after in pairwise(taken)]
    assert steps == [{"classifier starts anew"}, {"learning rate"}, {"loss"}, {"mixup"}, {"batch size"}]
    assert code.keys() == {row[0] for row in differing["stage two"]}, "in the end all of the code's stage two"


def test_identity_follows_recipe_data_and_seed(digits: LongTailed) -> None:
    def identity(name: str = "ce", seed: int = 0, scale: str = "smoke", **overrides: object) -> str:
        recipe = recipes.get(name).resolve(digits, scale, **overrides)
        return run_identity(recipe.model_dump(mode="json"), DataSummary.of(digits), seed)

    different = {
        identity(),
        identity("ce-mixup"),
        identity(seed=1),
        identity(scale="paper"),
        identity(epochs=2),
    }
    assert len(different) == 5
    assert identity() == identity()


@pytest.mark.parametrize("name", recipes.names())
def test_stages_can_be_built_from_every_named_recipe(
    name: str, digits: LongTailed, cifar: LongTailed
) -> None:
    """`resolve` loads torch, to try the stages, only where something was changed by hand."""
    for dataset in (digits, cifar):
        for stage in recipes.get(name).resolve(dataset).stages:
            Stage.check(stage, dataset)
