"""Mutated, forged and damaged records: refused by field, or valid, nothing else."""

import copy
import json
import tempfile
from pathlib import Path

from factories import RECORD
from hypothesis import given, settings
from hypothesis import strategies as st

from gclib.errors import one_line
from gclib.records import (
    RecordError,
    RunRecord,
    content_hash,
    load,
    results_path,
    show,
)

DOCUMENT = RECORD.model_dump(mode="json")


def places(value, keys=()):
    """Paths to all values of a JSON document."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in inner:
        yield (*keys, key)
        yield from places(item, (*keys, key))


PLACES = list(places(DOCUMENT))
# As many from each top-level field: most values of a record are numbers of its stages.
PLACE = st.one_of([st.sampled_from([keys for keys in PLACES if keys[0] == field]) for field in DOCUMENT])
TEXT = st.text(st.characters(), max_size=5)  # lone surrogates too, which JSON can hold and no terminal prints
SCALAR = st.none() | st.booleans() | st.integers() | st.floats() | TEXT
VALUE = st.recursive(
    SCALAR,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
)


@st.composite
def mutations(draw):
    """A mutated document and the top-level field where it was mutated."""
    document = copy.deepcopy(DOCUMENT)
    *parents, key = draw(PLACE)
    node = document
    for parent in parents:
        node = node[parent]
    match draw(st.sampled_from(["drop", "replace", "nudge", "insert", "wrap", "copy"])):
        case "drop":
            del node[key]
        case "replace":
            node[key] = draw(VALUE)
        case "nudge" if isinstance(node[key], int | float):
            node[key] = draw(st.sampled_from([node[key] + 1, node[key] * 1.001, -node[key], str(node[key])]))
        case "insert" if isinstance(node, dict):
            key = draw(TEXT.filter(lambda name: name not in node))
            node[key] = draw(VALUE)
        case "wrap":
            node[key] = [node[key]]
        case _:
            keys = draw(PLACE)
            value = DOCUMENT
            for step in keys:
                value = value[step]
            node[key] = copy.deepcopy(value)
    return document, str(parents[0] if parents else key)


def load_bytes(content):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "record.json")
        path.write_bytes(content)
        try:
            return load(path)
        except RecordError as error:
            message = str(error)
            assert message.startswith(f"{path}: ")
            assert len(message.splitlines()) == 1
            message.encode()
            return message.removeprefix(f"{path}: ")


PROPERTY = settings(max_examples=300, deadline=None, derandomize=True)


@PROPERTY
@given(mutations())
def test_a_mutated_record_is_refused_by_field_or_means_the_same(mutation):
    document, field = mutation
    result = load_bytes(json.dumps(document).encode())
    if isinstance(result, RunRecord):
        assert result == RECORD
    else:
        # NaN and Infinity are no JSON, so that no field is reached.
        shown = one_line(field)
        assert shown in result or result.startswith("is not JSON (")


@PROPERTY
@given(mutations())
def test_a_forged_record_is_refused_or_valid(mutation):
    """With its digests made anew, what loads is a record that can be saved and loaded like any other."""
    document, _ = mutation
    try:
        document["identity"] = content_hash({key: document[key] for key in ("recipe", "data", "seed")})
        document["digest"] = {key: content_hash(document[key]) for key in document if key != "digest"}
    except (KeyError, ValueError):
        return
    result = load_bytes(json.dumps(document).encode())
    if isinstance(result, RunRecord):
        assert load_bytes(json.dumps(result.model_dump(mode="json")).encode()) == result
        assert show(result)
        assert results_path(result, "x").parts[:2] == ("x", result.scale)


@PROPERTY
@given(st.data())
def test_damaged_bytes_are_refused_or_mean_the_same(data):
    content = bytearray(json.dumps(DOCUMENT).encode())
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(content) - 1))
        match data.draw(st.sampled_from(["flip", "overwrite", "cut", "remove", "truncate"])):
            case "flip":
                content[at] ^= 1 << data.draw(st.integers(0, 7))
            case "overwrite":
                content[at] = data.draw(st.sampled_from(b'{}[]",:0 \\-e.n'))
            case "cut":
                del content[at : at + data.draw(st.integers(1, 200))]
            case "remove":
                del content[at]
            case _:
                del content[max(at, 1) :]
        content = content or bytearray(b" ")
    result = load_bytes(bytes(content))
    if isinstance(result, RunRecord):
        assert result == RECORD
    else:
        assert any(name in result for name in DOCUMENT) or result.startswith("is not ")
