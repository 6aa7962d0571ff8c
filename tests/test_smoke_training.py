"""What the smoke runs of the book must show: stage two of GCL lifts the tail of the digits above cross-entropy's."""

from pathlib import Path

import numpy as np
import pytest
from training import no_fingerprint

from gclib import data, recipes, train


def test_tail_accuracy_of_gcl_is_above_that_of_cross_entropy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(train, "fingerprint", no_fingerprint)
    digits = data.load("digits", 20)
    few = {
        name: [
            train.fit(
                recipes.get(name).resolve(digits, "smoke"), digits, seed=seed, device="cpu", workdir=tmp_path
            ).clean.few
            for seed in range(3)
        ]
        for name in ("ce", "gcl-official")
    }
    print(few)
    assert np.mean(few["gcl-official"]) > np.mean(few["ce"]), few
