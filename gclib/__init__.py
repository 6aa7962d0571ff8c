"""The package behind the executable companion to Gaussian Clouded Logit Adjustment (GCL, CVPR 2022)."""

from pathlib import Path

__version__ = "0.1.0"

ROOT = Path(__file__).resolve().parent.parent
"""The checkout: notebooks, records and data lie there, whatever the working directory is."""
