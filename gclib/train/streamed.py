"""Images that stay in their files: workers read, decode and cut them as the epoch's draws say, and draw nothing."""

import os
import shutil
import tempfile
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, default_collate

from gclib.data import Augmentation
from gclib.data.augment import normalise
from gclib.data.photos import Photos
from gclib.data.views import test_view, training_view
from gclib.errors import UserError
from gclib.methods.images import Batch, Cut, Draws
from gclib.train import fleet
from gclib.train.resident import finished, parts

__all__ = ["Order", "Streamed", "Views", "usual_workers"]

AHEAD = 2  # orders that each worker has before it
MOST_WORKERS = {"cpu": 4, "cuda": 16}
SHARED = "/dev/shm"  # where workers leave what they made
SILENCE = 600  # seconds after which a worker that brings nothing is taken for lost
LONG = 60  # characters of a temporary folder: with the rest a socket's name has 107 at most


def usual_workers(device: torch.device, size: int) -> int:
    """How many processes read images where nobody says: ``$GCLIB_WORKERS``, else by the cores and the shared memory.

    Parameters
    ----------
    device
        What trains. On a CPU one core is left to it.
    size
        Bytes of a batch of pixels.

    Raises
    ------
    UserError
        If the variable is set to what is no number.
    """
    if said := os.environ.get("GCLIB_WORKERS"):
        if not said.isdecimal():
            raise UserError(f"GCLIB_WORKERS is {said!r}; expected a number of processes, 0 for none")
        return int(said)
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    together = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))  # that train here, each with readers of its own
    workers = min(MOST_WORKERS[device.type], cores // together - (device.type == "cpu"))
    if os.path.isdir(SHARED):  # 64 MB in a container, unless one asks for more
        workers = min(workers, shutil.disk_usage(SHARED).free // (2 * (AHEAD + 1) * size * together))
    return max(0, workers)


@dataclass(frozen=True)
class Order:
    """What a worker is told of some images.

    Attributes
    ----------
    indices
        int64 ``(B,)``: which.
    crops, flips
        float32 ``(B, 22)`` and bool ``(B,)``: see `gclib.data.views.training_view`; None for a test's view of them.
    """

    indices: np.ndarray
    crops: np.ndarray | None = None
    flips: np.ndarray | None = None


class Views:
    """What runs in a worker: orders to uint8 ``(B, side, side, 3)``, or to what is wrong with a file."""

    def __init__(self, photos: Photos) -> None:
        self.photos = photos

    def __getitem__(self, order: Order) -> Tensor | str:
        side, made = self.photos.side, []
        for row, index in enumerate(order.indices.tolist()):
            path = self.photos.path(index)
            try:
                if order.crops is None or order.flips is None:
                    view = test_view(path, side)
                else:
                    view = training_view(path, side, order.crops[row].tolist(), bool(order.flips[row]))
            except UserError as error:
                return f"{path}: {error}; expected the file as it was when the run began"
            made.append(view.permute(1, 2, 0))
        return default_collate(made)  # in a worker at once into memory that it shares


def _in_short_folder(worker: int) -> None:
    """Let a worker hand over its memory by a socket in /tmp: a longer name than a socket's is lost without a word."""
    if len(tempfile.gettempdir()) > LONG and os.access("/tmp", os.W_OK):
        tempfile.tempdir = "/tmp"


class Orders:
    """The orders of the coming pass; filled before each, so that the workers live on."""

    coming: Sequence[Order] = ()

    def __iter__(self) -> Iterator[Order]:
        return iter(self.coming)

    def __len__(self) -> int:
        return len(self.coming)


class Streamed:
    """A split whose images are read anew for each epoch; one form of `gclib.methods.images.Images`.

    The epoch's draws say which part of each image is taken: neither the number of workers nor how far ahead they are
    changes a bit of a batch.

    Parameters
    ----------
    photos
        The images.
    labels
        int64 ``(N,)``.
    augmentation
        Normalisation.
    device, dtype
        Where the batches are made, and of which floating-point type.
    workers
        Processes that read; 0 for none beside this one, None for `usual_workers`.
    """

    recordable = False

    def __init__(
        self,
        photos: Photos,
        labels: np.ndarray,
        augmentation: Augmentation,
        device: torch.device,
        dtype: torch.dtype,
        workers: int | None = None,
    ) -> None:
        self.labels = torch.from_numpy(labels).to(device)
        self.side, self.augmentation, self.device, self.dtype = photos.side, augmentation, device, dtype
        self.views, self.workers = Views(photos), workers
        self.pixels = photos.side**2 * dtype.itemsize // 4  # as of `gclib.train.resident.Resident`
        self.orders = Orders()
        self.loader: DataLoader | None = None
        self.cuts: deque[Cut] = deque()
        self.coming: Iterator[Tensor] = iter(())

    def begin(self, draws: Draws, cuts: Sequence[Cut], place: Draws | None) -> Draws:
        """Give out the orders of an epoch; the draws stay on the host, and go to the device batch by batch."""
        streams = [draws]
        while (other := streams[-1].other) is not None:
            streams.append(other)
        self.cuts = deque(cuts)
        self.coming = self.read([self._order(streams, cut) for cut in cuts])
        return draws

    @staticmethod
    def _order(streams: Sequence[Draws], cut: Cut) -> Order:
        def of(name: str) -> np.ndarray:
            return torch.cat([getattr(draws, name)[cut.start : cut.stop] for draws in streams]).numpy()

        return Order(
            of("indices"), *((of("offsets"), of("flips")) if streams[0].offsets.is_floating_point() else ())
        )

    def batch(self, draws: Draws, rows: Tensor, step: Tensor) -> Batch:
        """Make the batch that comes next; `rows` and `step` are those of its cut."""
        cut = self.cuts.popleft()
        one = draws.of(slice(cut.start, cut.stop), slice(cut.step, cut.step + 1))
        pixels = fleet.aside(next, self.coming)
        return self._batch(
            one.to(self.device), iter(pixels.to(self.device, non_blocking=True).split(len(rows)))
        )

    def _batch(self, draws: Draws, pixels: Iterator[Tensor]) -> Batch:
        own = next(pixels)
        other = None if draws.other is None else self._batch(draws.other, pixels)
        return finished(own, draws, self.labels, self.augmentation, self.dtype, other)

    def plain(self, chosen: Tensor | None = None) -> Iterator[Tensor]:
        """Yield the centres of the photos, normalised."""
        indices = np.arange(len(self.labels)) if chosen is None else chosen.numpy()
        cuts = parts(len(indices), self.device, self.pixels)
        for pixels in self.read([Order(indices[cut]) for cut in cuts]):
            yield normalise(pixels.to(self.device, non_blocking=True), self.augmentation, self.dtype)

    def read(self, orders: Sequence[Order]) -> Iterator[Tensor]:
        """Yield pixels, uint8 ``(B, side, side, 3)`` on the CPU, order by order; the reading begins at once."""
        if self.loader is None:
            size = max((len(order.indices) for order in orders), default=1) * self.side**2 * 3
            workers = usual_workers(self.device, size) if self.workers is None else self.workers
            options: dict[str, Any] = (
                {
                    "prefetch_factor": AHEAD,
                    "persistent_workers": True,
                    "timeout": SILENCE,
                    "worker_init_fn": _in_short_folder,
                }
                if workers
                else {}
            )
            self.loader = DataLoader(
                self.views,  # type: ignore[arg-type] # its items are those of orders, not of numbers
                batch_size=None,
                sampler=self.orders,
                num_workers=workers,
                pin_memory=self.device.type == "cuda",
                generator=torch.Generator(),  # torch draws a seed for its workers, which is not to be the caller's
                **options,
            )
        self.orders.coming = orders
        with _readers_told():
            return _whole(iter(self.loader))


def _whole(made: Iterator[Tensor | str]) -> Iterator[Tensor]:
    while True:
        with _readers_told():
            pixels = next(made, None)
        if pixels is None:
            return
        if isinstance(pixels, str):
            raise UserError(pixels)
        yield pixels


@contextmanager
def _readers_told() -> Iterator[None]:
    """Say in one line that a process that reads images ended: torch says it in many."""
    try:
        yield
    except RuntimeError as error:
        raise UserError(
            f"a process that reads images ended ({str(error).splitlines()[0]}); set GCLIB_WORKERS to a smaller number, "
            "0 for none, and start again"
        ) from error
