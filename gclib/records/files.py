"""Run records as files: where each lies, saved whole or not at all, loaded whole or refused."""

import hashlib
import json
import os
import re
import reprlib
import unicodedata
from collections import Counter
from dataclasses import dataclass
from functools import lru_cache
from itertools import count
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from gclib.errors import UserError, nearest
from gclib.files import home_expanded, write_atomically
from gclib.records.fields import canonical, content_hash, text_hash
from gclib.records.schema import RunRecord

NAMES = re.compile(r"seed.*\.json|record\.json")  # of records: in `results/`, and in the folder of a run
REPEAT = re.compile(r"seed\d+-repeat(\d{1,9})\.json")
MAX_BYTES = 16_000_000  # of a file that is looked into at all; 8,142 classes take about 0.5 MB


class RecordError(UserError):
    """A file is no valid run record. The message names the file and the field."""

    def __init__(self, path: Path, complaint: str) -> None:
        super().__init__(f"{path}: {complaint}")


def results_path(record: RunRecord, root: str | Path = "results") -> Path:
    """Return where a record belongs: ``<root>/<scale>/<dataset>-ir<ratio>/<recipe>/seed<k>.json``."""
    return Path(root, place(record.scale, record.data.name, record.data.ratio, record.name, record.seed))


def repeat_path(first: Path) -> Path:
    """Return where the next repeat of a run belongs: beside its first record, ``seed<k>-repeat<n>.json``, n from 1.

    A run that is made again, with the same recipe, data and seed on another device, is a repeat and no other seed: its
    record has the same identity.
    """
    names = (first.with_stem(f"{first.stem}-repeat{n}") for n in count(1))
    return next(path for path in names if not path.exists())


def place(scale: str, dataset: str, ratio: float | None, recipe: str, seed: int) -> Path:
    """Return where the record of a run belongs, made or not, below the folder of records (see `results_path`)."""
    imbalance = "full" if ratio is None else f"{ratio:.12g}"
    return Path(scale, f"{_folder(dataset)}-ir{imbalance}", _folder(recipe), f"seed{seed}.json")


def _folder(name: str) -> str:
    """Name of a folder: of a plain name itself, of another one readable letters of any script and a hash.

    No two names share one, also on a file system that ignores case, forms of accents, or dots at the end.
    """
    if re.fullmatch(r"[a-z0-9]+([._+-][a-z0-9]+)*", name):
        return name
    letters = re.sub(r"[\W_]+", "-", unicodedata.normalize("NFC", name).lower()).strip("-")
    # The end of a path says more than its beginning. A letter may take four of the 255 bytes that a name has.
    return f"{letters[-40:].strip('-')}-{hashlib.sha256(name.encode()).hexdigest()[:8]}".lstrip("-")


def require_room(path: Path, force: bool = False) -> None:
    """Raise the UserError of `save` where a record is there already."""
    if path.exists() and not force:
        raise UserError(
            f"{path} is there already; replace it with -p keep replace, put a run made again beside it with "
            "-p keep repeat, or choose another place"
        )


def save(record: RunRecord, path: str | Path, force: bool = False) -> None:
    """Write a record, whole or not at all.

    Parameters
    ----------
    record
        Record to write.
    path
        File to write; missing folders are made.
    force
        Whether an existing file may be replaced.

    Raises
    ------
    UserError
        If the file exists and `force` is not set, or if it cannot be written.
    RecordError
        If the record was changed after it was made, so that it would not load.
    """
    path = Path(path)
    require_room(path, force)
    # A line for each field, in the form that its digest is of.
    lines = [f'"{name}":{canonical(value)}' for name, value in record.model_dump(mode="json").items()]
    content = ("{\n" + ",\n".join(lines) + "\n}\n").encode()
    parse(content, path)
    write_atomically(path, content)


def load(path: str | Path) -> RunRecord:
    """Read a record and check all of it.

    Raises
    ------
    RecordError
        If the file cannot be read or is no valid record; the message names the file and the field.
    """
    path = Path(path)
    try:
        if path.is_dir():
            raise RecordError(
                path, "a folder, expected the file of one record; `gcl records list FOLDER` shows them"
            )
        if not path.is_file():
            raise RecordError(path, "no such file; `gcl records list` shows the records there are")
        if path.stat().st_size > MAX_BYTES:
            raise RecordError(path, f"is no run record: larger than {MAX_BYTES} bytes")
        content = path.read_bytes()
    except (OSError, ValueError) as error:
        raise RecordError(path, f"cannot be read ({error})") from None
    return parse(content, path)


def find(
    root: str | Path = "results",
    *,
    scale: str | None = None,
    dataset: str | None = None,
    ratio: float | None = None,
    recipe: str | None = None,
    seed: int | None = None,
    repeats: bool = False,
) -> list[RunRecord]:
    """Load the records below a folder that have the values given, sorted by these five.

    Parameters
    ----------
    root
        Folder of records.
    scale, dataset, ratio, recipe, seed
        What a record must have; None takes any.
    repeats
        Whether records of runs made again are among them, behind the first of the same seed (see `repeat_path`).

    Raises
    ------
    RecordError
        If one of the files is no valid record.
    """
    wanted = (scale, dataset, ratio, recipe, seed)
    return [
        record
        for path, record in find_with_paths(root)
        if (repeats or not _repeat(path))
        and all(want is None or want == value for want, value in zip(wanted, _order(record), strict=True))
    ]


