"""Table 2 in miniature: classifiers of its methods on stored features of a pretrained network that stays as it is.

``python -m gclib.embeddings.pretrained`` passes the images of a data set through EfficientNet-Lite0 once and keeps
their features in a small file; `gclib.embeddings.pretrained.classifiers` trains on them, in seconds and without a
network or images. Reading features loads no torch.
"""

from gclib.embeddings.pretrained.features import FILE, Features, load, save, shortened

__all__ = ["FILE", "Features", "load", "save", "shortened"]
