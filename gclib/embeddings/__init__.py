"""Embeddings of a few images of each class, small enough to lie beside a run's record.

``python -m gclib.embeddings RECORD...`` makes them from the stage-one weights beside the records, in under a
minute each for CIFAR-10: ``seed0.json`` gets ``seed0.embedding.npz``. `gclib.embeddings.pretrained` keeps those of a
whole data set, of a network that was trained elsewhere.
"""

from gclib.embeddings.embedding import Embedding, embed, subset, tsne
from gclib.embeddings.files import SUFFIX, check, find, load, make, save

__all__ = ["SUFFIX", "Embedding", "check", "embed", "find", "load", "make", "save", "subset", "tsne"]
