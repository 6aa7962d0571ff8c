"""Changes to a recipe by hand: what they reach, and what is refused in one line."""

import json
import shlex

import numpy as np
import pytest

from gclib import recipes
from gclib.data import LongTailed
from gclib.errors import UserError
from gclib.methods.settings import LossSettings
from gclib.methods.stage import make_loss
from gclib.train import command


def test_unknown_names(digits: LongTailed) -> None:
    with pytest.raises(UserError, match=r"unknown recipe 'gcl-oficial'.*did you mean 'gcl-official'\?"):
        recipes.get("gcl-oficial")
    with pytest.raises(UserError, match=r"unknown scale 'papr'.*did you mean 'paper'\?"):
        recipes.get("ce").resolve(digits, "papr")


def test_overrides_reach_what_they_name(digits: LongTailed) -> None:
    overrides = {
        "epochs": 10,
        "stage-two.epochs": 4,
        "loss.parameters.noise_scale": 1.0,
        "stage-two.loss.parameters.noise_std": 0.5,  # left at its default by the recipe
        "stage-two.sampler.strategy": "cben",
        "stage-two.sampler.parameters.a": 0.99,
        "schedule.milestones": [0.5, 0.75],
        "stage-two.parameters.reinitialise": True,
        "head": None,
    }
    del overrides["head"]
    plain = recipes.get("gcl-official").resolve(digits)
    changed = recipes.get("gcl-official").resolve(digits, **overrides)
    one, two = changed.stages
    assert (one.epochs, two.epochs) == (10, 4)
    assert (one.loss.parameters["noise_scale"], two.loss.parameters["noise_scale"]) == (1.0, 0.5)
    assert (two.loss.parameters["noise_std"], two.sampler.strategy) == (0.5, "cben")
    assert (two.sampler.parameters, one.schedule.milestones) == ({"a": 0.99}, (0.5, 0.75))
    assert two.parameters == {"reinitialise": True}
    assert changed.overrides == overrides
    assert plain == recipes.get("gcl-official").resolve(digits)  # nothing was changed in place
    assert plain.overrides == {}
    # The recipe is its JSON: what a record holds resolves to the same again.
    assert recipes.Recipe.model_validate(json.loads(changed.model_dump_json())) == changed


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("epoch", 3, r"'epoch': no such setting.*did you mean 'epochs'\?"),
        ("stage-tow.epochs", 3, r"no such setting.*stage-two"),
        ("stage-two.epochz", 3, r"did you mean 'epochs'\?"),
        ("stage-two", 3, r"'stage-two': a stage; name a setting of it, such as stage-two\.epochs=10"),
        ("sampler", "class", r"'sampler': has settings of its own; name one: .*sampler\.strategy"),
        ("loss", "gcl", r"name one: loss\.name, loss\.parameters"),
        ("schedule.milestones", "0.5,0.9", r"expected a list, such as schedule\.milestones=\[0.8,0.9\]"),
        ("loss.parameters.scale.x", 3, "no such setting"),
        ("epochs.x", 3, "no such setting"),
        ("", 3, "no such setting"),
        ("stage-two.parameters.reinitialize", True, r"did you mean 'reinitialise'\?"),
        ("loss.parameters.noise_scal", 1.0, r"noise_scal.*did you mean 'noise_scale'\?"),
        ("loss.name", "gcll", r"unknown loss 'gcll'.*did you mean 'gcl'\?"),
        ("stage-two.method", "CRT", r"unknown method 'CRT'.*did you mean 'cRT'\?"),
        ("stage-two.sampler.strategy", "cbenn", r"'cbenn'.*did you mean 'cben'\?"),
        ("stage-two.sampler.parameters.beta", 0.9, "beta"),
        ("epochs", "ten", "epochs.*integer.*got 'ten'"),
        ("epochs", 2.5, "epochs.*integer.*got 2.5"),
        ("epochs", -1, "epochs.*greater than or equal to 0.*got -1"),
        ("batch_size", 0, "batch_size.*got 0"),
        ("learning_rate", 0, "learning_rate.*got 0"),
        ("learning_rate", float("inf"), "learning_rate.*got inf"),
        ("learning_rate", 1e200, "learning_rate.*less than or equal to 1000000"),
        ("learning_rate", float("nan"), "learning_rate.*got nan"),
        ("momentum", 1.0, "momentum.*less than 1.*got 1.0"),
        ("mixup", -0.1, "mixup.*got -0.1"),
        ("nesterov", "perhaps", "nesterov.*bool.*got 'perhaps'"),
        ("schedule.kind", "linear", "schedule.kind.*'steps'.* or 'cosine'.*got 'linear'"),
        ("schedule.milestones", [0.5], "schedule.*milestones"),
        ("loss.parameters.scale", -1.0, "scale"),
        ("loss.parameters.scale", "big", "scale.*'big'"),
        ("loss.parameters.strategy", 3, "strategy.*3"),
        ("loss.parameters.strategy", "logg", r"did you mean 'log'\?"),
    ],
)
def test_wrong_overrides_are_named_in_one_line(
    digits: LongTailed, path: str, value: object, message: str
) -> None:
    with pytest.raises(UserError, match=message) as error:
        recipes.get("gcl-official").resolve(digits, **{path: value})
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("name", ["gcl", "ldam"])
@pytest.mark.parametrize("recipe", ["ce", "tde"])
def test_a_loss_of_cosines_is_refused_on_another_classifier(
    digits: LongTailed, recipe: str, name: str
) -> None:
    with pytest.raises(UserError, match=f"'{name}' takes cosines, but the recipe has a .* classifier"):
        recipes.get(recipe).resolve(digits, **{"loss.name": name})


