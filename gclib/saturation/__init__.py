"""Where training images sit on the saturation curve, class by class, over the epochs of a run.

``python -m gclib.saturation RECIPE --data cifar10 --ratio 100`` trains the first stage of a recipe as every other
run does, and every fifth epoch also measures the target gradient :math:`g=1-p_y` of each training image, without
augmentation. Killed and started again, it goes on. What it finds is one small file under ``results/saturation/``.
Measuring, in `gclib.saturation.measuring`, loads torch; reading does not.
"""

from gclib.saturation.files import Saturation, difference, find, load, place, save

__all__ = [
    "Saturation",
    "difference",
    "find",
    "load",
    "place",
    "save",
]
