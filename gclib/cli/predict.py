"""``gcl predict`` and ``gcl export``: what a trained classifier is used for."""

import csv
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gclib.cli.printing import print_table
from gclib.errors import UserError
from gclib.files import home_expanded

if TYPE_CHECKING:
    from gclib.classifier import Classifier

File = Annotated[
    Path,
    typer.Argument(
        metavar="FILE",
        parser=home_expanded,
        help="`classifier.safetensors`, which a run leaves beside its record.",
    ),
]

AT_ONCE = 200  # images that are in memory together


def predict(
    file: File,
    images: Annotated[list[Path], typer.Argument(metavar="IMAGES...", help="Photos, or folders of them.")],
    top: Annotated[int, typer.Option(min=1, help="How many classes to name for each photo.")] = 1,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print CSV in place of a table.")] = False,
) -> None:
    """Say the class of photos, and how probable it is.

    Photos are brought to the classifier as in the tests of its training. Where the run held images out
    (`held_out`), probabilities are calibrated on them; otherwise a line says that they are not. A photo of something
    else gets one of the classes all the same, often with a high probability.

    Example:

        gcl predict runs/0123456789abcdef/classifier.safetensors photo.jpg holiday/ --top 3

    Exit codes: 0 done; 2 no such file, no classifier, or a photo that cannot be read: then nothing is predicted.
    """
    from gclib.classifier import load_classifier

    classifier = load_classifier(file)  # first: without one, the photos need no look
    paths = list(_photos(images))
    rows = list(_predictions(classifier, paths, min(top, len(classifier.class_names))))
    header = ("image", "class", "probability")
    if as_csv:
        writer = csv.writer(sys.stdout, lineterminator="\n")
        writer.writerow(header)
        writer.writerows((path, name, f"{p:.6f}") for path, name, p in rows)
    else:
        print_table(header, ((path, name, f"{p:.3f}") for path, name, p in rows))
    known = classifier.card.calibration
    print(
        f"probabilities: calibrated on {known.images} held-out training images, temperature {known.temperature:.3g}"
        if known
        else "probabilities: not calibrated, for the run held out no images, or fewer than 10 of them were classified "
        "wrongly; give each stage held_out, such as 0.2, to have them calibrated",
        file=sys.stderr,
    )


def export(
    file: File,
    output: Annotated[
        Path, typer.Argument(metavar="OUTPUT", parser=home_expanded, help="The ONNX file to write.")
    ],
) -> None:
    """Write a classifier as an ONNX file, for programs without torch, and compare it with torch.

    It takes normalised images; their size, mean and deviation stand in the file's metadata with the class names.

    Example:

        gcl export runs/0123456789abcdef/classifier.safetensors birds.onnx

    Exit codes: 0 done; 2 no such file, no classifier, or nothing can be written.
    """
    from gclib.classifier import load_classifier
    from gclib.classifier.export import export_onnx

    if output.exists() and output.samefile(file):
        raise UserError(f"{output} is the classifier itself; name another file, such as {file.stem}.onnx")
    classifier = load_classifier(file)
    difference = export_onnx(classifier, output)
    print(f"{output}: probabilities differ from torch's by at most {difference:.1e}")


def _photos(paths: Iterable[Path]) -> Iterator[Path]:
    """Files as they are named, and all images within folders, which are walked as in training."""
    from gclib.data.layouts import images_within

    named = [home_expanded(path) for path in paths]
    if absent := [str(path) for path in named if not path.exists()]:
        hint = "; --csv prints and takes no file: write --csv > FILE" if absent[0].endswith(".csv") else ""
        raise UserError(f"nothing lies at {', '.join(absent)}; name photos, or folders of them{hint}")
    for path in named:
        if not path.is_dir():
            yield path
            continue
        inside = images_within(path)
        if not inside:
            raise UserError(f"{path}: no image in this folder; name another, or files")
        yield from inside


def _predictions(classifier: "Classifier", paths: list[Path], top: int) -> Iterator[tuple[Path, str, float]]:
    import numpy as np

    from gclib.data.pictures import several

    wrong: list[str] = []
    for start in range(0, len(paths), AT_ONCE):
        part, pixels = paths[start : start + AT_ONCE], []
        for path in part:
            try:
                pixels.append(classifier.transform.pixels(path))
            except UserError as error:
                wrong.append(str(error))
        if wrong:
            continue
        for place in range(0, len(part), 20):
            images = classifier.transform.of_pixels(np.stack(pixels[place : place + 20]))
            found = classifier.probabilities(images).topk(top, dim=1)
            for path, values, classes in zip(
                part[place:], found.values.tolist(), found.indices.tolist(), strict=False
            ):
                for value, label in zip(values, classes, strict=True):
                    yield path, classifier.class_names[label], value
    if wrong:
        raise UserError(
            f"{len(wrong)} of {len(paths)} photos cannot be used: {several(wrong)}; leave them out"
        )
