"""What is timed: each function returns seconds by contestant."""

import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from benchmarks import usual
from benchmarks.timing import interleave
from gclib import recipes, sampling
from gclib.data import CIFAR, LongTailed, Split, class_counts, load
from gclib.errors import UserError
from gclib.losses import GCLLoss, cloud_sizes
from gclib.networks import resnet32
from gclib.train.device import can_compile
from gclib.train.loop import DTYPES, Trainer
from gclib.train.making import draw_seed, make_stage

__all__ = ["compiled", "few", "images", "inaturalist_labels", "losses", "memory", "sampler", "training"]

CPU = torch.device("cpu")
INATURALIST = 437_513, 8_142, 1_000, 2  # images, classes, most and fewest images of a class

Timings = dict[str, list[float]]


def images() -> tuple[LongTailed, str]:
    """CIFAR-10-LT at ratio 100 where it is at hand, else random images of its shape; and which of the two."""
    try:
        return load("cifar10", 100, download=False), "real CIFAR-10"
    except UserError:
        counts = class_counts(5_000, 10, 100)
        labels = np.repeat(np.arange(10), counts)
        pixels = np.random.default_rng(0).integers(0, 256, (len(labels), 32, 32, 3), dtype=np.uint8)
        split = Split(pixels, labels)
        names = tuple("0123456789")
        data = LongTailed("random", 100, split, Split(pixels[:500], labels[:500]), counts, names, CIFAR, "")
        return data, "random images of CIFAR-10's shape"


def few(data: LongTailed) -> LongTailed:
    """A tenth of the images: enough to try that all runs."""
    train, test = (Split(split.images[::10], split.labels[::10]) for split in (data.train, data.test))
    counts = np.bincount(train.labels, minlength=data.num_classes)
    return replace(data, ratio=None, train=train, test=test, class_counts=counts)


def our_loop(data: LongTailed, precision: str, batch_size: int, compiled: bool) -> Trainer:
    """Stage one of ``gcl-official``, as `gclib.train.fit` sets it up."""
    recipe = recipes.get("gcl-official").resolve(data, "paper", batch_size=batch_size)
    stage = make_stage(recipe.stages[0], recipe.head, data, 0, 0, None)
    return Trainer(stage, data, CPU, precision, draw_seed(0, 0), compiled)


def train(trainer: Trainer, steps: int) -> None:
    """Train a short epoch: its images are drawn from the whole data set."""
    trainer.stage.num_images = steps * trainer.settings.batch_size
    trainer.train_epoch(0)


def bare_loop(data: LongTailed, precision: str, batch_size: int, compiled: bool) -> Callable[[int], None]:
    """Forward, backward and update of the same network, compiled as ours, on one batch of random numbers."""
    network = resnet32(data.num_classes, "cosine").to(DTYPES[precision]).to(memory_format=torch.channels_last)
    network.in_bfloat16 = precision == "bfloat16"
    x = torch.randn(batch_size, *data.train.images.shape[1:], dtype=DTYPES[precision]).permute(0, 3, 1, 2)
    target = torch.randint(0, data.num_classes, (batch_size,))
    optimizer = torch.optim.SGD(network.parameters(), 0.02, momentum=0.9, weight_decay=2e-4, fused=True)

    def loss_of(images: Tensor, labels: Tensor) -> Tensor:
        return F.cross_entropy(30 * network(images), labels)

    forward = torch.compile(loss_of, dynamic=False) if compiled else loss_of

    def run(steps: int) -> None:
        for _ in range(steps):
            loss = forward(x, target)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()

    return run


def training(
    data: LongTailed, precision: str, batch_size: int, steps: int, repeats: int, compiled: bool
) -> Timings:
    """A step of stage one: our loop, the bare step, the usual loop without and with two worker processes."""
    ours, bare = (loop(data, precision, batch_size, compiled) for loop in (our_loop, bare_loop))
    loops = {f"usual, {workers} workers": usual.UsualLoop(data, batch_size, workers) for workers in (0, 2)}
    contestants = {"gclib": lambda: train(ours, steps), "bare": lambda: bare(steps)}
    contestants |= {name: lambda loop=loop: loop.steps(steps) for name, loop in loops.items()}
    return interleave(contestants, repeats, steps)


def compiled(
    data: LongTailed, precision: str, batch_size: int, steps: int, repeats: int
) -> tuple[Timings, float]:
    """A step of our loop with and without `torch.compile`; and the seconds until the first compiled step is done.

    Raises
    ------
    UserError
        If torch has nothing to compile with.
    """
    if not can_compile():
        raise UserError("torch.compile: skipped, it needs a C++ compiler and Python's headers")
    plain, compiled = (our_loop(data, precision, batch_size, choice) for choice in (False, True))
    torch.compiler.config.force_disable_caches = (
        True  # what was compiled before would count as fast compiling
    )
    begun = time.perf_counter()
    train(compiled, 1)
    seconds = time.perf_counter() - begun
    contestants = {"gclib": lambda: train(plain, steps), "compiled": lambda: train(compiled, steps)}
    return interleave(contestants, repeats, steps), seconds


