"""What every network is to the rest: an embedding that ends in the mean over the map, and a classifier behind it."""

import math
from contextlib import AbstractContextManager
from copy import deepcopy
from typing import Any

import torch
from torch import Tensor, nn

from gclib.errors import require_one_of, require_range
from gclib.networks.heads import CLASSIFIERS

__all__ = ["Network", "TwoTails"]


class Network(nn.Module):
    """Base of all networks: `features` gives the embedding, `head` the logits or cosines."""

    num_features: int
    embedding: nn.Sequential
    head: Any
    # Whether the embedding computes in bfloat16. The classifier never does: with 8 bits, cosines near each other tie.
    in_bfloat16 = False
    # Whether the weights are cast to it all at once.
    casts_together = False

    def make_head(self, num_classes: int, head: str) -> nn.Module:
        """Make one of `CLASSIFIERS` of the network's features.

        Raises
        ------
        UserError
            If there is none of that name, or no class.
        """
        require_one_of("head", head, CLASSIFIERS)
        require_range(1, math.inf, num_classes=num_classes)
        return CLASSIFIERS[head](self.num_features, num_classes)

    def row(self) -> list[nn.Module]:
        """Return the embedding module by module; the last two are the last block and the mean over the map."""
        return list(self.embedding)

    def map_size(self, height: int, width: int) -> tuple[int, int]:
        """Height and width of the map that is averaged, for images of ``height`` x ``width`` pixels."""
        weight = next(self.parameters())
        x = torch.zeros(1, 3, height, width, dtype=weight.dtype, device=weight.device)
        training = self.training
        self.eval()
        with torch.no_grad():
            for module in self.row()[:-1]:
                x = module(x)
        self.train(training)
        return x.shape[2], x.shape[3]

    def kept(self, trains: str) -> list[nn.Module]:
        """Return the modules that stay as they are where ``"all"``, the ``"last-block"`` or the ``"head"`` learns.

        The head learns with the last block. What stays keeps its batch-norm statistics too.
        """
        row = self.row()
        return {"all": [], "last-block": row[:-2], "head": row}[trains]

    def last_block(self) -> set[str]:
        """Names of the weights of the embedding's last block."""
        block = self.row()[-2]
        own = {id(value) for value in (*block.parameters(), *block.buffers())}
        named = (*self.embedding.named_parameters("embedding"), *self.embedding.named_buffers("embedding"))
        return {name for name, value in named if id(value) in own}

    def start_from(self, weights: dict[str, Tensor]) -> None:
        """Load weights: all of them, or those of an embedding, perhaps without its last block.

        What has none stays as it was made: the classifier, the last block.
        """
        missing, unexpected = self.load_state_dict(weights, strict=False)
        lacking = set(missing) - (self.last_block() if self.last_block() <= set(missing) else set())
        if unexpected or any(name.startswith("embedding.") or "head.weight" in weights for name in lacking):
            raise ValueError(f"weights of another network: {[*missing, *unexpected][:3]}")

    def autocast(self, images: Tensor, *modules: nn.Module) -> AbstractContextManager:
        """What everything up to the feature is computed in; `modules` are those that compute it, if only ours do."""
        return torch.autocast(images.device.type, torch.bfloat16, enabled=self.in_bfloat16)

    def features(self, images: Tensor) -> Tensor:
        """Embedding ``(B, d)`` of images ``(B, 3, H, W)``, of their dtype; of features, the features themselves."""
        if images.ndim == 2:
            return images
        with self.autocast(images, self.embedding):
            return self.embedding(images).flatten(1).to(images.dtype)

    def forward(self, images: Tensor) -> Tensor:
        """Logits (linear head) or cosines (cosine head), shape ``(B, C)``."""
        return self.head(self.features(images))


class TwoTails(Network):
    """Network whose last block is there twice (BBN, Zhou et al., CVPR 2020); the feature has both, side by side."""

    second_tail: nn.Module

    def add_tail(self, num_classes: int, head: str) -> None:
        """Draw a second last block, and a classifier of both."""
        self.second_tail = deepcopy(self.row()[-2])
        for module in self.second_tail.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out")
        self.num_features *= 2
        self.head = self.make_head(num_classes, head)

    def kept(self, trains: str) -> list[nn.Module]:
        """As of any network; both last blocks are one."""
        return [*super().kept(trains), *([self.second_tail] if trains == "head" else [])]

    def start_from(self, weights: dict[str, Tensor]) -> None:
        """As any network; of an embedding's weights both tails take those of its last block."""
        super().start_from(weights)
        if "head.weight" not in weights and self.last_block() & weights.keys():
            self.second_tail.load_state_dict(self.row()[-2].state_dict())

    def tail(self, images: Tensor, second: bool) -> Tensor:
        """Feature ``(B, d / 2)`` of one tail."""
        *shared, first, pool = self.row()
        block = self.second_tail if second else first
        with self.autocast(images, *shared, block):
            x = images
            for module in [*shared, block, pool]:
                x = module(x)
            return x.flatten(1).to(images.dtype)

    def features(self, images: Tensor) -> Tensor:
        """Both tails' features side by side, ``(B, d)``."""
        if images.ndim == 2:
            return images
        *shared, first, pool = self.row()
        with self.autocast(images, self.embedding, self.second_tail):
            x = images
            for module in shared:
                x = module(x)
            return (
                torch.cat([pool(block(x)) for block in (first, self.second_tail)], dim=1)
                .flatten(1)
                .to(images.dtype)
            )
