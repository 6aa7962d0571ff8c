"""The package behind the executable companion to Gaussian Clouded Logit Adjustment (GCL, CVPR 2022)."""

from importlib import import_module
from pathlib import Path
from typing import Any

__all__ = ["ROOT", "__version__", "load_classifier"]

__version__ = "0.1.0"

_beside = Path(__file__).resolve().parent.parent
ROOT = _beside if (_beside / "_toc.yml").is_file() else Path.cwd()
"""The checkout: notebooks, records and data lie there, whatever the working directory is.

Where the package was installed without one, the current folder stands for it: what is fetched and run is kept there.
"""


def __getattr__(name: str) -> Any:
    if name == "load_classifier":  # loaded when it is asked for: it needs torch
        return import_module("gclib.classifier").load_classifier
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
