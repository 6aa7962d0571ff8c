"""torchvision's ResNets for photos, with the classifiers of this package."""

from collections import OrderedDict

from torch import nn

from gclib.networks.base import Network, TwoTails
from gclib.networks.norms import BatchNorm

__all__ = ["PhotoResNet", "TwoTailPhotoResNet"]


class PhotoResNet(Network):
    """One of torchvision's ResNets, for images of any size; its layers stand below ``embedding`` under their own names.

    Parameters
    ----------
    name
        As torchvision calls it, such as ``"resnet50"``.
    num_classes
        Number of classes C.
    head
        One of `gclib.networks.CLASSIFIERS`.
    """

    def __init__(self, name: str, num_classes: int, head: str) -> None:
        super().__init__()
        from torchvision.models import get_model  # takes a second

        whole = get_model(name, norm_layer=BatchNorm)
        self.num_features = whole.fc.in_features
        layers = OrderedDict((name, layer) for name, layer in whole.named_children() if name != "fc")
        self.embedding = nn.Sequential(layers)
        self.head = self.make_head(num_classes, head)

    def row(self) -> list[nn.Module]:
        """As of any network; the last block is the last of ``layer4``."""
        *first, layer4, pool = self.embedding
        return [*first, *layer4.children(), pool]


class TwoTailPhotoResNet(TwoTails, PhotoResNet):
    """One of torchvision's ResNets with two tails, its feature twice as long.

    Parameters
    ----------
    name, num_classes, head
        See `PhotoResNet`.
    """

    def __init__(self, name: str, num_classes: int, head: str) -> None:
        super().__init__(name, num_classes, head)
        self.add_tail(num_classes, head)
