"""``gcl records``."""

from pathlib import Path
from typing import Annotated, Any

import typer

from gclib import notebook
from gclib.cli.printing import print_table

app = typer.Typer()

RecordPath = Annotated[Path, typer.Argument(metavar="RECORD", help="Path of a record, a .json file.")]
Folder = Annotated[
    Path | None, typer.Argument(metavar="[FOLDER]", help="[default: results/ in the checkout]")
]


@app.callback()
def about() -> None:
    """Read and check run records.

    Example:

        gcl records list
    """


@app.command("list")
def list_records(
    folder: Folder = None,
    scale: Annotated[str | None, typer.Option(help="Only of this scale [default: all]")] = None,
    dataset: Annotated[str | None, typer.Option(help="Only on this data set [default: all]")] = None,
    recipe: Annotated[str | None, typer.Option(help="Only of this recipe [default: all]")] = None,
) -> None:
    """List run records with their top-1 accuracy: clean, and paper-style (best epoch on the test set).

    Example:

        gcl records list --scale paper --recipe gcl-official

    Exit codes: 0 done; 2 a file is no valid record.
    """
    from gclib import records

    root = folder or notebook.ROOT / "results"

    def row(r: records.RunRecord) -> list[object]:
        accuracies = [f"{outcome.top1:.2f}" for outcome in (r.clean, r.paper_style)]
        where = records.results_path(r, root)
        return [r.data.name, r.data.ratio, r.recipe["name"], r.seed, r.scale, *accuracies, where]

    print_table(
        ("data", "ratio", "recipe", "seed", "scale", "clean", "paper-style", "file"),
        map(row, records.find(root, scale=scale, dataset=dataset, recipe=recipe)),
    )


@app.command()
def show(path: RecordPath) -> None:
    """Show one record: what was run, where, what came out, and the command that makes it again.

    Example:

        gcl records show results/paper/cifar10-ir100/ce/seed0.json

    Exit codes: 0 done; 2 no valid record.
    """
    from gclib import records

    print(records.show(records.load(path)))


@app.command()
def verify(
    paths: Annotated[
        list[Path] | None,
        typer.Argument(metavar="[RECORD]...", help="Records [default: all in results/ of the checkout]"),
    ] = None,
    replay: Annotated[
        bool, typer.Option("--replay", help="Also compare the behaviour fingerprint with the code of today.")
    ] = False,
) -> None:
    """Check that records are whole and unaltered, and with --replay that the code still behaves as it did.

    Example:

        gcl records verify --replay

    Exit codes: 0 all hold; 1 one is altered or stale.
    """
    from gclib import records

    failed = 0
    for path in paths or sorted((notebook.ROOT / "results").glob("**/seed*.json")):
        try:
            record = records.load(path)
            stale = records.verify(record, _fingerprint) if replay else None
            verdict, failed = f"{path}: {stale or 'holds'}", failed + bool(stale)
        except records.RecordError as error:
            verdict, failed = str(error), failed + 1
        print(verdict, flush=True)
    raise typer.Exit(1 if failed else 0)


def _fingerprint(recipe: dict[str, Any]) -> list[list[float]]:
    from gclib import recipes, train

    return train.fingerprint(recipes.Recipe.model_validate(recipe))


@app.command()
def compare(first: RecordPath, second: RecordPath) -> None:
    """Compare two records: the settings in which they differ, then what came out of both.

    Example:

        gcl records compare results/paper/cifar10-ir100/ce/seed0.json runs/0123456789abcdef/record.json

    Exit codes: 0 done; 2 no valid record.
    """
    from gclib import records

    rows = records.compare(records.load(first), records.load(second))
    print_table(
        ("field", "first", "second", "change"),
        ((r.field, r.first, r.second, "" if r.change is None else f"{r.change:+g}") for r in rows),
    )
