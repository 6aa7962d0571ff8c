"""A trained classifier as one file that predicts elsewhere: weights, classes, preprocessing and recipe."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import numpy as np
import torch
from pydantic import BaseModel, ConfigDict, Field, model_validator
from safetensors import SafetensorError
from safetensors.torch import load as safetensors_load
from safetensors.torch import save as safetensors_bytes
from torch import Tensor, nn

from gclib.arrays import to_numpy
from gclib.data import Augmentation, LongTailed, Split
from gclib.data.augment import normalise
from gclib.data.pictures import fit_image, read_image, readable
from gclib.data.views import centre, test_view
from gclib.errors import UserError
from gclib.files import require_end
from gclib.methods.stage import Stage
from gclib.networks import make_network
from gclib.recipes import Recipe
from gclib.records import CLASSIFIER

__all__ = [
    "Calibration",
    "Card",
    "Classifier",
    "Transform",
    "classifier_bytes",
    "classifier_of",
    "load_classifier",
]

FORMAT = "gclib-classifier-1"
Side = Annotated[int, Field(ge=1, le=4096)]
Colour = tuple[float, float, float]


class Calibration(BaseModel):
    """How the temperature was found: on how many held-out images, and their mean loss before and after."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    temperature: Annotated[float, Field(gt=0, le=1e4)]
    images: Annotated[int, Field(ge=1)]
    loss_before: float
    loss_after: float


class Card(BaseModel):
    """What a file says of its classifier, beside the weights.

    Attributes
    ----------
    run, seed
        Identity and seed of the run that it comes from.
    recipe
        The resolved recipe: with it the classifier is built again.
    data
        Name of the data set.
    class_names, class_counts
        Of the C classes, and of their training images.
    height, width
        Of the images that it takes, in pixels.
    scaled
        Side to which the shorter one of a photo is scaled before its centre is cut out (`gclib.data.views.centre`).
        None where the largest centre is cut out and then scaled (`gclib.data.pictures.read_image`).
    mean, std
        With which pixels in 0..1 are normalised.
    calibration
        None where no image was held out: then probabilities are those of the softmax as it was trained.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: Literal["gclib-classifier-1"] = "gclib-classifier-1"
    run: str
    seed: int
    recipe: Recipe
    data: str
    class_names: Annotated[tuple[str, ...], Field(min_length=1)]
    class_counts: tuple[Annotated[int, Field(ge=1, le=10**7)], ...]
    height: Side
    width: Side
    scaled: Side | None = None
    mean: Colour
    std: Colour
    calibration: Calibration | None = None

    @model_validator(mode="after")
    def _a_count_for_each_class(self) -> Self:
        if len(self.class_names) != len(self.class_counts) or not self.recipe.stages or min(self.std) <= 0:
            raise ValueError("names, counts, stages or deviations that do not fit together")
        return self

    @property
    def augmentation(self) -> Augmentation:
        """Normalisation, as the stages take it."""
        return Augmentation(0, False, self.mean, self.std)


class Transform:
    """From a photo to what the classifier takes, as in the tests of its training.

    Parameters
    ----------
    card
        Of the classifier.
    """

    def __init__(self, card: Card) -> None:
        self.card = card

    def __call__(self, image: Any) -> Tensor:
        """Read, turn upright, scale, crop and normalise one image.

        Parameters
        ----------
        image
            A path, an image of Pillow, or pixels uint8 ``(H, W, 3)`` of any size.

        Returns
        -------
        Tensor
            float32, shape ``(3, height, width)``.

        Raises
        ------
        UserError
            If it is no readable image.
        """
        return self.of_pixels(self.pixels(image)[None])[0]

    def pixels(self, image: Any) -> np.ndarray:
        """Pixels uint8 ``(height, width, 3)`` of one image; see the call."""
        from PIL import Image

        height, width = self.card.height, self.card.width
        if isinstance(image, str | Path):
            try:
                require_end(image)
                if self.card.scaled:
                    return test_view(Path(image), height).permute(1, 2, 0).numpy()
                if height == width:
                    return read_image(Path(image), height)
                with readable(), Image.open(image) as opened:
                    return fit_image(opened, height, width)
            except (UserError, OSError) as error:
                raise UserError(f"{image}: {error}") from error
        if not isinstance(image, Image.Image):
            pixels = to_numpy(image)
            if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] != 3:
                raise UserError(f"pixels are {pixels.dtype} {pixels.shape}; expected uint8 (H, W, 3)")
            image = Image.fromarray(pixels)
        if 0 in image.size:
            raise UserError(f"an image of {image.height}x{image.width} pixels; expected at least one")
        with readable():  # Pillow opens a file before it reads it
            if self.card.scaled:
                return centre(image, height).permute(1, 2, 0).numpy()
            return fit_image(image, height, width)

    def of_pixels(self, pixels: np.ndarray) -> Tensor:
        """Normalise pixels uint8 ``(B, height, width, 3)``: float32, ``(B, 3, height, width)``."""
        images = normalise(torch.from_numpy(np.array(pixels)), self.card.augmentation, torch.float32)
        return images.contiguous()


class Classifier(nn.Module):
    """The classifier at the end of a run, with all that later stages and post-hoc methods changed.

    Attributes
    ----------
    card
        What it is; see `Card`.
    class_names
        Names of the C classes.
    transform
        From a photo to its input; see `Transform`.
    """

    def __init__(self, card: Card, stage: Stage) -> None:
        super().__init__()
        self.card, self.class_names, self.transform = card, card.class_names, Transform(card)
        self.stage = stage
        self.temperature = card.calibration.temperature if card.calibration else 1.0

    def forward(self, images: Tensor) -> Tensor:
        """Logits ``(B, C)`` of normalised images ``(B, 3, H, W)``, over the temperature: their softmax is meant."""
        return self.stage(images) / self.temperature

    @torch.no_grad()
    def probabilities(self, images: Tensor) -> Tensor:
        """Probabilities ``(B, C)`` of normalised images ``(B, 3, H, W)``."""
        return self(images).softmax(1)


def classifier_bytes(card: Card, weights: Mapping[str, Tensor]) -> bytes:
    """Return a file's content: safetensors in float32, with the card as metadata.

    Parameters
    ----------
    card
        What it says.
    weights
        State of the run's last stage, on the CPU.
    """
    kept = {
        name: (value.float() if value.is_floating_point() else value).contiguous()
        for name, value in weights.items()
    }
    return safetensors_bytes(kept, {"format": FORMAT, "card": card.model_dump_json()})


def load_classifier(path: str | Path) -> Classifier:
    """Load a classifier from the file that a run left: ``classifier.safetensors`` beside its record.

    Parameters
    ----------
    path
        The file. Nothing in it is executed.

    Returns
    -------
    Classifier
        In evaluation mode, float32, on the CPU.

    Raises
    ------
    UserError
        If the file cannot be read, is damaged or no classifier.

    Examples
    --------
    >>> model = load_classifier("classifier.safetensors")  # doctest: +SKIP
    >>> model.probabilities(model.transform("photo.jpg")[None])  # doctest: +SKIP
    """
    try:
        require_end(path)
        content = Path(path).read_bytes()
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}; name another file") from error
    return classifier_of(content, str(path))


def classifier_of(content: bytes, path: str = CLASSIFIER) -> Classifier:
    """Make the classifier of a file's content; see `load_classifier`."""
    card, weights = _read(content, path)
    try:
        classifier = Classifier(card, built(card))
        classifier.stage.load_state_dict(weights)
    except UserError as error:
        raise UserError(f"{path} is of another version of this package: {error}") from error
    except (RuntimeError, ValueError) as error:
        raise UserError(
            f"{path} holds other weights than its recipe has ({' '.join(str(error).split())[:150]}); "
            "expected a file as a run leaves it"
        ) from error
    if odd := next((k for k, value in weights.items() if not value.isfinite().all()), None):
        raise UserError(f"{path}: {odd} holds NaN or an infinity; expected finite weights")
    return classifier.eval()


