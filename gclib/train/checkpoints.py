"""Checkpoints that survive a kill at any moment."""

import hashlib
import io
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from gclib import records
from gclib.errors import UserError
from gclib.files import write_atomically
from gclib.train.fleet import arrived

__all__ = ["check", "load", "on_host", "save", "understood"]

NAME, PREVIOUS = "checkpoint.pt", "checkpoint.previous.pt"


def on_host(state: dict[str, Any]) -> dict[str, Any]:
    """Return the state with its tensors on the CPU: those there as they are, those of a GPU copied together.

    These arrive as parts of one tensor for each type, which is also written several times faster than many small ones.
    """
    found: dict[torch.dtype, list[torch.Tensor]] = {}

    def each(value: Any, change: Callable[[torch.Tensor], torch.Tensor]) -> Any:
        if isinstance(value, dict):
            return {key: each(one, change) for key, one in value.items()}
        if isinstance(value, list):
            return [each(one, change) for one in value]
        return change(value) if isinstance(value, torch.Tensor) and value.device.type != "cpu" else value

    def note(value: torch.Tensor) -> torch.Tensor:
        found.setdefault(value.dtype, []).append(value)
        return value

    each(state, note)
    parts: dict[torch.dtype, Iterator[torch.Tensor]] = {}
    for dtype, values in found.items():
        # In the order of memory: a channels-last weight comes back as one, and so does its momentum.
        flat = torch.cat([value.as_strided((value.numel(),), (1,)) for value in values])
        parts[dtype] = iter(arrived(flat).clone().split([value.numel() for value in values]))
    return each(state, lambda value: next(parts[value.dtype]).as_strided(value.shape, value.stride()))


def save(folder: Path, state: dict[str, Any]) -> None:
    """Save a checkpoint, keeping the one before it. A SHA-256 of the content comes first in the file.

    Raises
    ------
    UserError
        If it cannot be written; the checkpoints that were there stay.
    """
    buffer = io.BytesIO()
    torch.save({"stage": folder.name, **state}, buffer)
    content = buffer.getvalue()
    # Killed between its two renames, it leaves the checkpoint before, whole.
    write_atomically(folder / NAME, hashlib.sha256(content).digest() + content, folder / PREVIOUS)


def load(folder: Path) -> dict[str, Any] | None:
    """Load the newest undamaged checkpoint of `folder`, on the CPU; None where there is none.

    A damaged checkpoint gives a warning, and the one before it is used.

    Raises
    ------
    UserError
        If the checkpoint cannot be read, holds something else, or was made by another stage, in another folder.
    """
    state, damaged = None, []
    for path in (folder / NAME, folder / PREVIOUS):
        try:
            content = path.read_bytes()
        except (FileNotFoundError, NotADirectoryError):
            continue
        except OSError as error:
            raise UserError(
                f"cannot read {path}: {error.strerror}; mend it or choose another folder"
            ) from error
        if hashlib.sha256(content[32:]).digest() == content[:32]:
            with understood(path):
                state = torch.load(io.BytesIO(content[32:]), map_location="cpu", weights_only=True)
                if not (isinstance(state, dict) and isinstance(state["epoch"], int) and state["epoch"] >= 0):
                    raise ValueError("no state of a stage")
                state = _older(state) | state
            if state.get("stage", folder.name) != folder.name:
                raise UserError(
                    f"{path} is a checkpoint of stage {state['stage']}, not of its folder; remove it"
                )
            break
        damaged.append(str(path))
    if damaged:
        advice = "going on from the checkpoint before" if state else "starting anew"
        warnings.warn(f"damaged: {' and '.join(damaged)}; {advice}", stacklevel=2)
    return state


def _older(state: dict[str, Any]) -> dict[str, Any]:
    """Fields that came later than a state, as they were then: a CPU has one variant, a GPU's is not known any more."""
    if "devices" not in state or "variants" in state or "side_by_side" in state:
        return {}
    return {"variants": ["plain" if set(state["devices"]) == {"cpu"} else "unknown"], "side_by_side": 1}


@contextmanager
def understood(path: Path) -> Iterator[None]:
    """Tell in one line where what a checkpoint holds is not what this code needs: one of another version, say.

    Raises
    ------
    UserError
        For anything that its content brings about.
    """
    try:
        yield
    except UserError:
        raise
    except Exception as error:  # broken content raises nearly anything
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        if len(reason) > 150:
            reason = f"{reason[:150]}..."
        raise UserError(
            f"{path} is whole, but no checkpoint that this code understands ({reason}); remove it to start anew"
        ) from error


def check(
    state: dict[str, Any], network: dict[str, torch.Tensor], data: records.DataSummary, epochs: int
) -> None:
    """Raise an error where a state is not that of a stage which trains such a network; `understood` words it.

    Parameters
    ----------
    state
        What `load` returned.
    network
        Name to tensor of the right shape, on any device.
    data
        What is trained on.
    epochs
        Of the stage.
    """
    done, course = state["epoch"], dict(state["course"])
    finished = done == epochs
    if not len(course["loss"]) == done <= epochs:
        raise ValueError(f"{len(course['loss'])} losses after {done} of {epochs} epochs")
    kinds = {"precision": str, "threads": int, "compiled": bool, "side_by_side": int}
    for name, known in (*kinds.items(), ("devices", list), ("variants", list)):
        if type(state[name]) is not known:
            raise TypeError(f"{name} is no {known.__name__}")
    for kind in ("devices", "variants"):
        if not state[kind] or not all(isinstance(name, str) and name for name in state[kind]):
            raise ValueError(f"{kind} without names")
    for count in (state["side_by_side"], state.get("processes", 1)):
        if type(count) is not int or not 0 < count < 10**6:
            raise ValueError("a number of runs side by side or of processes that is none")
    if state["precision"] not in ("float64", "float32", "bfloat16") or not 0 < state["threads"] < 10**6:
        raise ValueError("a precision or a number of threads that is none")
    if not finished and course["test_epochs"][-1:] != [done]:  # a course ends with a test
        course["test_epochs"] = [*course["test_epochs"], done]
        course["test_accuracy"] = [*course["test_accuracy"], 0.0]
    outcomes = [records.Outcome(**state[kind]) for kind in ("last", "best") if state[kind] != {} or finished]
    for outcome in outcomes:
        outcome.check(data.class_counts, data.test_counts)
    run = {"name": "any", "start": "scratch", "hash": "0" * 16, "course": records.Course(**course)}
    if finished:
        records.StageRun(**run, **dict(zip(("last", "best"), outcomes, strict=True)))
    for kind in ("weights", "best_weights") if outcomes else ("weights",):
        for name, value in network.items():
            kept = state[kind][f"network.{name}"]
            if kept.shape != value.shape or not kept.isfinite().all():
                raise ValueError(f"{kind}: {name} is not finite or of another shape")
