"""An embedding as a file beside the record and the weights that it comes from."""

import os
from dataclasses import replace
from pathlib import Path

import numpy as np

from gclib import ROOT, data, records
from gclib.embeddings.archive import packed, unpacked
from gclib.embeddings.embedding import STORED, Embedding, embed
from gclib.errors import UserError
from gclib.files import write_atomically
from gclib.recipes import Recipe

SUFFIX = ".embedding.npz"


def save(embedding: Embedding, path: str | Path) -> None:
    """Write an embedding, whole or not at all; features in half precision, the same bytes for the same content.

    A SHA-256 of all of it stands in the file.

    Raises
    ------
    UserError
        If the file cannot be written.
    """
    about = {
        "class_counts": embedding.class_counts.tolist(),
        "class_names": embedding.class_names,
        "settings": embedding.settings,
    }
    arrays = {name: getattr(embedding, name).astype(dtype) for name, dtype in STORED.items()}
    write_atomically(Path(path), packed(about, arrays))


def load(path: str | Path) -> Embedding:
    """Read an embedding and check it.

    Raises
    ------
    UserError
        If the file is missing, damaged, or holds something else.
    """
    try:
        about, arrays = unpacked(Path(path).read_bytes())
        for name, dtype in STORED.items():
            if arrays[name].dtype != np.dtype(dtype):
                raise ValueError(f"{name} is {arrays[name].dtype}, expected {np.dtype(dtype)}")
        counts, names = np.array(about["class_counts"], dtype=np.int64), tuple(about["class_names"])
        return Embedding(**arrays, class_counts=counts, class_names=names, settings=about["settings"])
    except Exception as error:  # a damaged archive raises nearly anything
        reason = " ".join(str(error).split())
        raise UserError(
            f"{path} holds no embedding ({reason}); make it again with python -m gclib.embeddings"
        ) from error


def make(path: str | Path) -> Path:
    """Embed images by the stage-one weights beside a record, and keep the result beside both.

    Parameters
    ----------
    path
        The record.

    Returns
    -------
    Path
        The file written.

    Raises
    ------
    UserError
        If there is no such record, none of the weights that it names beside it, or not the data that it was made from.
    """
    from gclib.networks import make_network, read_weights
    from gclib.train.kept import KEPT_WEIGHTS
    from gclib.train.making import normalised_for

    record, weights = records.load(path), records.weights_path(path)
    if not weights.exists():
        again = f"train them: {records.again(record)} -p keep replace"
        advice = again if record.name in KEPT_WEIGHTS else f"those of {', '.join(KEPT_WEIGHTS)} are kept"
        raise UserError(f"no stage-one weights {_shown(weights)}; {advice}")
    records.check_weights(weights)
    dataset = data.load(record.data.name, record.data.ratio, scale=record.scale)
    if dataset.digest != record.data.digest:
        raise UserError(f"{_shown(Path(path))} was made from other images of {dataset.name}; train it again")
    recipe = Recipe.model_validate(record.recipe)
    network = make_network(recipe.network, dataset.num_classes, recipe.head)
    network.load_state_dict(read_weights(weights, dataset.num_classes, recipe.head, recipe.network))
    made = embed(network, normalised_for(recipe.network, dataset))
    run = {"run": record.identity, "recipe": record.name, "scale": record.scale, "weights": record.weights}
    target = Path(path).with_suffix(SUFFIX)
    save(replace(made, settings=made.settings | run), target)
    return target


def find(
    recipe: str, dataset: str, ratio: float, seed: int = 0, root: str | Path = ROOT / "results"
) -> Embedding:
    """Load the embedding beside the record of a run at paper scale.

    Raises
    ------
    UserError
        If it is not made yet, or from other weights than those that the record names: with the command that makes it.
    """
    found = records.find(root, scale="paper", dataset=dataset, ratio=ratio, recipe=recipe, seed=seed)
    if not found:
        again = records.command(recipe, dataset, ratio, seed, "paper")
        raise UserError(f"{recipe} is not trained yet: {again} -p keep new")
    record = records.results_path(found[0], root)
    path = record.with_suffix(SUFFIX)
    if not path.exists():
        raise UserError(f"the embedding of {recipe} is not made yet: {_remake(record)}")
    return check(path, found[0])


def check(path: Path, record: records.RunRecord) -> Embedding:
    """Load an embedding that lies beside a record; a `UserError` where it is of another run or other weights."""
    embedding = load(path)
    if (embedding.settings.get("run"), embedding.settings.get("weights")) != (
        record.identity,
        record.weights,
    ):
        again = _remake(path.with_name(path.name.removesuffix(SUFFIX) + ".json"))
        raise UserError(
            f"{_shown(path)}: the embedding of {record.name} was made from other weights: {again}"
        )
    return embedding


def _remake(record: Path) -> str:
    return f"python -m gclib.embeddings {_shown(record)}"


def _shown(path: Path) -> str:
    """The path as seen from the checkout, so that it reads the same on every machine."""
    return os.path.relpath(path, ROOT) if path.is_relative_to(ROOT) else str(path)