def _read(content: bytes, path: str) -> tuple[Card, dict[str, Tensor]]:
    try:
        weights = safetensors_load(content)
        # The library gives the metadata of a file on a disk alone; before them stands the header's length.
        said = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")]).get("__metadata__", {})
    except (SafetensorError, ValueError) as error:
        raise UserError(f"{path} is damaged, or no safetensors file ({error}); copy it again") from error
    if said.get("format") != FORMAT:
        raise UserError(
            f"{path} holds weights, but not what they are of; expected {CLASSIFIER} from the folder of a run"
        )
    try:
        return Card.model_validate_json(said["card"]), weights
    except (KeyError, ValueError, UserError) as error:
        reason = " ".join(str(error).split())[:150]
        raise UserError(f"{path} was changed, or is of another version of this package ({reason})") from error


def built(card: Card) -> Stage:
    """Build the last stage of a recipe, with new weights, for data of which only the counts are known."""
    labels = np.repeat(np.arange(len(card.class_counts)), card.class_counts)
    nothing = np.broadcast_to(np.uint8(0), (len(labels), card.height, card.width, 3))
    split = Split(nothing, labels)
    counts = np.array(card.class_counts, dtype=np.int64)
    data = LongTailed(card.data, None, split, split, counts, card.class_names, card.augmentation, "0" * 64)
    with torch.random.fork_rng(devices=[]):
        network = make_network(card.recipe.network, data.num_classes, card.recipe.head)
        return Stage.make(card.recipe.stages[-1], network, data)
