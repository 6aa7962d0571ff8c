"""De-confound-TDE (Tang et al., NeurIPS 2020): normalised training, then minus the mean feature's effect."""

from gclib.data import LongTailed
from gclib.methods.settings import CODE, Definition, Schedule, StageSettings

__all__ = ["RECIPES"]


def _tde(data: LongTailed) -> tuple[StageSettings, ...]:
    # The released code takes network and schedule from BBN, not Nesterov's momentum. On photographs it lets mu follow
    # the learning rate, 1 - 0.1 min(50 rate, 1); here mu stays.
    alpha = 1.0 if data.num_classes < 50 else 1.5 if data.num_classes <= 100 else 3.0
    return (
        StageSettings(
            name="stage-one",
            method="de-confound",
            epochs=200,
            batch_size=256,
            learning_rate=0.2,
            weight_decay=5e-4,
            schedule=Schedule(kind="steps-from-third", milestones=(0.6, 0.8), factors=(0.01, 0.0001)),
            parameters={"alpha": alpha, "mu": 0.9},
        ),
    )


RECIPES = {
    "tde": Definition(
        "De-confound-TDE, as its released code runs it.",
        "two-tail-multi-head",
        _tde,
        "Tang et al., NeurIPS 2020",
        {"": CODE},
        unified="tde-unified",
        label="De-confound-TDE",
    ),
}
