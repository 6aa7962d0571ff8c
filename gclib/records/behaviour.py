"""Which records are stale: their fingerprints beside those of the code as it is, kept in one small file.

A fingerprint takes seconds, and a page has no time for one per record. So ``python -m gclib.train.fingerprint``
computes one for each recipe that has a record and leaves them in ``results/fingerprints.json``. Pages read that file;
a test computes all of it again.
"""

import json
from collections.abc import Iterable
from pathlib import Path

from gclib.errors import UserError
from gclib.records.fields import content_hash
from gclib.records.report import verify
from gclib.records.schema import RunRecord

__all__ = ["FINGERPRINTS", "fingerprints", "marks"]

FINGERPRINTS = "fingerprints.json"
STALE, UNCHECKED = "stale", "not checked"


def fingerprints(root: str | Path = "results") -> dict[str, list[list[float]]]:
    """Read what the code does today, for each recipe that has a record.

    Parameters
    ----------
    root
        Folder of the records.

    Returns
    -------
    dict
        Content hash of a resolved recipe to its losses, a list for each stage, and none for a recipe that is not
        today's. Empty if there is no file.

    Raises
    ------
    UserError
        If the file is damaged.
    """
    path = Path(root, FINGERPRINTS)
    if not path.is_file():
        return {}
    try:
        return {key: entry["losses"] for key, entry in json.loads(path.read_text(encoding="utf-8")).items()}
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise UserError(
            f"{path} cannot be read ({error!r}); python -m gclib.train.fingerprint writes it anew"
        ) from None


def marks(runs: Iterable[RunRecord], root: str | Path = "results") -> dict[str, str]:
    """Say which records no longer describe the code.

    Parameters
    ----------
    runs
        Records.
    root
        Folder that holds ``fingerprints.json``.

    Returns
    -------
    dict
        Identity to ``"stale"`` where the recipe is not today's, or where a loss of the fingerprint differs from that of
        the code of today, see `gclib.records.replay`; to ``"not checked"`` where the file does not know the recipe. A
        record that holds is left out.
    """
    today = fingerprints(root)
    found: dict[str, str] = {}
    for run in runs:
        losses = today.get(content_hash(run.recipe))
        if losses is None:
            found[run.identity] = UNCHECKED
        elif not losses or verify(run, losses):
            found[run.identity] = STALE
    return found
