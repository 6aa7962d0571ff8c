"""How fast a GPU runs the recipes of Table 2, on which nobody has run them: measured on it, or predicted."""

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from gclib import ROOT
from gclib.data import PUBLISHED, without_images
from gclib.errors import UserError, require_one_of
from gclib.grid.cells import Cell
from gclib.grid.estimate import Speeds
from gclib.methods.settings import StageSettings
from gclib.recipes import get
from gclib.train.effort import MULTIPLICATIONS, method_of, tests_of, trains_embedding

__all__ = ["BANDWIDTH", "Rates", "predicted_speeds", "rates_of"]

BANDWIDTH = {
    "H200": 4.8,
    "H100": 3.35,
    "A100": 2.04,
    "RTX 4090": 1.01,
    "RTX 3090": 0.94,
    "L40S": 0.86,
    "T4": 0.32,
}
"""Memory bandwidth of GPUs by their makers' data sheets, in TB/s: what bounds a ResNet in bfloat16."""
# Photographs of 224 pixels a second of ResNet-50 in bfloat16 for each TB/s, in training and in tests: 4,687 and 15,288
# as an H200 was measured (results/bench/photographs), over its bandwidth.
TRAINED, TESTED = 976.0, 3185.0
USUAL = "resnet50"
MEASURED = ROOT / "results" / "bench" / "photographs"


@dataclass(frozen=True)
class Rates:
    """Photographs of 224 pixels a second on one GPU.

    Attributes
    ----------
    network
        Which one they are of; others go by their multiplications.
    trained, tested
        In steps of training, and forward alone.
    basis
        In words, how they are known.
    """

    network: str
    trained: float
    tested: float
    basis: str

    def seconds(
        self, stage: StageSettings, network: str, images: int, tests: int, first: bool = True
    ) -> float:
        """Seconds of a training image in an epoch of a stage, its share of the test passes included.

        Parameters
        ----------
        stage
            What is run; post-hoc stages take no time to speak of.
        network
            One of `gclib.data.NETWORKS`.
        images, tests
            Images of the two splits.
        first
            Whether it is a recipe's first stage, which is tested less often.
        """
        more = MULTIPLICATIONS[network] / MULTIPLICATIONS[self.network]
        each = method_of(stage).passes(stage) / self.trained if trains_embedding(stage) else 1 / self.tested
        passes = tests_of(stage, first) * tests / (max(stage.epochs, 1) * images)
        return more * (each + passes / self.tested)


def rates_of(gpu: str, folder: Path = MEASURED) -> Rates:
    """Say how fast a GPU is: as `gcl bench photographs` measured it, or else by the bandwidth of its memory.

    Parameters
    ----------
    gpu
        One of `BANDWIDTH`, or a measured one: its name, or the words of it that say its model, such as RTX 4090.
    folder
        Where reports of measurements lie.

    Raises
    ------
    UserError
        If it is neither.
    """
    for path in sorted(folder.glob("*.json")):
        try:
            found = json.loads(path.read_text(encoding="utf-8"))
            if _names(gpu, found["device"]):
                basis = f"a measurement of {found['seconds']:.0f} s on {found['device']}, {found['date']}"
                return Rates(found["network"], found["trained"], found["tested"], basis)
        except (OSError, ValueError, KeyError) as error:
            raise UserError(f"{path} is no report of gcl bench photographs ({error!r}); remove it") from error
    require_one_of("GPU", gpu, BANDWIDTH)
    bandwidth = BANDWIDTH[gpu]
    basis = f"a prediction from a measured H200 by the bandwidth of its memory, {bandwidth:g} TB/s: nobody measured it"
    return Rates(USUAL, TRAINED * bandwidth, TESTED * bandwidth, basis)


def _names(gpu: str, device: str) -> bool:
    """Whether a name is a device's: all of it, or words of it one after the other of which one has a digit."""
    asked, whole = (" ".join(["", *re.findall(r"[^\W_]+", name.lower()), ""]) for name in (gpu, device))
    return asked == whole or (asked in whole and any(sign.isdigit() for sign in asked))


def predicted_speeds(cells: Iterable[Cell], rates: Rates) -> Speeds:
    """Predict the speeds of runs on one of `gclib.data.PUBLISHED`.

    Parameters
    ----------
    cells
        Runs on one data set, at one scale.
    rates
        Of the GPU.
    """
    own: dict[tuple[str, int], float] = {}
    for cell in cells:
        data = without_images(cell.data, None)
        tests = PUBLISHED[cell.data].sizes[1]
        recipe = get(cell.recipe).resolve(data, cell.scale)
        for position, stage in enumerate(recipe.stages):
            first = position == 0
            own[cell.recipe, position] = rates.seconds(stage, recipe.network, len(data.train), tests, first)
    return Speeds(own, {}, rates.basis)
