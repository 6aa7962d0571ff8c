"""BBN (Zhou et al., CVPR 2020): two branches, one for each end of the distribution, mixed by the epoch."""

from gclib.data import LongTailed
from gclib.methods.settings import CODE, Definition, Schedule, StageSettings

__all__ = ["RECIPES"]


def _bbn(data: LongTailed) -> tuple[StageSettings, ...]:
    schedule = Schedule(kind="steps-from-third", milestones=(0.6, 0.8), factors=(0.01, 0.0001))
    return (StageSettings(name="stage-one", method="BBN", epochs=200, nesterov=True, schedule=schedule),)


RECIPES = {
    "bbn": Definition(
        "BBN, as its released code runs it.",
        "two-tail-linear",
        _bbn,
        "Zhou et al., CVPR 2020",
        {"": CODE},
        unified="bbn-unified",
        label="BBN",
    ),
}
