"""What the fields of records are made of: strict and rounded values, one base for all models, the hash of a content."""

import hashlib
import json
from datetime import datetime, timedelta
from functools import partial
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, JsonValue, Strict


def significant(value: float) -> float:
    """Round to the six digits that a record keeps of a number."""
    return float(f"{value:.6g}")


def _significant(values: tuple[float, ...]) -> tuple[float, ...]:
    """Round each as `significant` does, in one step for all."""
    return tuple(map(float, ("%.6g " * len(values) % values).split()))


def places(decimals: int) -> AfterValidator:
    """Round to so many decimals."""
    return AfterValidator(partial(round, ndigits=decimals))


def _rounded(values: tuple[float, ...], decimals: int) -> tuple[float, ...]:
    """Round each to so many decimals.

    What is read from a file is rounded already: a whole number divided by the power of ten, which is exact to the last
    bit. To see that takes a third of the time of rounding.
    """
    power = 10.0**decimals
    return tuple([v if (v * power + 0.5) // 1 / power == v else round(v, decimals) for v in values])


def _utc(value: str) -> str:
    if datetime.fromisoformat(value).utcoffset() != timedelta(0):
        raise ValueError("expected a time in UTC, for example 2026-01-31T12:00:00+00:00")
    return value


# Strict leaves: "1", True and 1.0 are not the integer 1. Numbers are rounded here, so a record has one form.
Text = Annotated[str, Strict(), Field(min_length=1)]
Hash = Annotated[str, Strict(), Field(pattern=r"^[0-9a-f]{16}$")]
Digest = Annotated[str, Strict(), Field(pattern=r"^[0-9a-f]{64}$")]
Time = Annotated[str, Strict(), AfterValidator(_utc)]
Count = Annotated[int, Strict(), Field(ge=1, le=10**9)]
Natural = Annotated[int, Strict(), Field(ge=0, le=2**63 - 1)]
Number = Annotated[float, Strict(), AfterValidator(significant)]
Percent = Annotated[float, Strict(), Field(ge=0, le=100), places(4)]
Share = Annotated[float, Strict(), Field(ge=0, le=1), places(6)]
# Columns, rounded as a whole: most of a record is in them.
Numbers = Annotated[tuple[Annotated[float, Strict()], ...], AfterValidator(_significant)]
Losses = Annotated[tuple[Annotated[float, Strict()], ...], AfterValidator(partial(_rounded, decimals=9))]
Percents = Annotated[
    tuple[Annotated[float, Strict(), Field(ge=0, le=100)], ...], AfterValidator(partial(_rounded, decimals=4))
]
Shares = Annotated[
    tuple[Annotated[float, Strict(), Field(ge=0, le=1)], ...], AfterValidator(partial(_rounded, decimals=6))
]
Seconds = Annotated[
    tuple[Annotated[float, Strict(), Field(ge=0)], ...], AfterValidator(partial(_rounded, decimals=3))
]


class Model(BaseModel):
    """Base of all that is recorded: frozen, an unknown field is an error, and so are NaN and the infinities."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False, defer_build=True)


def require(holds: bool, complaint: str) -> None:
    """Raise ValueError, which pydantic takes for a field that is wrong, where something does not hold."""
    if not holds:
        raise ValueError(complaint)


def _plain(value: object) -> JsonValue:
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json")
    raise TypeError(f"{type(value).__name__} has no JSON form")


def content_hash(value: object) -> str:
    """Return 16 hexadecimal digits of the SHA-256 of a value's canonical JSON.

    Parameters
    ----------
    value
        JSON value (dict, list, str, int, finite float, bool, None) or pydantic model, nested at will.

    Returns
    -------
    str
        Equal for equal values, whatever the order of keys. 1 and 1.0 differ.

    Raises
    ------
    ValueError, TypeError
        If the value holds NaN or an infinity, or something that is not JSON.
    """
    return text_hash(canonical(value))


def text_hash(text: str) -> str:
    """Return 16 hexadecimal digits of the SHA-256 of a text."""
    return hashlib.sha256(text.encode()).hexdigest()[:16]


canonical = json.JSONEncoder(sort_keys=True, separators=(",", ":"), allow_nan=False, default=_plain).encode