def losses(num_classes: int, batch_size: int, calls: int, repeats: int) -> Timings:
    """Forward and backward of one loss; with mixup a step has two, "a step's two" draws for them as well."""
    counts = np.maximum(1, 1000 * 500.0 ** -np.linspace(0, 1, num_classes)).astype(int)
    generator = torch.Generator().manual_seed(0)
    cosine = torch.rand(batch_size, num_classes, generator=generator).mul_(2).sub_(1).requires_grad_()
    target = torch.randint(0, num_classes, (batch_size,), generator=generator)
    gcl, masked = GCLLoss(counts), usual.UsualGCLLoss(counts)
    noise = gcl.draw(cosine.shape, generator)

    def time_of(loss: Callable[[], Tensor]) -> Callable[[], None]:
        def run() -> None:
            for _ in range(calls):
                cosine.grad = None
                loss().backward()

        return run

    def two() -> Tensor:
        draws = gcl.draw((batch_size, 2, num_classes), generator)
        return torch.lerp(*(gcl(cosine, target, draws[:, view]) for view in (0, 1)), 0.5)

    contestants = {
        "cross-entropy": time_of(lambda: F.cross_entropy(cosine, target)),
        "GCL, noise given": time_of(lambda: gcl(cosine, target, noise)),
        "GCL, with its draw": time_of(lambda: gcl(cosine, target, gcl.draw(cosine.shape, generator))),
        "GCL, a step's two": time_of(two),
        "GCL, usual": time_of(lambda: masked(cosine, target)),
    }
    return interleave(contestants, repeats, calls)


def inaturalist_labels() -> np.ndarray:
    """Labels in random order: as many images and classes as iNaturalist 2018, and its largest and smallest class."""
    total, num_classes, most, fewest = INATURALIST
    position = np.linspace(0, 1, num_classes)

    def counts_at(bend: float) -> np.ndarray:
        return (most * (most / fewest) ** -(position**bend)).round().astype(int)

    low, high = 0.01, 1.0
    for _ in range(50):  # the bend of the curve that gives the total, or a few images less
        middle = (low + high) / 2
        low, high = (low, middle) if counts_at(middle).sum() > total else (middle, high)
    counts = counts_at(low)
    counts[1 : 1 + total - counts.sum()] += 1
    return np.random.default_rng(0).permutation(np.repeat(np.arange(num_classes), counts))


def ready(labels: np.ndarray) -> tuple[sampling.ClassIndex, np.ndarray]:
    """Class statistics as GCL needs them: counts, images by class, cloud sizes, CBEN's probabilities."""
    index = sampling.ClassIndex.from_labels(labels, INATURALIST[1])
    cloud_sizes(index.counts)
    return index, sampling.class_probabilities(index.counts, "cben")


def sampler(labels: np.ndarray, repeats: int) -> tuple[Timings, Timings]:
    """Class statistics until all is ready, and an epoch's indices."""
    listed = labels.tolist()
    statistics = {
        "gclib": lambda: ready(labels),
        "usual": lambda: usual.image_weights(listed, INATURALIST[1]),
    }
    index, probabilities = ready(labels)
    weights = torch.tensor(usual.image_weights(listed, INATURALIST[1]), dtype=torch.float64)
    generator = torch.Generator().manual_seed(0)
    epoch = {
        "gclib": lambda: sampling.epoch_indices(index, probabilities, len(labels), generator),
        "usual": lambda: usual.multinomial_indices(weights),
    }
    return interleave(statistics, repeats), interleave(epoch, repeats)


def memory() -> float:
    """MB that class statistics and an epoch's indices take at their peak, in a process of their own."""
    with ProcessPoolExecutor(1, get_context("spawn")) as pool:
        return pool.submit(_memory).result()


def _memory() -> float:
    labels = inaturalist_labels()
    before = _resident("VmRSS")
    index, probabilities = ready(labels)
    sampling.epoch_indices(index, probabilities, len(labels), torch.Generator().manual_seed(0))
    return _resident("VmHWM") - before


def _resident(field: str) -> float:
    """MB of this process now (VmRSS) or at its peak (VmHWM); where /proc is missing, at its peak for both."""
    import resource

    try:
        status = Path("/proc/self/status").read_text()
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6  # bytes on a Mac
    # Not ru_maxrss: on Linux a new process inherits the peak of the one that started it.
    return int(status.split(f"{field}:")[1].split()[0]) * 1024 / 1e6
