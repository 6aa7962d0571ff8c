"""What the tests along a run say: how they scatter, what more of them are worth, and what was chosen by others."""

from collections.abc import Sequence
from itertools import groupby
from statistics import mean, stdev

from gclib import recipes
from gclib.records import RunRecord
from gclib.tables.table import Table

__all__ = ["choice_table", "draws_table", "scatter_table"]


def scatter_table(runs: Sequence[RunRecord]) -> Table:
    """Show how the test accuracies of stage one scatter while the learning rate stands still.

    Parameters
    ----------
    runs
        Records. A stretch with fewer than two tests is left out; so is a rate that changes with each epoch.
    """
    rows = []
    for run in runs:
        course, epoch = run.stages[0].course, 0
        tested = dict(zip(course.test_epochs, course.test_accuracy, strict=True))
        for rate, same in groupby(course.learning_rate):
            first, epoch = epoch + 1, epoch + len(list(same))
            tests = [accuracy for at, accuracy in tested.items() if first <= at <= epoch]
            # The network first has to learn: of the longest stretch the second half.
            if first < epoch / 4:
                tests = [accuracy for at, accuracy in tested.items() if epoch / 2 < at <= epoch]
                first = epoch // 2 + 1
            if len(tests) > 1:
                spread = [mean(tests), stdev(tests), min(tests), max(tests)]
                rows.append(
                    [
                        recipes.label(run.name),
                        run.seed,
                        f"{rate:g}",
                        f"{first} to {epoch}",
                        len(tests),
                        *spread,
                    ]
                )
    caption = (
        "Tests of stage one at one learning rate: top-1 accuracy (%). Of the first stretch its second half."
    )
    header = ["recipe", "seed", "learning rate", "epochs", "tests", "mean", "standard deviation"]
    return Table.of([*header, "lowest", "highest"], rows, caption)


def draws_table(runs: Sequence[RunRecord], stage_two: bool = False) -> Table:
    """Show what a best epoch gains where every epoch is tested, and not only every fifth and the last fifth of them.

    Parameters
    ----------
    runs
        Records; those that were not tested after every epoch are left out.
    stage_two
        Whether it is the best epoch of stage two, which starts from the best of stage one (paper-style), or that of
        stage one.
    """
    rows = []
    for run in runs:
        stages = [stage for stage in run.stages[1:] if stage.start == "best"] if stage_two else run.stages[:1]
        if not stages:
            continue
        course = stages[0].course
        epochs = len(course.loss)
        if not epochs or len(course.test_epochs) < epochs:
            continue
        few = [a for at, a in enumerate(course.test_accuracy, 1) if at % 5 == 0 or at > 0.8 * epochs]
        best, of_few = max(course.test_accuracy), max(few)
        rows.append(
            [recipes.label(run.name), run.seed, epochs, best, len(few), of_few, f"{best - of_few:+.2f}"]
        )
    caption = (
        f"Best test accuracy (%) of stage {'two' if stage_two else 'one'} among all epochs, and among those that the "
        "other runs test: every fifth, and each of the last fifth of the schedule."
    )
    header = ["recipe", "seed", "tests", "best of them", "tests of other runs", "best of these", "difference"]
    return Table.of(header, rows, caption)


def choice_table(runs: Sequence[RunRecord]) -> Table:
    """Show what was chosen on held-out training images: the accuracy of every candidate.

    Parameters
    ----------
    runs
        Records; those that chose nothing are left out. All have the same candidates.
    """
    found = [
        (f"{recipes.label(run.name)}, seed {run.seed}", stage.choice)
        for run in runs
        for stage in run.stages
        if stage.choice is not None and stage.start == "last"
    ]
    candidates = found[0][1].candidates if found else ()
    rows = [
        [f"{value:g}", *(choice.accuracy[place] for _, choice in found)]
        for place, value in enumerate(candidates)
    ]
    chosen = "; ".join(f"{name}: {choice.chosen:g}" for name, choice in found) or "nothing yet"
    caption = f"Mean of per-class accuracies (%) on the held-out training images. Chosen: {chosen}."
    return Table.of(["candidate", *(name for name, _ in found)], rows, caption)
