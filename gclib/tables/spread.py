"""How far runs lie apart: over seeds, and where one run is made again and only rounding differs."""

from collections.abc import Iterable

from gclib import paper, recipes
from gclib.records import RunRecord, content_hash
from gclib.saturation import Saturation
from gclib.tables.chance import first_stage, measured_again, noise
from gclib.tables.comparisons import EMBEDDED, MEASURES
from gclib.tables.intervals import LEVEL, Spread, interval, pooled
from gclib.tables.results import mean_and_singles, mean_and_spread
from gclib.tables.rows import accuracy, by_recipe, one_a_seed
from gclib.tables.table import Item, Table

__all__ = [
    "chance_table",
    "repeats_table",
    "seeds_table",
    "spreads",
    "stage_one_table",
]

# An epoch, whether it is the best, and whether it is of stage one alone.
EPOCHS = (("last", False, False), ("best on test", True, False), ("last of stage one", False, True))


def made_again(runs: Iterable[RunRecord], stage_one: bool = False) -> list[list[list[RunRecord]]]:
    """Group records by what was run, then by seed, then by each time that it was run.

    Parameters
    ----------
    runs
        Records, repeats among them (``gclib.records.find(..., repeats=True)``).
    stage_one
        Whether what was run is the first stage alone: recipes that share it share the group, and those that took it
        from one checkpoint have the same course, so that it counts once.
    """
    groups: dict[str, dict[int, dict[tuple[object, ...], RunRecord]]] = {}
    for run in runs:
        stages = run.stages[:1] if stage_one else run.stages
        what = first_stage(run) if stage_one else content_hash([run.recipe, run.data])
        seeds = groups.setdefault(what, {})
        seeds.setdefault(run.seed, {}).setdefault(tuple(stage.course.untimed for stage in stages), run)
    return [[list(times.values()) for times in seeds.values()] for seeds in groups.values()]


def spreads(runs: Iterable[RunRecord], stage_one: bool = False) -> tuple[Spread | None, Spread | None]:
    """Pool what another seed moves, and what rounding alone moves, of the accuracy after the last epoch (clean).

    Parameters
    ----------
    runs
        Records of any recipes and data, repeats among them.
    stage_one
        Whether the first stage alone is compared.

    Returns
    -------
    seeds, repeats
        Over the seeds of a recipe, one run of each; and over the times that a recipe was run with one seed. Both in
        percentage points of top-1 accuracy, None where there is nothing to compare.
    """
    groups = [
        [[number for _, number in _values(times, False, stage_one)] for times in seeds]
        for seeds in made_again(runs, stage_one)
    ]
    over_seeds = pooled([times[0] for times in seeds] for seeds in groups)
    return over_seeds, pooled(times for seeds in groups for times in seeds)


def _values(
    times: Iterable[RunRecord], best: bool, stage_one: bool
) -> list[tuple[RunRecord | Saturation, float]]:
    """Accuracy each time that something was run, also of the run that was measured for the chapter on saturation."""
    times = list(times)
    found: list[tuple[RunRecord | Saturation, float]] = [
        (run, accuracy(run, best, stage_one)) for run in times
    ]
    again = measured_again({run.stages[0].hash for run in times}, "top1", best)
    return [*found, again] if stage_one and again else found


def repeats_table(runs: Iterable[RunRecord], stage_one: bool = False) -> Table:
    """Show the runs that were made more than once with one seed, and how far they lie apart.

    Parameters
    ----------
    runs, stage_one
        See `spreads`.

    Returns
    -------
    Table
        One row for each time; the caption has the pooled spreads over repeats and over seeds.
    """
    runs = list(runs)
    rows = [
        [
            recipes.label(run.name),
            paper.DATASETS.get(run.data.name, run.data.name),
            run.seed,
            device(run),
            last,
            best,
        ]
        for seeds in made_again(runs, stage_one)
        for times in seeds
        for lasts, bests in [(_values(times, best, stage_one) for best in (False, True))]
        if len(lasts) > 1
        for (run, last), (_, best) in zip(lasts, bests, strict=True)
    ]
    what = "First stages" if stage_one else "Runs"
    seeds, repeats = spreads(runs, stage_one=stage_one)
    caption = (
        f"{what} that were made more than once with the same recipe, data and seed: top-1 accuracy (%) of the last "
        f"epoch (clean) and of the best on the test set (paper-style). Device, version of torch and commit differ "
        "between them, and with these the rounding. "
        f"Standard deviation of the clean accuracy, pooled: {_said(repeats)} over repeats, {_said(seeds)} over seeds."
    )
    return Table.of(["recipe", "data set", "seed", "device", "clean", "paper-style"], rows, caption)


