"""The weights of stage one beside a record: where they lie, and whether they are those that the record names."""

import hashlib
from pathlib import Path

from gclib.records.files import RecordError, load

# In the folder of a run.
RUN, RUN_WEIGHTS, CLASSIFIER = "record.json", "stage-one.safetensors", "classifier.safetensors"


def weights_path(record: str | Path) -> Path:
    """Return where the weights of a record lie, kept or not: beside it, in a run's folder under a name of their own."""
    path = Path(record)
    return path.with_name(RUN_WEIGHTS) if path.name == RUN else path.with_suffix(".safetensors")


def check_weights(weights: str | Path) -> None:
    """Refuse weights that are not those which the record beside them names.

    Parameters
    ----------
    weights
        A file as `weights_path` gives it. One that lies beside no record is nobody's: then there is nothing to check.

    Raises
    ------
    RecordError
        If the record names no weights or others, if it is no valid record, or if the weights cannot be read.
    """
    path = Path(weights)
    record = path.with_name(RUN) if path.name == RUN_WEIGHTS else path.with_suffix(".json")
    if not record.exists():
        return
    named = load(record).weights
    try:
        found = hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        raise RecordError(path, f"cannot be read ({error.strerror})") from None
    if found != named:
        names = f"names others ({named[:16]}...)" if named else "names none"
        raise RecordError(
            path,
            f"these weights ({found[:16]}...) are not those of {record.name}, which {names}; train it again",
        )
