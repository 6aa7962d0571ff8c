"""How many photographs a second a device trains and tests: bare steps of a network on random images, for a price."""

import json
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F

from gclib.files import require_writable, write_atomically
from gclib.grid.bench.probe import report_path
from gclib.networks import Network, make_network
from gclib.train.environment import device_name

__all__ = ["photographs"]

TRAINING_SHARE = 0.7  # of the time
WARM_UP, CHUNK = 3, 5  # steps before the clock runs, and between two looks at it
CLASSES = 1000


def photographs(
    device: torch.device, network: str, seconds: float, folder: Path, batch: int = 256, side: int = 224
) -> tuple[dict[str, Any], Path]:
    """Measure a device, and write what came out as JSON for `gclib.grid.rates_of`.

    Parameters
    ----------
    device
        A GPU computes in bfloat16, as runs do there; a CPU only rehearses.
    network
        One of `gclib.data.NETWORKS`.
    seconds
        Time that the steps take, > 0; some more goes into warming up.
    folder
        Where the report goes, named for the device.
    batch
        Images of a step at most; halved until it fits into the memory.
    side
        Pixels a side.

    Returns
    -------
    tuple of dict and Path
        ``device``, ``network``, ``trained`` and ``tested`` (images a second), ``batch``, ``seconds``, ``date``; and
        the file.
    """
    name, model = device_name(device), make_network(network, CLASSES, "linear")
    require_writable(path := report_path(folder, name))
    while True:
        try:
            trained, tested = _rates(device, model, seconds, batch, side)
            break
        except torch.cuda.OutOfMemoryError:
            if batch == 1:
                raise
            batch //= 2
    report = {
        "device": name,
        "network": network,
        "trained": round(trained, 2),
        "tested": round(tested, 2),
        "batch": batch,
        "seconds": seconds,
        "date": datetime.now(UTC).date().isoformat(),
    }
    write_atomically(path, json.dumps(report, indent=1).encode() + b"\n")
    return report, path


def _rates(
    device: torch.device, network: Network, seconds: float, batch: int, side: int
) -> tuple[float, float]:
    model = network.train().to(device).to(memory_format=torch.channels_last)
    model.in_bfloat16 = device.type == "cuda"
    images = torch.randn(batch, 3, side, side, device=device).to(memory_format=torch.channels_last)
    labels = torch.randint(CLASSES, (batch,), device=device)
    optimizer = torch.optim.SGD(model.parameters(), 0.1, 0.9)

    def train() -> None:
        optimizer.zero_grad()
        F.cross_entropy(model(images), labels).backward()
        optimizer.step()

    @torch.no_grad()
    def test() -> None:
        model(images)

    trained = _rate(train, batch, TRAINING_SHARE * seconds, device)
    model.eval()
    return trained, _rate(test, batch, (1 - TRAINING_SHARE) * seconds, device)


def _rate(step: Callable[[], None], batch: int, seconds: float, device: torch.device) -> float:
    def wait() -> float:
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        return time.perf_counter()

    for _ in range(WARM_UP):
        step()
    steps, begun = 0, wait()
    while True:
        for _ in range(CHUNK):
            step()
        steps += CHUNK
        if (passed := wait() - begun) >= seconds:
            return steps * batch / passed