def _said(spread: Spread | None) -> str:
    if spread is None:
        return "unknown"
    return f"{spread.deviation:.2f} points ({spread.freedom} degree{'s' * (spread.freedom > 1)} of freedom)"


def chance_table(runs: Iterable[RunRecord]) -> Table:
    """Show how far chance moves each quantity of a single run, and how well two single runs know their difference.

    Parameters
    ----------
    runs
        Records, repeats among them; see `gclib.tables.noise`.
    """
    runs, rows = list(runs), []
    for quantity, measure in MEASURES.items():
        for epoch, best, stage_one in EPOCHS:
            spread = noise(runs, quantity, best, stage_one)
            alone = interval(0.0, spread, 1, 1)
            twice = stage_one and quantity in EMBEDDED  # of the features of stage one anyway
            if spread and alone and not twice and (quantity == "top1" or not best):
                rows.append([measure.words, epoch, spread.deviation, spread.freedom, f"± {alone.half:.2f}"])
    header = ["quantity", "epoch", "standard deviation", "degrees of freedom", "interval of two single runs"]
    caption = (
        f"What chance moves: the spread of one run, pooled, and half of the {1 - LEVEL:.0%} interval that it leaves to "
        "the difference of two single runs. In percentage points."
    )
    return Table.of(header, rows, caption)


def device(run: RunRecord | Saturation) -> str:
    """Return the processor or accelerator of a run, and its precision."""
    at = run.environment
    return f"{at.cpu if at.device == 'cpu' else at.device}, {at.precision}"


def seeds_table(runs: Iterable[RunRecord]) -> Table:
    """Show the mean of each recipe over its seeds, the standard deviation and the single values.

    Parameters
    ----------
    runs
        Records of one data set and ratio; a run that was made again counts once.
    """
    rows = []
    for name, group in by_recipe(one_a_seed(runs)).items():
        columns = [
            text
            for best in (False, True)
            for values in [[accuracy(run, best) for run in group]]
            for text in (mean_and_spread(values), listed(values))
        ]
        rows.append([recipes.label(name), ", ".join(str(run.seed) for run in group), *columns])
    header = ["recipe", "seeds", "clean", "single runs (clean)", "paper-style", "single runs (paper-style)"]
    caption = (
        "Top-1 accuracy (%): mean over seeds ± sample standard deviation, and the single runs in the order of their "
        "seeds. Clean is the last epoch, paper-style the best epoch on the test set."
    )
    return Table.of(header, rows, caption)


def stage_one_table(runs: Iterable[RunRecord]) -> Table:
    """Show what recipes of several stages reach after the first, last and best epoch, and what the others add.

    Parameters
    ----------
    runs
        Records of one data set and ratio; those of one stage are left out, a run that was made again counts once.
    """
    rows: list[list[list[Item]]] = []
    for name, group in by_recipe(run for run in one_a_seed(runs) if len(run.stages) > 1).items():
        shown: list[list[Item]] = []
        for best in (False, True):
            one, whole = ([accuracy(run, best, alone) for run in group] for alone in (True, False))
            gains = [after - before for before, after in zip(one, whole, strict=True)]
            shown += [mean_and_singles(one), mean_and_singles(whole), mean_and_singles(gains, "+")]
        seeds = ", ".join(str(run.seed) for run in group)
        rows.append([[recipes.label(name)], [seeds], *shown])
    header = ["recipe", "seeds", "stage one, last", "clean", "gain, clean"]
    header += ["stage one, best", "paper-style", "gain, paper-style"]
    caption = (
        "Top-1 accuracy (%) of recipes with several stages: the first stage alone after its last epoch and after its "
        "best on the test set, then the whole. The gain is paired by seed. A number with ± is a mean over seeds with "
        "its sample standard deviation; below it stand the single values."
    )
    return Table(header, rows, caption)


def listed(values: Iterable[float], sign: str = "") -> str:
    """Return single values as text; a sign of ``"+"`` is shown."""
    return ", ".join(f"{value:{sign}.2f}" for value in values)
