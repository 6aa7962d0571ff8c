"""The processes that train one run together, as ``torchrun`` starts them; one without others is a world of one."""

import hashlib
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta

import torch
import torch.distributed as dist
from torch import Tensor

from gclib.errors import UserError

__all__ = ["LostError", "add", "after_the_first", "agree", "first", "joined", "local", "meet", "rank", "size"]

PATIENCE = timedelta(minutes=30)  # until a process that does not come is taken for dead


class LostError(UserError):
    """Another process has ended, so that this one cannot go on."""


def size() -> int:
    """Return how many processes there are."""
    return dist.get_world_size() if dist.is_initialized() else 1


def rank() -> int:
    """Return the number of this process, from 0."""
    return dist.get_rank() if dist.is_initialized() else 0


def first() -> bool:
    """Whether this process is the one that locks, writes and shows."""
    return rank() == 0


def local() -> int:
    """Return the number of this process on its machine, from 0: its GPU there."""
    return int(os.environ.get("LOCAL_RANK", "0"))


@contextmanager
def joined(on_gpu: bool) -> Iterator[None]:
    """Be one of the processes that ``torchrun`` started, if it did.

    Parameters
    ----------
    on_gpu
        Whether they train on GPUs, one each: what lies there is then added up by NCCL, all else by gloo.

    Raises
    ------
    LostError
        If the others do not come.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        yield
        return
    if on_gpu:
        torch.cuda.set_device(local())
    try:
        dist.init_process_group("cpu:gloo,cuda:nccl" if on_gpu else "gloo", timeout=PATIENCE)
    except RuntimeError as error:
        raise _lost(error) from error
    yield
    dist.destroy_process_group()  # not after an error: the others may wait for this process, which ends now


def add(tensors: Sequence[Tensor]) -> None:
    """Replace each tensor by its sum over the processes: all of them in one message, of one type and on one device."""
    if size() == 1 or not tensors:
        return
    flat = torch.cat([tensor.flatten() for tensor in tensors])
    try:
        dist.all_reduce(flat)
    except RuntimeError as error:
        raise _lost(error) from error
    parts = flat.split([tensor.numel() for tensor in tensors])
    torch._foreach_copy_(list(tensors), [p.view(t.shape) for p, t in zip(parts, tensors, strict=True)])


def meet() -> None:
    """Wait until all processes are here."""
    add([torch.zeros(1)])


@contextmanager
def after_the_first() -> Iterator[None]:
    """Let the first process go through this context before the others, which find what it has written."""
    if not first():
        meet()
    yield
    if first():
        meet()


def agree(value: str | bytes, what: str) -> None:
    """Raise a UserError in every process where not all of them have the same value; `what` names it."""
    if size() == 1:
        return
    content = value.encode() if isinstance(value, str) else value
    marks = torch.zeros(size(), dtype=torch.int64)
    marks[rank()] = int.from_bytes(hashlib.sha256(content).digest()[:7])
    add([marks])
    others = (marks != marks[0]).nonzero().flatten().tolist()
    if others:
        raise UserError(
            f"{what} of process {others[0]} is not that of process 0; expected the same in all {size()} processes; "
            "start them by one command"
        )


def _lost(error: RuntimeError) -> LostError:
    reason = " ".join(str(error).split())
    return LostError(f"process {rank()} lost the others ({reason[:150]}); start them again, they go on")
