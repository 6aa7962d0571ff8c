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
    """Where the images, labels and class names of one of the two lie, and the MD5 of each file as published.

    Attributes
    ----------
    name
        As torchvision calls it.
    archive, folder
        What is downloaded, and the folder in it.
    labels, class_names
        Keys under which the files hold them.
    train, test, meta
        Files of the training images, of the test images, and of the class names, with their MD5.
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
        """Compare every file with its MD5: then the images are the published ones, and need not be read.

        Raises
        ------
        UserError
            If a file is missing or altered.
        """
        try:
            for name, md5 in (self.train | self.test | self.meta).items():
                path = root / self.folder / name
                with path.open("rb") as file:
                    if hashlib.file_digest(file, _md5).hexdigest() != md5:
                        raise AlteredError(path)
        except OSError as error:
            raise UserError(self._missing(root, error)) from error

    def _read(
        self, root: Path
    ) -> tuple[tuple[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray], tuple[str, ...]]:
        train, test, (meta,) = (
            [_contents(root / self.folder / name, md5) for name, md5 in files.items()]
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


def _md5(content: bytes = b"") -> Any:
    return hashlib.md5(content, usedforsecurity=False)


def _contents(path: Path, md5: str) -> dict[str, Any]:
    content = path.read_bytes()
    if _md5(content).hexdigest() != md5:
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
        "data_batch_1": "c99cafc152244af753f735de768cd75f",
        "data_batch_2": "d4bba439e000b95fd0a9bffe97cbabec",
        "data_batch_3": "54ebc095f3ab1f0389bbae665268c751",
        "data_batch_4": "634d18415352ddfa80567beed471001a",
        "data_batch_5": "482c414d41f54cd18b22e5b47cb7c3cb",
    },
    {"test_batch": "40351d587109b95175f43aff81a1287e"},
    {"batches.meta": "5ff9c542aee3614f3951f8cda6e48888"},
)
CIFAR100 = Files(
    "CIFAR100",
    "cifar-100-python.tar.gz",
    "cifar-100-python",
    "fine_labels",
    "fine_label_names",
    {"train": "16019d7e3df5f24257cddd939b257f8d"},
    {"test": "f0ef6b0ae62326f3e7ffdfab6717acfc"},
    {"meta": "7973b15100ade9c7d40fb424638fde48"},
)
