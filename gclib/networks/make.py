"""Networks by name: how each is made."""

from collections.abc import Callable
from functools import partial

from gclib.data import NETWORKS
from gclib.errors import require_one_of
from gclib.networks.base import Network
from gclib.networks.lite import EfficientNetLite0, TwoTailEfficientNetLite0
from gclib.networks.photo import PhotoResNet, TwoTailPhotoResNet
from gclib.networks.resnet import TWO_TAILS, resnet32

__all__ = ["make_network"]


def make_network(name: str, num_classes: int, head: str) -> Network:
    """Make a network with new weights.

    Parameters
    ----------
    name
        One of `gclib.data.NETWORKS`.
    num_classes
        Number of classes C.
    head
        One of `gclib.networks.CLASSIFIERS`, perhaps behind ``"two-tail-"``.

    Raises
    ------
    UserError
        For an unknown network or head.
    """
    require_one_of("network", name, NETWORKS)
    if name == "resnet32":
        return resnet32(num_classes, head)
    two = head.startswith(TWO_TAILS)
    makes: Callable[[int, str], Network] = TwoTailEfficientNetLite0 if two else EfficientNetLite0
    if name != "efficientnet-lite0":
        makes = partial(TwoTailPhotoResNet if two else PhotoResNet, name)
    return makes(num_classes, head.removeprefix(TWO_TAILS))
