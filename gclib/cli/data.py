"""``gcl data`` and ``gcl recipes``."""

from pathlib import Path
from typing import Annotated

import typer

from gclib.cli.printing import print_table

app = typer.Typer()

Root = Annotated[
    Path | None,
    typer.Option(
        "--data", metavar="DIR", help="Where data lies [default: $GCLIB_DATA, else data/ in the checkout]"
    ),
]
DataName = Annotated[
    str, typer.Argument(metavar="NAME", help="A data set, such as `digits`, `cifar10` or `folder:PATH`.")
]


@app.callback()
def about() -> None:
    """Fetch and check data sets.

    Example:

        gcl data fetch cifar10
    """


@app.command()
def fetch(name: DataName, root: Root = None) -> None:
    """Download a data set unless it is there, check it, and say what it holds.

    Example:

        gcl data fetch cifar10 --data ~/datasets

    Exit codes: 0 there and whole; 2 unknown, not to be had, or altered.
    """
    _print_data(name, root, download=True)


@app.command()
def check(name: DataName, root: Root = None) -> None:
    """Check a data set that is there, without a network, and say what it holds.

    Example:

        gcl data check folder:~/birds

    Exit codes: 0 there and whole; 2 unknown, missing, altered, or with an unreadable file.
    """
    _print_data(name, root, download=False)


def _print_data(name: str, root: Path | None, download: bool) -> None:
    from gclib import data

    loaded = data.load(name, root=root, download=download)
    height, width = loaded.train.images.shape[1:3]
    print(
        f"{name}: whole; {len(loaded.class_names)} classes, {len(loaded.train.labels)} training and "
        f"{len(loaded.test.labels)} test images of {width}x{height}"
    )


def recipes(
    name: Annotated[str | None, typer.Argument(metavar="[NAME]", help="A recipe [default: list all]")] = None,
    dataset: Annotated[str, typer.Option(help="Data set to resolve it for.")] = "digits",
    ratio: Annotated[float, typer.Option(help="Imbalance ratio, 1 or more.")] = 20.0,
    scale: Annotated[str, typer.Option(help="`smoke`, `short` or `paper`.")] = "paper",
    root: Root = None,
) -> None:
    """List the recipes, or show every setting of one as it would be run, and where each value comes from.

    A recipe's settings are those of the method's own release; its twin in the unified protocol has one batch size,
    schedule and weight decay for all and no mixup, so that a gain can be told from a recipe.

    Example:

        gcl recipes gcl-official --dataset cifar10 --ratio 100

    Exit codes: 0 done; 2 bad input.
    """
    from gclib import data, recipes

    if name is None:
        summaries = ((known, recipes.get(known).definition.summary) for known in recipes.names())
        print_table(("recipe", "what it is"), summaries)
    else:
        named = recipes.get(name)
        if dataset in data.WHOLE:  # their sizes are known: a recipe can be read before the images are there
            images = data.without_images(dataset, ratio)
        else:
            images = data.load(dataset, ratio=ratio, root=root, download=False)
        table = recipes.settings_table(named.resolve(images, scale=scale), images)
        print(f"{name}: {named.definition.summary} Settings by {named.definition.reference}.")
        print_table(tuple(table), zip(*table.values(), strict=True))
