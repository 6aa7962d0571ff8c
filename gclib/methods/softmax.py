"""Plain softmax training: cross-entropy, with and without mixup."""

from gclib.data import LongTailed
from gclib.methods.settings import CODE, Definition, Schedule, StageSettings

__all__ = ["RECIPES"]


def _ce(data: LongTailed) -> tuple[StageSettings, ...]:
    # Cao et al. (NeurIPS 2019): the default schedule falls by 0.01 at 80% and again at 90% of the epochs.
    return (StageSettings(name="stage-one", method="train", epochs=200),)


def _ce_mixup(data: LongTailed) -> tuple[StageSettings, ...]:
    # Zhong et al. (CVPR 2021), stage one: as above, but falling by 0.1, and mixup with alpha 1.
    schedule = Schedule(factors=(0.1, 0.01))
    return (StageSettings(name="stage-one", method="train", epochs=200, schedule=schedule, mixup=1.0),)


def _ce_batch_64(data: LongTailed) -> tuple[StageSettings, ...]:
    # What the released script of GCL gives to every loss, but for its mixup: batch 64, falling by 0.1 twice.
    schedule = Schedule(factors=(0.1, 0.01))
    return (StageSettings(name="stage-one", method="train", epochs=200, batch_size=64, schedule=schedule),)


RECIPES = {
    "ce": Definition(
        "Cross-entropy, linear classifier, as in the LDAM code.",
        "linear",
        _ce,
        "Cao et al., NeurIPS 2019",
        {"": CODE},
        unified="ce-unified",
        label="Cross-entropy",
    ),
    "ce-gcl-script": Definition(
        "Cross-entropy, linear classifier, batch size and schedule of the released script of GCL, without its mixup.",
        "linear",
        _ce_batch_64,
        "Li et al., CVPR 2022",
        {"": CODE},
        label="Cross-entropy, script of GCL's code",
    ),
    "ce-every-epoch": Definition(
        "ce, tested after every epoch: what a best epoch of 200 tests is worth beside one of 72.",
        "linear",
        lambda data: tuple(stage.model_copy(update={"test_every": 1}) for stage in _ce(data)),
        "Cao et al., NeurIPS 2019",
        {"": CODE},
        label="Cross-entropy, tested every epoch",
    ),
    "ce-mixup": Definition(  # no twin: without mixup it is ce
        "Cross-entropy with mixup, linear classifier, as in MisLAS stage one.",
        "linear",
        _ce_mixup,
        "Zhong et al., CVPR 2021",
        {"": CODE},
        label="Cross-entropy with mixup",
    ),
}
