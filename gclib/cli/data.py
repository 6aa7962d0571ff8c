"""``gcl data`` and ``gcl recipes``."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gclib.cli.printing import print_table
from gclib.errors import UserError

if TYPE_CHECKING:
    import numpy as np

    from gclib.data.own import Own

app = typer.Typer()

WEIGHTS = "weights:"  # begins the name of what is fetched where it is no data set

Root = Annotated[
    Path | None,
    typer.Option(
        "--data", metavar="DIR", help="Where data lies [default: $GCLIB_DATA, else data/ in the checkout]"
    ),
]
DataName = Annotated[
    str,
    typer.Argument(
        metavar="NAME", help="A data set, such as `digits`, `cifar10`, `folder:PATH` or `list:PATH`."
    ),
]

Ratio = typer.Option(
    help="Imbalance ratio, 1 or more; 0 leaves the images as they are [default: 20 on digits, 100 on CIFAR, else 0]",
    show_default=False,
)


@app.callback()
def about() -> None:
    """Fetch and check data sets.

    Example:

        gcl data fetch cifar10
    """


@app.command("list")
def list_sets() -> None:
    """List the data sets: what each holds, and how it is had.

    Example:

        gcl data list

    Exit codes: 0 done.
    """
    from gclib import data

    def known(name: str) -> tuple[str, ...]:
        ratio = data.ratio_of(name)
        counts = data.training_counts(name, ratio or 1)
        had = "inside the package" if name == "digits" else f"gcl data fetch {name}"
        return name, f"{len(counts):,}", f"{counts.sum():,}", f"{counts.max() / counts.min():.3g}", had

    def published(name: str) -> tuple[str, ...]:
        of, had = data.PUBLISHED[name], f"by hand; gcl data check {name} says from where"
        return name, f"{of.classes:,}", f"{of.sizes[0]:,}", str(of.ratio), had

    own = [
        (name, "", "", "", "your images; gcl data check says what they hold") for name in data.names()[-2:]
    ]
    print_table(
        ("data set", "classes", "training images", "imbalance ratio", "how it is had"),
        [*map(known, data.WHOLE), *map(published, data.PUBLISHED), *own],
    )


@app.command()
def fetch(name: DataName, root: Root = None) -> None:
    """Download a data set unless it is there, check it, and say what it holds.

    Photographs of ImageNet-LT, Places-LT and iNaturalist 2018 are not downloaded: their owners ask who takes them. It
    says where they and their lists are had, and what is still missing.

    `weights:NETWORK` downloads the weights that torchvision publishes for a network, or with `/NAME` those of that
    name, such as `weights:resnet50/IMAGENET1K_V1`; a run takes them by `-p overrides "network=resnet50
    weights=pretrained"`.

    Example:

        gcl data fetch cifar10 --data ~/datasets

    Exit codes: 0 there and whole; 2 unknown, not to be had, or altered.
    """
    if name.startswith(WEIGHTS):
        _fetch_weights(name.removeprefix(WEIGHTS), root)
    else:
        _print_data(name, root, download=True)


def _fetch_weights(name: str, root: Path | None) -> None:
    from gclib import data

    path, digest = data.fetch_weights(name, root)
    print(f"weights of {name}: {path}, SHA-256 {digest}")


@app.command()
def check(name: DataName, root: Root = None) -> None:
    """Check a data set that is there, without a network, and say what it holds.

    Of a published set every list is proven by its hash, and every photograph looked for. Of a folder or a list every
    file is read: what cannot be used is named, and what is odd, double or left out. Images
    that look nearly the same in training and test come from one track or burst: give the groups, by a third column
    of a list, or by `,groups=_` where the names of a group agree up to the last `_`.

    Example:

        gcl data check folder:~/birds

    Exit codes: 0 there, and every image can be read; 2 unknown, missing, altered, or with an unreadable file.
    """
    from gclib.data.own import own

    mine = own(name)
    if mine is None:
        _print_data(name, root, download=False)
    elif root is not None:
        raise UserError(f"--data is not for {name}, which says where it lies; leave it out")
    else:
        _print_own(name, mine)


def _print_data(name: str, root: Path | None, download: bool) -> None:
    import numpy as np

    from gclib import data
    from gclib.data.cifar import SIDE

    if name in data.PUBLISHED:
        _print_published(name, root)
        return
    source = data.SOURCES.get(name)
    if source and source.prove and not download:
        source.prove(data.root_folder(root))
        loaded = data.without_images(name, None)  # the files are what they were, and so are the sizes
        height = width = SIDE
    else:
        loaded = data.load(name, root=root, download=download)
        height, width = loaded.train.images.shape[1:3]
    fixed = source is not None and source.fixed
    print(
        f"{name}: {'whole; ' if fixed else ''}{len(loaded.class_names)} classes, {len(loaded.train)} training "
        f"and {len(loaded.test)} test images of {width}x{height}"
    )
    if not fixed:
        _print_counts(loaded.class_names, loaded.class_counts, np.bincount(loaded.test.labels))


def _print_published(name: str, root: Path | None) -> None:
    from gclib import data
    from gclib.data.listed import standing

    there, lacking = standing(name, data.root_folder(root))
    for line in (*there, *lacking[:-1]):
        print(line)
    if lacking:
        raise UserError(lacking[-1])
    described = data.PUBLISHED[name]
    print(f"{name}: whole; {described.classes:,} classes, {described.sizes[0]:,} training images")


def _print_own(name: str, mine: "Own") -> None:
    import numpy as np

    from gclib.data.own import listing
    from gclib.data.pictures import several
    from gclib.data.report import examine

    found = listing(mine)
    seen = examine(found, mine.size)
    for complaint in seen.unreadable:
        print(complaint)
    if seen.unreadable:
        total = len(found.train) + len(found.test)
        raise UserError(
            f"{name}: {len(seen.unreadable)} of {total} files cannot be used; mend or remove them"
        )
    split = "test split as it is" if found.given else "test images drawn from each class"
    print(
        f"{name}: {len(found.class_names)} classes, {len(found.train)} training and {len(found.test)} test images, "
        f"brought to {mine.size}x{mine.size}; {split}"
    )
    _print_counts(found.class_names, np.bincount(found.train.labels), np.bincount(found.test.labels))
    for line in seen.lines(mine.path):
        print(line)
    for what, paths in (
        ("groups with images in training and test", found.parted),
        ("litter of programs, skipped", found.litter),
        ("not used", found.unused),
    ):
        if paths:
            print(f"{what}: {len(paths)} ({several([Path(path).name for path in paths], 5)})")
    print(
        "every file can be read"
        + ("; but images stand on two sides, see above" if seen.doubtful or found.parted else "")
    )


def _print_counts(names: Sequence[str], counts: "np.ndarray", tested: "np.ndarray") -> None:
    """Print what the counts say: the tail, and what its test images can show."""
    from gclib import metrics
    from gclib.data.report import cautions, resolvable

    largest, smallest = int(counts.argmax()), int(counts.argmin())
    print(
        f"training images of a class: {counts[largest]} ({names[largest]}) to {counts[smallest]} ({names[smallest]}), "
        f"imbalance ratio {counts[largest] / counts[smallest]:.3g}"
    )
    print_table(
        ("classes", "how many", "test images", "of a class", "differences that show (points)"),
        (
            (
                f"{group}-shot",
                len(of),
                tested[of].sum(),
                f"{tested[of].min()} to {tested[of].max()}",
                f"{resolvable(int(tested[of].sum())):.0f}",
            )
            for group, of in metrics.groups(counts, metrics.group_rule(len(counts))).items()
            if len(of)
        ),
    )
    for caution in cautions(counts, tested):
        print(f"caution: {caution}")


def recipes(
    name: Annotated[str | None, typer.Argument(metavar="[NAME]", help="A recipe [default: list all]")] = None,
    dataset: Annotated[str, typer.Option(help="Data set to resolve it for.")] = "digits",
    ratio: Annotated[float | None, Ratio] = None,
    scale: Annotated[str, typer.Option(help="`smoke`, `short` or `paper`.")] = "paper",
    root: Root = None,
) -> None:
    """List the recipes, or show every setting of one as it would be run, and where each value comes from.

    A recipe's settings are those of the method's own release; its twin in the unified protocol has one batch size
    and weight decay for all, in stage one one learning rate and schedule, and no mixup.

    Example:

        gcl recipes gcl-official --dataset cifar10 --ratio 100

    Exit codes: 0 done; 2 bad input.
    """
    from gclib import data, recipes

    if name is None:
        if ratio is not None or root is not None:
            raise UserError("--ratio and --data are for one recipe; give its name, such as ce")
        summaries = ((known, recipes.get(known).definition.summary) for known in recipes.names())
        print_table(("recipe", "what it is"), summaries)
    else:
        named = recipes.get(name)
        ratio = data.ratio_of(dataset, ratio)
        # Where the sizes are known a recipe can be read before the images are there.
        if dataset in data.PUBLISHED or (dataset in data.WHOLE and ratio):
            images = data.without_images(dataset, ratio, root)
        else:
            images = data.load(dataset, ratio=ratio, root=root, download=False, scale=scale)
        table = recipes.settings_table(named.resolve(images, scale=scale), images)
        print(f"{name}: {named.definition.summary} Settings by {named.on(dataset).reference}.")
        print_table(tuple(table), zip(*table.values(), strict=True))
