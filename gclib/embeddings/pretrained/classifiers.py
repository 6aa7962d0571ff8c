"""Classifiers of features by the recipes of Table 2, as on Places-LT, whose network is pretrained too."""

from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from gclib import recipes
from gclib.data import LongTailed, without_images
from gclib.methods.settings import StageSettings
from gclib.methods.stage import Stage
from gclib.networks import Network
from gclib.records import content_hash
from gclib.train.features import images_of
from gclib.train.loop import Trainer
from gclib.train.making import draw_seed, seeded

__all__ = ["EPOCHS", "METHODS", "ClassifierAlone", "compare", "settings_of"]

EPOCHS = 20
CPU, PRECISION = torch.device("cpu"), "float64"  # then what comes out is the same on every CPU

METHODS = {
    "cross-entropy": "ce",
    "LDAM-DRW": "ldam-drw",
    "logit adjustment": "logit-adjustment",
    "logit adjustment, post hoc": "logit-adjustment-post-hoc",
    "τ-normalisation, τ = 1": "ce-mixup-tau",
    "nearest class mean": "ce-mixup-ncm",
    "LWS": "ce-lws",
    "cRT": "ce-mixup-crt",
    "DisAlign": "disalign",
    "MisLAS": "mislas",
    "GCL": "gcl-official-cben",
}
"""What is compared, and the recipe of each; mixup, which some are named for, is of images and not of features."""


class ClassifierAlone(Network):
    """A classifier behind an embedding that is not there: it is given features.

    Parameters
    ----------
    num_features, num_classes
        Dimension d of a feature, and number of classes C.
    head
        One of `gclib.networks.CLASSIFIERS`.
    """

    def __init__(self, num_features: int, num_classes: int, head: str) -> None:
        super().__init__()
        self.num_features, self.embedding = num_features, nn.Sequential(nn.Identity())
        self.head = self.make_head(num_classes, head)


def settings_of(recipe: str, epochs: int = EPOCHS) -> tuple[str, tuple[StageSettings, ...]]:
    """Return the classifier of a recipe, and its stages as on Places-LT, with what features have no place for left out.

    Parameters
    ----------
    recipe
        Name of a recipe of one or two stages.
    epochs
        Of stage one; a second stage keeps its own.

    Returns
    -------
    tuple of str and tuple of StageSettings
        No mixup, no augmentation, no parts, no batch norm that shifts, and the classifier alone learns.
    """
    places, named = without_images("places-lt", None), recipes.get(recipe)
    changes: dict[str, Any] = {"trains": "head", "epochs": epochs}
    for place, stage in enumerate(named.on(places.name).stages(places)):
        prefix = f"{stage.name}." if place else ""
        changes |= {f"{prefix}augment": False, f"{prefix}mixup": 0.0, f"{prefix}parts": 1}
        if "shift" in stage.parameters:
            changes[f"{stage.name}.parameters.shift"] = False
    resolved = named.resolve(places, **changes)
    return resolved.head, resolved.stages


def compare(
    names: Iterable[str], features: LongTailed, seeds: Sequence[int], epochs: int = EPOCHS
) -> dict[str, list[list[dict[str, Any]]]]:
    """Train classifiers by recipes; first stages that are the same are trained once.

    Parameters
    ----------
    names
        Of recipes.
    features
        A data set with features in the place of images; see `gclib.embeddings.pretrained.load`.
    seeds
        Each of the weights and draws of one run.
    epochs
        Of stage one, >= 1.

    Returns
    -------
    dict of str to list of list of dict
        By recipe, for each seed, for each stage the outcome after its last epoch; see `gclib.metrics.outcome`.
    """
    known: dict[str, tuple[dict[str, Tensor], dict[str, Any]]] = {}
    found: dict[str, list[list[dict[str, Any]]]] = {}
    for name in names:
        head, stages = settings_of(name, epochs)
        for seed in seeds:
            weights, outcomes, so_far = None, [], [head, seed]
            for position, settings in enumerate(stages):
                so_far.append(settings.model_dump())
                key = content_hash(so_far)
                if key not in known:
                    known[key] = _train(settings, head, features, seed, position, weights)
                weights, outcome = known[key]
                outcomes.append(outcome)
            found.setdefault(name, []).append(outcomes)
    return found


def _train(
    settings: StageSettings,
    head: str,
    features: LongTailed,
    seed: int,
    position: int,
    start: dict[str, Tensor] | None,
) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Weights of the classifier after a stage, and its outcome."""
    with seeded(seed):
        network = ClassifierAlone(features.train.images.shape[1], features.num_classes, head)
    if start is not None:
        network.load_state_dict(start)
    with seeded(draw_seed(seed, position)):
        stage = Stage.make(settings, network, features)
        stage.first = position == 0
        stage.begin()
    if stage.measures:
        stage.measure(images_of(features, "train", CPU, torch.float32))
    trainer = Trainer(stage, features, CPU, PRECISION, draw_seed(seed, position))
    for epoch in range(settings.epochs):
        trainer.train_epoch(epoch)
    trainer.evaluate(settings.epochs)
    return {k: v.clone() for k, v in trainer.stage.network.state_dict().items()}, trainer.last
