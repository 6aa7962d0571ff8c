"""The training wing: from a resolved recipe and data to a run record, on one device or many runs side by side.

What it offers is loaded when it is asked for: plans of runs are read without torch.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gclib.train.kept import keep, require_keepable, stage_one_weights
    from gclib.train.runs import command, finish, fit, fit_first_stage, network_weights

__all__ = [
    "command",
    "finish",
    "fit",
    "fit_first_stage",
    "keep",
    "network_weights",
    "require_keepable",
    "stage_one_weights",
]


def __dir__() -> list[str]:
    return __all__


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from gclib.train import kept, runs

    return getattr(kept if name in kept.__all__ else runs, name)
