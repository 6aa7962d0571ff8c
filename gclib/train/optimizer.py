"""What makes the step of a stage: SGD whose learning rates are tensors."""

from typing import Any

import torch

from gclib.methods.stage import Stage

__all__ = ["make_optimizer"]


def make_optimizer(stage: Stage, device: torch.device) -> torch.optim.Optimizer | None:
    """Make the optimiser of a stage on its device, with the rates at 0; None for a stage that trains nothing."""
    parameters: list[Any] = list(stage.parameter_groups())
    if not parameters:
        return None
    optimizer = torch.optim.SGD(
        parameters,
        # A tensor, filled in place between epochs: a captured step sees the new value.
        lr=torch.zeros((), device=device),
        momentum=stage.settings.momentum,
        weight_decay=stage.settings.weight_decay,
        nesterov=stage.settings.nesterov,
        fused=True,
    )
    for group in optimizer.param_groups:
        group["lr"] = torch.zeros((), device=device)  # torch gives all groups the one tensor
    return optimizer
