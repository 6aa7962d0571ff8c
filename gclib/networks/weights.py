"""Weights from files: those that a run kept, and those of an embedding that was trained elsewhere."""

import pickle
import warnings
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load as safetensors_load
from torch import Tensor

from gclib.errors import UserError
from gclib.networks.make import make_network

__all__ = ["read_embedding", "read_weights"]


def read_weights(
    path: str | Path, num_classes: int, head: str, network: str = "resnet32"
) -> dict[str, Tensor]:
    """Read weights of a network that a run kept.

    Parameters
    ----------
    path
        A safetensors file.
    num_classes, head, network
        See `gclib.networks.make_network`.

    Returns
    -------
    dict
        Name to tensor, float32, as ``load_state_dict`` takes it.

    Raises
    ------
    UserError
        If the file cannot be read, holds the weights of another network, or a value that is not finite.
    """
    try:
        weights = {name: value.float() for name, value in safetensors_load(Path(path).read_bytes()).items()}
    except (OSError, SafetensorError) as error:
        raise UserError(
            f"{path} holds no weights ({error}); expected a .safetensors file beside a record"
        ) from error
    if _shapes(weights) != _shapes(_expected(network, num_classes, head)):
        called = "ResNet-32" if network == "resnet32" else network
        raise UserError(
            f"{path} holds the weights of another network; expected {called} with a {head} head and "
            f"{num_classes} classes"
        )
    _require_finite(path, weights)
    return weights


def read_embedding(path: str | Path, network: str, last_block: bool = True) -> dict[str, Tensor]:
    """Read the weights of an embedding that was trained elsewhere; what belongs to its classifier is left out.

    Parameters
    ----------
    path
        A ``.safetensors`` file, or one that torch saved: tensors by name, perhaps below ``state_dict``. Names as
        torchvision has them (of EfficientNet-Lite0, as its package has them), or as a file of this package.
    network
        One of `gclib.data.NETWORKS`.
    last_block
        Whether those of the last block are wanted, too.

    Returns
    -------
    dict
        Name to tensor, float32, as `gclib.networks.Network.start_from` takes it.

    Raises
    ------
    UserError
        If the file cannot be read, holds another network, or a value that is not finite.
    """
    found = _tensors(Path(path))
    prefixes = ("module.", "network.", "embedding.")
    weights = {}
    for name, value in found.items():
        for prefix in prefixes:
            name = name.removeprefix(prefix)
        weights[f"embedding.{name}"] = value.float()
    expected = {k: v for k, v in _expected(network, 2, "linear").items() if k.startswith("embedding.")}
    if missing := next((k for k in expected if k not in weights), None):
        raise UserError(
            f"{path} holds the weights of another network: no {missing.removeprefix('embedding.')}; expected those of "
            f"{network}"
        )
    for name, value in expected.items():
        if weights[name].shape != value.shape:
            raise UserError(
                f"{path} holds the weights of another network: {name.removeprefix('embedding.')} is "
                f"{tuple(weights[name].shape)}, in {network} {tuple(value.shape)}"
            )
    others = sorted(name.removeprefix("embedding.") for name in weights.keys() - expected.keys())
    # Of the classifier, of batch norm's counter, and of what a second stage adds; a deeper network has more layers.
    if more := [
        name for name in others if name.startswith(("layer", "_blocks")) and "num_batches" not in name
    ]:
        raise UserError(
            f"{path} holds the weights of a larger network: {more[0]} too; expected those of {network}"
        )
    if not last_block:
        with torch.device("meta"):
            expected = {
                k: v for k, v in expected.items() if k not in make_network(network, 2, "linear").last_block()
            }
    weights = {name: weights[name] for name in expected}
    _require_finite(path, weights)
    return weights


def _expected(network: str, num_classes: int, head: str) -> dict[str, Tensor]:
    with torch.device("meta"):  # shapes alone
        return make_network(network, num_classes, head).state_dict()


def _shapes(weights: dict[str, Tensor]) -> dict[str, torch.Size]:
    return {name: value.shape for name, value in weights.items()}


def _require_finite(path: str | Path, weights: dict[str, Tensor]) -> None:
    if odd := next((name for name, value in weights.items() if not value.isfinite().all()), None):
        raise UserError(f"{path}: {odd} holds NaN or an infinity; expected finite weights")


def _tensors(path: Path) -> dict[str, Tensor]:
    """Read a file's tensors by name; nothing in it is executed."""
    try:
        if path.suffix == ".safetensors":
            found: Any = safetensors_load(path.read_bytes())
        else:
            with warnings.catch_warnings(action="ignore"):  # of what is refused below
                found = torch.load(path, map_location="cpu", weights_only=True)
    except OSError as error:
        raise UserError(f"cannot read the weights {path}: {error.strerror}; give another file") from error
    except pickle.UnpicklingError as error:
        raise UserError(
            f"{path} is damaged, or holds more than weights, which may be a program and is not loaded; "
            "expected tensors by name"
        ) from error
    except Exception as error:  # a damaged file raises nearly anything
        raise UserError(
            f"{path} is damaged, or no file of weights ({type(error).__name__}); fetch it again"
        ) from error
    if isinstance(found, dict) and isinstance(found.get("state_dict"), dict):
        found = found["state_dict"]
    if not isinstance(found, dict) or not found or not all(isinstance(v, Tensor) for v in found.values()):
        raise UserError(f"{path} holds no tensors by name; expected what torch.save makes of a state_dict()")
    return found