def find_with_paths(root: str | Path = "results") -> list[tuple[Path, RunRecord]]:
    """Load all records below a folder, repeats too, each with its file, in the order of `find`; errors as there."""
    found = [(path, load(path)) for path in paths(root)]
    return sorted(found, key=lambda pair: _order(pair[1]))


def _order(record: RunRecord) -> tuple[str, str, float, str, int]:
    return record.scale, record.data.name, record.data.ratio or 0.0, record.name, record.seed


def paths(root: str | Path) -> list[Path]:
    """Return the files of all records below a folder, those of runs made again last."""
    found = (Path(at, name) for at, _, names in os.walk(root) for name in names if NAMES.fullmatch(name))
    return sorted(found, key=lambda path: (_repeat(path), path.name == "record.json", path))


def _repeat(path: Path) -> int:
    """Which repeat of a run a file is, by its name; 0 for the first record of its seed."""
    found = REPEAT.fullmatch(path.name)
    return int(found[1]) if found else 0


def locate(reference: str, *roots: str | Path) -> Path:
    """Return the path of a record that is named by its path or by its identity.

    Parameters
    ----------
    reference
        Path of a record, or the identity that `gcl records show` prints.
    *roots
        Folders to look in for an identity, in this order.

    Raises
    ------
    UserError
        If no record below the folders has this identity.
    """
    if os.path.exists(reference) or not re.fullmatch("[0-9a-f]{16}", reference):
        return home_expanded(reference)
    wanted = f'"identity":"{reference}"'  # as `save` writes it: a damaged record beside it does not matter
    for path in (path for root in roots for path in paths(root)):
        if wanted in path.read_text(encoding="utf-8", errors="replace"):
            return path
    raise UserError(
        f"no record has the identity {reference}; give the path of a record, `gcl records list` shows them"
    )


@dataclass(frozen=True)
class _Repeated:
    """Stands for a JSON object that holds a key twice, so that it is refused where it lies."""

    key: str


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any] | _Repeated:
    document = dict(pairs)
    if len(document) == len(pairs):
        return document
    return _Repeated(Counter(key for key, _ in pairs).most_common(1)[0][0])


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is no JSON number")


def parse(content: bytes, path: Path) -> RunRecord:
    """Check the content of a record's file, as `load` does; `path` is what a RecordError names."""
    try:
        return _understood(content)
    except ValueError as error:
        raise RecordError(path, str(error)) from None


@lru_cache(maxsize=256)  # tables look at the same records again and again
def _understood(content: bytes) -> RunRecord:
    """Return the record that a file holds; a ValueError says what is wrong with it."""
    try:
        text = content.decode()
        document = json.loads(text, object_pairs_hook=_object, parse_constant=_refuse)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"is not JSON ({error})") from None
    if isinstance(document, _Repeated):
        raise ValueError(f"{document.key}: stands there twice")
    if not isinstance(document, dict):
        raise ValueError("is not a JSON object")
    given, digest = RunRecord.model_fields, document.pop("digest", None)
    hashed = digest if isinstance(digest, dict) else {}
    for name, field in given.items():
        if name not in document and (field.exclude_if is None or name in hashed):
            raise ValueError(f"{name}: is missing")
    for name in document:
        if name not in given:
            raise ValueError(f"{name}: is no field of a record{nearest(name, given)}")
    try:
        record = RunRecord.model_validate(document)
    except ValidationError as error:
        if not error.errors()[0]["loc"]:  # that a field was edited says more than what it contradicts now
            _check_digest(document, digest, text)
        raise ValueError(_complaint(error)) from None
    _check_digest(document, digest, text)
    return record


def _check_digest(document: dict[str, Any], digest: object, text: str) -> None:
    """Raise ValueError where the fields of a file are not those that its digest is of."""
    if digest is None:
        raise ValueError("digest: is missing")
    if isinstance(digest, _Repeated):
        raise ValueError(f"digest: holds the key {digest.key!r} twice")
    hashed = digest if isinstance(digest, dict) else {}
    if unmatched := ", ".join(sorted(hashed.keys() ^ document.keys())):
        raise ValueError(f"digest: expected one entry for each other field, and no more: {unmatched}")
    # As `save` writes a field, its text is what was hashed, which takes a twentieth of the time of making it again.
    lines = dict(line.split(":", 1) for line in text.split("\n") if ":" in line)
    for name, value in document.items():
        written = lines.get(f'"{name}"', "").removesuffix(",")
        if hashed[name] != text_hash(written) and hashed[name] != content_hash(value):
            raise ValueError(f"{name}: does not match its digest: it was edited or damaged")


def _complaint(error: ValidationError) -> str:
    """Return the first thing that is wrong, as ``field: what``."""
    first = error.errors(include_url=False)[0]
    place = first["loc"]
    if place[:1] == ("recipe",):
        place = (place[0], *place[1::2])  # inside free JSON, pydantic names the type after each key
    where = ".".join(map(str, place[:8]))
    what, given = first["msg"].removeprefix("Value error, "), first["input"]
    if isinstance(given, _Repeated):
        what = f"holds the key {given.key!r} twice"
    elif first["type"] == "extra_forbidden":
        what = "is no field of a record"
    elif first["type"] == "missing":
        what = "is missing"
    elif first["type"] != "value_error":
        what = f"{what}, got {reprlib.repr(given)}"
    return f"{where}: {what}" if where else what