@pytest.mark.parametrize("name", ["ce", "ce-mixup-ncm"])
def test_a_recipe_that_trains_nothing_is_refused(digits: LongTailed, name: str) -> None:
    with pytest.raises(UserError, match="no stage has an epoch"):
        recipes.get(name).resolve(digits, epochs=0)


def test_a_tuple_and_settings_are_as_good_as_their_json(digits: LongTailed) -> None:
    change = {"schedule.milestones": (0.5, 0.75), "loss": LossSettings(name="focal")}
    stage = recipes.get("ce").resolve(digits, **change).stages[0]
    assert (stage.schedule.milestones, stage.loss.name) == ((0.5, 0.75), "focal")


def test_nesterov_needs_momentum(digits: LongTailed) -> None:
    with pytest.raises(UserError, match=r"recipe ce: stages\.0: .*nesterov needs a momentum above 0"):
        recipes.get("ce").resolve(digits, momentum=0.0, nesterov=True)


def test_parse_overrides() -> None:
    text = """epochs=10 learning_rate=0.05 nesterov=true loss.parameters.strategy="log" sampler.strategy=cben
              schedule.milestones=[0.5, 0.75] learning_rate_=1e-3 a=b=c weights="my folder/a.pth" """
    assert recipes.parse_overrides(text) == {
        "epochs": 10,
        "learning_rate": 0.05,
        "nesterov": True,
        "loss.parameters.strategy": "log",
        "sampler.strategy": "cben",
        "schedule.milestones": [0.5, 0.75],
        "learning_rate_": 1e-3,
        "a": "b=c",
        "weights": "my folder/a.pth",
    }
    assert recipes.parse_overrides("  ") == {}
    for wrong in ("epochs", "epochs=", "=10", "epochs = 10", "weights=my folder/a.pth"):
        with pytest.raises(UserError, match="expected path=value"):
            recipes.parse_overrides(wrong)


def test_command_gives_the_overrides_back(digits: LongTailed) -> None:
    overrides = {"epochs": 2, "schedule.milestones": [0.5, 0.75], "stage-two.sampler.strategy": "cben"}
    recipe = recipes.get("gcl-official").resolve(digits, "smoke", **overrides)
    words = shlex.split(command(recipe, digits, 3))
    assert words[:3] == ["gcl", "run", "training"]
    parameters = {words[i + 1]: words[i + 2] for i, word in enumerate(words) if word == "-p"}
    assert recipes.parse_overrides(parameters.pop("overrides")) == overrides
    assert parameters == {"data": "digits", "ratio": "20", "recipe": "gcl-official", "seed": "3"}
    assert words[-2:] == ["--scale", "smoke"]


def test_unknown_parameter_of_a_loss() -> None:
    with pytest.raises(UserError, match=r"'margn' of loss 'gcl'.*did you mean 'margin'\?"):
        make_loss(LossSettings(name="gcl", parameters={"margn": 1.0}), np.array([3, 2]))
    with pytest.raises(UserError, match="'margin' of loss 'cross-entropy'"):
        make_loss(LossSettings(name="cross-entropy", parameters={"margin": 1.0}), np.array([3, 2]))


def test_unknown_parameter_of_a_method(digits: LongTailed) -> None:
    with pytest.raises(UserError, match=r"'strat' of method 'reweight'.*did you mean 'start'\?"):
        recipes.get("ldam-drw").resolve(digits, parameters={"strat": 0.5})
    with pytest.raises(UserError, match="'start' of method 'train'; expected none"):
        recipes.get("ce").resolve(digits, parameters={"start": 0.5})


IMPOSSIBLE = {
    "ce": "epochs=false epochs=1e12 epochs=-1 batch_size=1e12 batch_size=0 batch_size=true learning_rate=0 momentum=1 "
    "weight_decay=NaN mixup=1e400 mixup=true schedule.warmup=2 schedule.milestones=[5,6] schedule.milestones=[0.9,0.8] "
    "schedule.factors=[NaN,1]",
    "gcl-official": "loss.parameters.scale=1e400 loss.parameters.noise_scale=1e12 loss.parameters.margin=false "
    "stage-two.sampler.parameters.beta=true",
    "hybrid-psc": "parameters.temperature=1e400 parameters.temperature=0 parameters.contrast=both",
    "ldam-drw": "parameters.start=1.5 parameters.beta=1",
    "tde": "parameters.alpha=NaN parameters.mu=1",
    "disalign": "stage-two.parameters.rho=-1",
    "mislas": "stage-two.parameters.factor=-1 stage-two.parameters.shift=2",
    "ce-mixup-tau": "stage-two.parameters.tau=-Infinity",
    "logit-adjustment-post-hoc": "stage-two.parameters.tau=1e12",
}


@pytest.mark.parametrize(
    ("name", "override"), [(name, one) for name, text in IMPOSSIBLE.items() for one in text.split()]
)
def test_a_value_that_cannot_be_is_refused(cifar: LongTailed, name: str, override: str) -> None:
    setting = override.partition("=")[0].rpartition(".")[2]
    with pytest.raises(UserError, match=f"({setting}|schedule).*(expected|should be)"):
        recipes.get(name).resolve(cifar, **recipes.parse_overrides(override))
