"""What the recipes change on ImageNet-LT, iNaturalist 2018 and Places-LT, the sets of the paper's Table 2.

None of these runs was made by us. Networks are the table's: ResNet-50 from scratch, and on Places-LT a ResNet-152 that
was trained on ImageNet, of which only the last block and the classifier learn, but for OLTR's second stage and for the
methods that say themselves what they train. Its weights are torchvision's, as in the code of Li et al.; Liu et al. have
them from Caffe. Each value stands with where it was read; what no source says is chosen here.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

from gclib.data import PUBLISHED, LongTailed
from gclib.methods.settings import OURS, PAPER, Definition, Schedule, StageSettings

__all__ = ["NOT_RUN", "on_photographs"]

NOT_RUN = "not run by us"


class By(NamedTuple):
    """A value for each set; None where this source says nothing of it."""

    imagenet: Any
    inaturalist: Any
    places: Any


SETS = ("imagenet-lt", "inaturalist2018", "places-lt")  # in the order of `By`
NETWORKS = By("resnet50", "resnet50", "resnet152")
WEIGHTS = By("new", "new", "IMAGENET1K_V1")
Layers = Sequence[
    tuple[str, Mapping[str, Any]]
]  # where it was read, and what: settings of a stage by dotted path

KANG, ZHONG, ZHANG, LIU = (
    f"official code of {whose}" for whose in ("Kang et al.", "Zhong et al.", "Zhang et al.", "Liu et al.")
)
LI = "official code of Li et al. for Places-LT"
AUTHOR = "answer of an author in issue 2 of the code of Li et al."
COSINE = Schedule(kind="cosine").model_dump()
STEPS = Schedule(factors=(0.1, 0.01)).model_dump()  # as on CIFAR
STEPS_ON_PLACES = Schedule(warmup=5 / 90, milestones=(60 / 90, 80 / 90), factors=(0.1, 0.01)).model_dump()
DECAY = By(5e-4, 1e-4, 5e-4)

# First stages.
_KANG: Layers = (
    (
        KANG,
        {"epochs": By(90, 200, 30), "batch_size": By(512, 512, None), "learning_rate": By(0.2, 0.2, None)},
    ),
    (KANG, {"weight_decay": DECAY, "schedule": COSINE, "trains": By(None, None, "last-block")}),
    (OURS, {"batch_size": By(None, None, 512), "learning_rate": By(None, None, 0.2)}),
)
_AS_LONG_AS_GCL: Layers = (
    *_KANG,
    (AUTHOR, {"epochs": By(200, 200, None)}),
    (LI, {"epochs": By(None, None, 90)}),
)
_ZHONG: Layers = (
    (ZHONG, {"epochs": By(180, 200, 90), "mixup": 0.2, "weight_decay": DECAY}),
    (ZHONG, {"batch_size": 256, "learning_rate": 0.1, "schedule": COSINE}),
    # Their readme names four GPUs for the first stage and one for the second; the other codes take what they find.
    (ZHONG, {"trains": By(None, None, "last-block"), "parts": 4}),
)
_ONE_TIME: Layers = (
    *_KANG,
    (OURS, {"epochs": By(None, 90, None)}),
)  # Cao et al. train 90 epochs on iNaturalist
_MENON: Layers = (
    *_KANG,
    (
        "paper of Menon et al.",
        {
            "epochs": By(90, 90, None),
            "batch_size": By(512, 512, None),
            "learning_rate": By(0.4, 0.4, None),
            "weight_decay": By(5e-4, 1e-4, None),
            "schedule": By(COSINE, COSINE, None),
        },
    ),
)
_ZHANG: Layers = (
    (ZHANG, {"epochs": By(90, 200, 30), "batch_size": 256, "learning_rate": 0.1, "schedule": COSINE}),
    (ZHANG, {"weight_decay": By(5e-4, None, None), "trains": By(None, None, "last-block")}),
    (OURS, {"weight_decay": By(None, 1e-4, 5e-4)}),
)
_LIU: Layers = (
    *_KANG,
    (LIU, {"epochs": By(None, None, 30), "batch_size": By(None, None, 128)}),
    (OURS, {"learning_rate": By(None, None, 0.1), "trains": By(None, None, "last-block")}),
)
_LI: Layers = (
    *_KANG,  # which the paper says it follows, but for the schedule
    (AUTHOR, {"epochs": By(200, 200, None)}),
    (
        LI,
        {
            "epochs": By(None, None, 90),
            "batch_size": By(None, None, 512),
            "learning_rate": By(None, None, 0.2),
        },
    ),
    (
        LI,
        {
            "schedule": By(None, None, STEPS_ON_PLACES),
            "mixup": By(None, None, 0.2),
            "trains": By(None, None, "last-block"),
            "loss.parameters.noise_scale": By(None, None, 1.0),
        },
    ),
    (
        OURS,
        {
            "schedule": By(STEPS, STEPS, None),
            "mixup": By(0.2, 0.2, None),
            "loss.parameters.noise_scale": By(1.0, 1.0, None),
        },
    ),
)

# Second stages.
_LWS: Layers = (
    (KANG, {"epochs": 5, "batch_size": By(512, 512, 256), "learning_rate": By(0.2, 0.2, 0.1)}),
    (KANG, {"weight_decay": DECAY, "schedule": COSINE}),
)
_ZHONG_TWO: Layers = (
    (
        ZHONG,
        {"epochs": 10, "batch_size": 256, "learning_rate": 0.1, "weight_decay": DECAY, "schedule": COSINE},
    ),
)
_MISLAS: Layers = (
    *_ZHONG_TWO,
    (ZHONG, {"loss.parameters.head": By(0.3, 0.3, 0.4), "loss.parameters.tail": By(0.0, 0.0, 0.1)}),
    (ZHONG, {"parameters.shift": True, "parameters.factor": 0.05}),
)
_DISALIGN: Layers = (
    (ZHANG, {"epochs": By(10, 30, 10), "learning_rate": 0.1}),
    (ZHANG, {"batch_size": By(256, None, None), "weight_decay": By(5e-4, None, None)}),
    (OURS, {"batch_size": By(None, 256, 256), "weight_decay": By(None, 1e-4, 5e-4)}),
)
_LIU_TWO: Layers = (
    (
        LIU,
        {
            "epochs": By(None, None, 30),
            "batch_size": By(None, None, 128),
            "schedule": By(
                None, None, Schedule(warmup=0, milestones=(1 / 3, 2 / 3), factors=(0.1, 0.01)).model_dump()
            ),
        },
    ),
)
_LI_TWO: Layers = (
    ("paper, which follows Kang et al.", {"epochs": By(10, 30, 10), "weight_decay": DECAY}),
    ("official code of Li et al. for CIFAR-LT", {"learning_rate": 0.002, "schedule": COSINE}),
    (OURS, {"batch_size": 512, "mixup": 0.2, "loss.parameters.noise_scale": 1.0}),
    # Not its 30 epochs, its mixup with alpha 1 (of images that it then leaves out) and its class-balanced draws.
    (
        LI,
        {
            "batch_size": By(None, None, 512),
            "learning_rate": By(None, None, 0.002),
            "weight_decay": By(None, None, 5e-4),
            "loss.parameters.scale": By(None, None, 15.0),
            "loss.parameters.noise_scale": By(None, None, 1.0),
        },
    ),
)

STAGES: dict[str, tuple[Layers, ...]] = {
    "ce": (_AS_LONG_AS_GCL,),
    "ce-mixup": (_ZHONG,),
    "ldam-drw": (_ONE_TIME,),
    "oltr": (_LIU, _LIU_TWO),
    "ce-lws": (_KANG, _LWS),
    "ce-mixup-crt": (_ZHONG, _ZHONG_TWO),
    "logit-adjustment": (_MENON,),
    "disalign": (_ZHANG, _DISALIGN),
    "mislas": (_ZHONG, _MISLAS),
    "gcl-official-cben": (_LI, _LI_TWO),
}
"""Recipe of a row of Table 2: what each stage changes. Of layers that say the same the last counts."""
OTHERS: tuple[Layers, ...] = (
    [(OURS, settings) for _, settings in _KANG],
    [(OURS, {"batch_size": 512, "weight_decay": DECAY})],
)
# Its last block is drawn anew in the codes of Zhong et al. and Li et al., and goes on learning in the others.
NEW_BLOCK = ("ce", "ce-mixup", "ce-mixup-crt", "mislas", "gcl-official-cben")
TRAIN_ALL = (
    "BBN",
    "hybrid",
)  # methods that say themselves what learns (see `gclib.methods.stage.Stage.check`)


def on_photographs(name: str, definition: Definition, dataset: str) -> Definition:
    """Return a recipe's definition as it is for a data set: itself, but on the sets of Table 2.

    Parameters
    ----------
    name
        Of the recipe; one that has no row in the table takes the first stage of Kang et al., on Places-LT with the
        whole network where its method says itself what it trains.
    definition
        The recipe as it is on small images.
    dataset
        Name of a data set.
    """
    if dataset not in PUBLISHED:
        return definition
    place = SETS.index(dataset)
    changes = [_settled(layers, place) for layers in STAGES.get(name, OTHERS)]

    def stages(data: LongTailed) -> tuple[StageSettings, ...]:
        usual = definition.stages(data)
        # A stage of no epochs trains nothing: it has no batches.
        given = [*changes, *[{}] * len(usual)]
        return tuple(
            _changed(stage, changed) if stage.epochs else stage
            for stage, changed in zip(usual, given, strict=False)
        )

    read = {
        f"{stage}.{path}": source
        for stage, changed in zip(("stage-one", "stage-two"), changes, strict=False)
        for path, (source, _) in changed.items()
    }
    return replace(
        definition,
        stages=stages,
        reference=f"{definition.reference}; {NOT_RUN} on {PUBLISHED[dataset].title}",
        sources={
            **definition.sources,
            **read,
            "network": PAPER,
            "weights": f"{LI}, chosen here for others",
            "last_block": "official codes of Zhong et al. and Li et al., chosen here for others",
        },
        network=NETWORKS[place],
        weights=WEIGHTS[place],
        last_block="new" if WEIGHTS[place] != "new" and name in NEW_BLOCK else "given",
    )


def _settled(layers: Layers, place: int) -> dict[str, tuple[str, Any]]:
    """What is said of one set, by path: where it was read, and the value."""
    said: dict[str, tuple[str, Any]] = {}
    for source, settings in layers:
        for path, value in settings.items():
            chosen = value[place] if isinstance(value, By) else value
            if chosen is not None:
                said[path] = source, chosen
    return said


def _changed(stage: StageSettings, said: Mapping[str, tuple[str, Any]]) -> StageSettings:
    settings = stage.model_dump()
    for path, (_, value) in said.items():
        if path == "trains" and stage.method in TRAIN_ALL:
            continue
        *above, last = path.split(".")
        node = settings
        for key in above:
            node = node[key]
        node[last] = value
    return StageSettings.model_validate(settings)
