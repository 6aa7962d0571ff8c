"""Photos in their files: decoding and cropping, the processes that do it, and a step of ResNet-50 through the loop."""

import tempfile
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch.utils.data import DataLoader

from benchmarks.timing import interleave
from benchmarks.usual import PILFiles, photo_transform
from gclib import recipes
from gclib.data import LongTailed, Split
from gclib.data.photos import Photos
from gclib.data.sources import PHOTOS
from gclib.methods.images import Cut
from gclib.methods.stage import Stage
from gclib.networks import make_network
from gclib.train.loop import DTYPES, Trainer
from gclib.train.making import draw_seed, make_stage
from gclib.train.streamed import Order, Streamed

__all__ = ["decoding", "photo_step"]

CPU = torch.device("cpu")
SIDE, SIZE, QUALITY = 224, (500, 375), 90  # pixels; most of ImageNet's photos have this size
Timings = dict[str, list[float]]


@contextmanager
def photos(count: int) -> Iterator[LongTailed]:
    """Cut photos of `SIZE` from the two that scikit-learn has, and save them as JPEG files of two classes."""
    from sklearn.datasets import load_sample_images

    wholes = [Image.fromarray(pixels) for pixels in load_sample_images().images]
    drawn = np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as folder:
        paths = [Path(folder, f"{number}.jpg") for number in range(count)]
        for number, path in enumerate(paths):
            left, top = drawn.integers(0, (640 - SIZE[0], 427 - SIZE[1]))
            image = wholes[number % 2].crop((left, top, left + SIZE[0], top + SIZE[1]))
            image.save(path, quality=QUALITY)
        labels = np.arange(count) % 2
        split = Split(Photos.of(paths, SIDE), labels)
        counts = np.bincount(labels)
        yield LongTailed("photos", None, split, split, counts, ("china", "flower"), PHOTOS, "")


def stage_of(data: LongTailed, network: str, batch_size: int) -> Stage:
    recipe = recipes.get("ce").resolve(data, "paper", batch_size=batch_size, network=network)
    return make_stage(recipe.stages[0], recipe.head, data, 0, 0, None, network)


def decoding(count: int, repeats: int) -> Timings:
    """An image decoded, cropped, flipped and normalised, the usual way and ours; and read by one process and by two."""
    batch = 32  # the smallest that a recipe takes for photos
    with photos(count) as data:
        draws = stage_of(data, "resnet32", batch).draw(torch.Generator().manual_seed(0))
        draws.colours = None  # the usual transforms have no jitter here
        cuts = [Cut(k, start, start + batch) for k, start in enumerate(range(0, count, batch))]

        def images(workers: int) -> Streamed:
            return Streamed(
                data.train.images, data.train.labels, data.augmentation, CPU, torch.float32, workers
            )

        alone = images(0)

        def ours() -> None:
            given = alone.begin(draws, cuts, None)
            for cut in cuts:
                alone.batch(given, torch.arange(cut.start, cut.stop), torch.tensor([cut.step]))

        def reading(workers: int) -> Callable[[], object]:
            readers, orders = images(workers), [Order(np.arange(cut.start, cut.stop)) for cut in cuts]
            return lambda: deque(readers.read(orders), maxlen=0)

        files = [data.train.images.path(number) for number in range(count)]
        loader = DataLoader(PILFiles(files, photo_transform(SIDE)), batch, shuffle=True)
        contestants = {"usual": lambda: deque(loader, maxlen=0), "gclib": ours}
        contestants |= {f"read by {workers}": reading(workers) for workers in (1, 2)}
        return interleave(contestants, repeats, count)


def photo_step(batch_size: int, steps: int, repeats: int, precision: str) -> Timings:
    """A step of ResNet-50 on photos: through the loop, and forward, backward and update alone on random numbers."""
    with photos(steps * batch_size) as data:
        trainer = Trainer(stage_of(data, "resnet50", batch_size), data, CPU, precision, draw_seed(0, 0))
        network = make_network("resnet50", 2, "linear").to(DTYPES[precision])
        network = network.to(memory_format=torch.channels_last)
        network.in_bfloat16 = precision == "bfloat16"
        images = torch.randn(batch_size, 3, SIDE, SIDE).to(memory_format=torch.channels_last)
        target = torch.arange(batch_size) % 2
        optimizer = torch.optim.SGD(network.parameters(), 0.02, momentum=0.9, weight_decay=2e-4, fused=True)

        def bare() -> None:
            for _ in range(steps):
                loss = F.cross_entropy(network(images), target)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()

        return interleave({"gclib": lambda: trainer.train_epoch(0), "bare": bare}, repeats, steps)
