"""What the code does, as a few numbers: a record whose numbers are no longer these is stale."""

import hashlib
import json
import math
import platform
import sys
from collections.abc import Iterable
from contextlib import suppress
from itertools import takewhile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from gclib import ROOT, records
from gclib.data import CIFAR, LongTailed, Split
from gclib.errors import UserError
from gclib.files import write_atomically
from gclib.recipes import Recipe
from gclib.train.audit import other_recipe
from gclib.train.device import processor
from gclib.train.loop import DivergedError, Trainer
from gclib.train.making import draw_seed, make_stage, normalised_for

__all__ = ["MADE_BY", "fingerprint", "made_by", "refresh"]

MADE_BY = "fingerprints-made-by.json"  # beside the fingerprints: what they follow from

CLASS_COUNTS = (60, 40, 28, 20, 14, 10, 8, 6, 4, 2)  # 192 images: 12 steps of 16
FEW = (19, 12, 9, 7, 5, 4, 3, 2, 2, 1)  # 64 images: 4 steps, for a smoke run is to take seconds
BATCH = 16

# Losses and weights of a stage, by the content hash of class counts, head, network and stages up to it.
Known = dict[str, tuple[list[float], dict[str, Tensor]]]


def fingerprint(recipe: Recipe, known: Known | None = None) -> list[list[float]]:
    """Losses of the first 12 steps of each stage, 4 at scale smoke: what the code does, whatever its text says.

    Batch 16, float64, CPU, on 32x32 noise images of a fixed seed with ten long-tailed classes; network, augmentation,
    sampler, loss and schedule are the recipe's own, each stage starts from the one before. The first starts from new
    weights in any case: what the code does is no matter of a file.

    Parameters
    ----------
    recipe
        Resolved recipe.
    known
        What earlier calls found, filled by this one: recipes share the first stages that are equal.

    Returns
    -------
    list of list of float
        One list per stage, all finite: a stage that diverges, as one may on noise, ends before the first loss that is
        not. Empty for a stage of zero epochs.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # several threads add up in another order
    try:
        return _losses(recipe, {} if known is None else known)
    finally:
        torch.set_num_threads(threads)


def _losses(recipe: Recipe, known: Known) -> list[list[float]]:
    class_counts = FEW if recipe.scale == "smoke" else CLASS_COUNTS
    data = normalised_for(recipe.network, _fingerprint_data(class_counts))
    cpu = torch.device("cpu")
    fingerprints: list[list[float]] = []
    weights: dict[str, Tensor] | None = None
    for position, settings in enumerate(recipe.stages):
        chain = records.content_hash(
            [class_counts, recipe.head, recipe.network, recipe.stages[: position + 1]]
        )
        if chain not in known:
            settings = settings.model_copy(update={"batch_size": BATCH})
            stage = make_stage(settings, recipe.head, data, 0, position, weights, recipe.network)
            trainer = Trainer(stage, data, cpu, "float64", draw_seed(0, position))
            if settings.epochs:
                with suppress(DivergedError):
                    trainer.train_epoch(0)
            finite = list(takewhile(math.isfinite, trainer.step_losses))
            known[chain] = finite, stage.network.state_dict()
        losses, weights = known[chain]
        fingerprints.append(losses)
    return fingerprints


def _fingerprint_data(class_counts: tuple[int, ...]) -> LongTailed:
    counts = np.array(class_counts)
    generator = np.random.default_rng(0)
    labels = np.repeat(np.arange(10), counts)
    images = generator.integers(0, 256, (len(labels), 32, 32, 3), dtype=np.uint8)
    split = Split(images, labels)
    ratio = class_counts[0] / class_counts[-1]  # noise is in random order, as a cut is
    return LongTailed("fingerprint", ratio, split, split, counts, tuple("0123456789"), CIFAR, "0" * 64)


def refresh(root: str | Path) -> Path:
    """Write the fingerprint of each recipe that has a record, so that pages can mark stale records at once.

    A recipe that is no longer the one of its name (see `gclib.train.audit.other_recipe`) gets no losses, so that its
    records are stale whatever they hold.

    Parameters
    ----------
    root
        Folder of the records.

    Returns
    -------
    Path
        The file; `gclib.records.fingerprints` reads it.
    """
    runs = {records.content_hash(run.recipe): run for run in records.find(root)}
    lines, known = [], Known()
    for key, run in runs.items():
        other = other_recipe(run)
        found = [] if other else fingerprint(Recipe.model_validate(run.recipe), known)
        losses = [[round(loss, 9) for loss in stage] for stage in found]
        entry = {"recipe": run.name, "scale": run.scale, "losses": losses}
        lines.append(f"{json.dumps(key)}: {json.dumps(entry)}")
    path = Path(root, records.FINGERPRINTS)
    write_atomically(path, ("{\n" + ",\n".join(lines) + "\n}\n").encode())  # a line for each recipe
    modules = {name for name in sys.modules if name.partition(".")[0] == "gclib"} | {
        "gclib.train.fingerprint"
    }
    made = json.dumps(made_by(sorted(modules), path), indent=1)
    write_atomically(path.with_name(MADE_BY), f"{made}\n".encode())
    return path


def made_by(modules: Iterable[str], path: Path) -> dict[str, Any]:
    """Return all that the committed fingerprints follow from: where it is the same, so are they.

    Parameters
    ----------
    modules
        Names of the modules of `gclib` that are loaded when fingerprints are made.
    path
        The file of fingerprints.

    Returns
    -------
    dict
        Hashes of the modules, of the data files of the package, of the names of all its files (a method is found by the
        file that it stands in) and of the fingerprints; versions; the processor, and what torch makes of it.
    """
    files = sorted(file for file in (ROOT / "gclib").rglob("*") if file.suffix in (".py", ".json", ".toml"))
    names = [file.relative_to(ROOT).as_posix() for file in files]
    loaded = {f"{name.replace('.', '/')}{end}" for name in modules for end in (".py", "/__init__.py")}
    kept = [name for name in names if name in loaded or not name.endswith(".py")]
    return {
        "files": {name: _sha256((ROOT / name).read_bytes()) for name in kept},
        "names": _sha256("\n".join(names).encode()),
        "fingerprints": _sha256(path.read_bytes()),
        "modules": list(modules),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "numpy": np.__version__,
        "processor": f"{processor()}, {torch.backends.cpu.get_cpu_capability()}",
    }


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


if __name__ == "__main__":
    try:
        print(refresh(ROOT / "results"))
    except UserError as error:
        sys.exit(str(error))
