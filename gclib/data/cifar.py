"""CIFAR-10 and CIFAR-100 from their official files, which are checked before anything of them is read."""

import hashlib
import io
import pickle
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from gclib.errors import UserError

__all__ = ["CIFAR10", "CIFAR100", "SIDE", "Files"]

SIDE = 32  # pixels


@dataclass(frozen=True)
class Files:
    """Where the images, labels and class names of one of the two lie, and the SHA-256 of each file as published.

    Published are MD5s, which the files have that these were computed of; SHA-256 is the safer, and the faster where the
    processor computes it.

    Attributes
    ----------
    name
        As torchvision calls it.
    archive, folder
        What is downloaded, and the folder in it.
    labels, class_names
        Keys under which the files hold them.
    train, test, meta
        Files of the training images, of the test images, and of the class names, with their SHA-256.
    """

    name: str
    archive: str
    folder: str
    labels: str
    class_names: str
    train: dict[str, str]
    test: dict[str, str]
    meta: dict[str, str]

    def read(
        self, root: Path, download: bool
    ) -> tuple[tuple[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray], tuple[str, ...]]:
        """Read training images and labels, test images and labels, and class names.

        Parameters
        ----------
        root
            Folder that holds `folder`.
        download
            Whether torchvision may download what is missing or altered.

        Raises
        ------
        UserError
            If a file is missing or altered, and is not to be had.
        """
        try:
            return self._read(root)
        except OSError as error:
            if not download:
                raise UserError(self._missing(root, error)) from error
        try:
            import torchvision.datasets  # takes two seconds to load, which reading does not need

            getattr(torchvision.datasets, self.name)(root, download=True)
            return self._read(root)
        except Exception as error:
            raise UserError(self._missing(root, error)) from error

    def prove(self, root: Path) -> None:
        """Compare every file with its SHA-256: then the images are the published ones, and need not be read.

        Raises
        ------
        UserError
            If a file is missing or altered.
        """
        try:
            for name, digest in (self.train | self.test | self.meta).items():
                path = root / self.folder / name
                with path.open("rb") as file:
                    if hashlib.file_digest(file, "sha256").hexdigest() != digest:
                        raise AlteredError(path)
        except OSError as error:
            raise UserError(self._missing(root, error)) from error

    def _read(
        self, root: Path
    ) -> tuple[tuple[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray], tuple[str, ...]]:
        train, test, (meta,) = (
            [_contents(root / self.folder / name, digest) for name, digest in files.items()]
            for files in (self.train, self.test, self.meta)
        )
        return (
            self._images(train),
            self._images(test),
            tuple(name.decode() for name in meta[self.class_names]),
        )

    def _images(self, parts: list[dict[str, Any]]) -> tuple[np.ndarray, np.ndarray]:
        pixels = np.concatenate([part["data"] for part in parts]).reshape(-1, 3, SIDE, SIDE)
        labels = np.concatenate([part[self.labels] for part in parts])
        return pixels.transpose(0, 2, 3, 1), labels.astype(np.int64)

    def _missing(self, root: Path, error: Exception) -> str:
        state = "altered or incomplete" if (root / self.folder).exists() else "missing"
        return (
            f"{self.name} is {state} in {root} ({type(error).__name__}); either run "
            f"`gcl data fetch {self.name.lower()}` with a network, or unpack the official {self.archive} there, "
            f"or set GCLIB_DATA to a folder that holds {self.folder}/"
        )


class AlteredError(OSError):
    """A file is not the published one."""


def _contents(path: Path, digest: str) -> dict[str, Any]:
    content = path.read_bytes()
    if hashlib.sha256(content).hexdigest() != digest:
        raise AlteredError(path)
    # As text, which Python 2 did not tell from bytes, pixels would be decoded and encoded again.
    found = _Arrays(io.BytesIO(content), encoding="bytes").load()
    return {key.decode(): value for key, value in found.items()}


class _Arrays(pickle.Unpickler):
    """Takes NumPy arrays and plain values, and nothing else."""

    def find_class(self, module: str, name: str) -> Any:
        if (module.split(".")[0], name) not in (
            ("numpy", "ndarray"),
            ("numpy", "dtype"),
            ("numpy", "_reconstruct"),
        ):
            raise pickle.UnpicklingError(f"{module}.{name} is no part of an array")
        return super().find_class(module, name)


CIFAR10 = Files(
    "CIFAR10",
    "cifar-10-python.tar.gz",
    "cifar-10-batches-py",
    "labels",
    "label_names",
    {
        "data_batch_1": "54636561a3ce25bd3e19253c6b0d8538147b0ae398331ac4a2d86c6d987368cd",
        "data_batch_2": "766b2cef9fbc745cf056b3152224f7cf77163b330ea9a15f9392beb8b89bc5a8",
        "data_batch_3": "0f00d98ebfb30b3ec0ad19f9756dc2630b89003e10525f5e148445e82aa6a1f9",
        "data_batch_4": "3f7bb240661948b8f4d53e36ec720d8306f5668bd0071dcb4e6c947f78e9682b",
        "data_batch_5": "d91802434d8376bbaeeadf58a737e3a1b12ac839077e931237e0dcd43adcb154",
    },
    {"test_batch": "f53d8d457504f7cff4ea9e021afcf0e0ad8e24a91f3fc42091b8adef61157831"},
    {"batches.meta": "f962466ef690d46b226450fb9aadc74ba4bc64a76aa526b5827fe4bc5c7125cb"},
)
CIFAR100 = Files(
    "CIFAR100",
    "cifar-100-python.tar.gz",
    "cifar-100-python",
    "fine_labels",
    "fine_label_names",
    {"train": "735e79b04f092ca3d2e6d07f368c0a7d70d48c48d28865950cc24454cf45129b"},
    {"test": "4b67687d9933c4db8f0831104447f15b93774f4f464bd0516f0f0f2ac83b7864"},
    {"meta": "a5d4786345c961390f865e93b434dbd5c6904ce880667e0cb888c97d449f28b9"},
)
