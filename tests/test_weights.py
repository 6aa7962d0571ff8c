"""Weights beside records: a record names them by their SHA-256, and nobody reads others."""

import hashlib
import json
from pathlib import Path

import pytest
import torch
from factories import make_record
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file
from training import few_digits, no_fingerprint, recipe

from gclib import ROOT, cli, data, embeddings, recipes, records, train
from gclib.errors import UserError
from gclib.networks import read_weights
from gclib.train import runs

SMOKE = ROOT / "results" / "smoke" / "digits-ir20" / "gcl-official" / "seed0.json"
WEIGHTS = records.weights_path(SMOKE)


@pytest.fixture
def beside(tmp_path: Path) -> Path:
    """Weights of the committed smoke run, beside its record, in a folder of results."""
    path = tmp_path / "results" / SMOKE.relative_to(ROOT / "results")
    path.parent.mkdir(parents=True)
    path.write_bytes(SMOKE.read_bytes())
    records.weights_path(path).write_bytes(WEIGHTS.read_bytes())
    return records.weights_path(path)


def test_every_committed_file_of_weights_is_named_by_its_record() -> None:
    found = sorted((ROOT / "results").rglob("*.safetensors"))
    assert found
    for path in found:
        records.check_weights(path)
        named = records.load(path.with_suffix(".json")).weights
        assert named == hashlib.sha256(path.read_bytes()).hexdigest(), path


def test_weights_lie_beside_the_record_also_in_the_folder_of_a_run(tmp_path: Path) -> None:
    assert records.weights_path("results/ce/seed3.json") == Path("results/ce/seed3.safetensors")
    assert records.weights_path(tmp_path / "record.json") == tmp_path / "stage-one.safetensors"


def test_the_field_is_absent_where_a_record_names_no_weights(tmp_path: Path) -> None:
    plain, named = make_record(), make_record(weights="ab" * 32)
    assert plain.identity == named.identity
    assert "weights" not in plain.model_dump()
    assert "weights" not in plain.digest
    assert set(named.digest) - set(plain.digest) == {"weights"}
    for number, record in enumerate((plain, named)):
        path = tmp_path / f"seed{number}.json"
        records.save(record, path)
        assert records.load(path) == record
    document = json.loads((tmp_path / "seed1.json").read_text())
    for changed in ({"weights": "cd" * 32}, {"weights": None}, {"weights": "AB" * 32}, {"weights": "ab"}):
        path.write_text(json.dumps(document | changed))
        with pytest.raises(records.RecordError, match="weights"):
            records.load(path)


@settings(max_examples=200, deadline=None, derandomize=True)
@given(st.integers(0, WEIGHTS.stat().st_size - 1), st.integers(1, 255))
def test_a_changed_byte_of_weights_is_refused(place: int, change: int) -> None:
    content = bytearray(WEIGHTS.read_bytes())
    content[place] ^= change
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            Path, "read_bytes", lambda path: bytes(content) if path == WEIGHTS else path.open("rb").read()
        )
        with pytest.raises(records.RecordError, match=r"these weights \(.*are not those of seed0\.json"):
            records.check_weights(WEIGHTS)


def test_every_reader_refuses_weights_that_the_record_does_not_name(
    beside: Path, gcl, monkeypatch: pytest.MonkeyPatch
) -> None:
    root, digits = beside.parents[3], data.load("digits", 20)
    resolved = recipes.get("gcl-official").resolve(digits, "smoke")
    monkeypatch.setattr(cli.records, "ROOT", root.parent)
    record = beside.with_suffix(".json")
    assert train.stage_one_weights(resolved, digits, 0, root) == beside
    assert gcl("records", "verify")[0] == 0
    weights = load_file(beside)
    name = next(iter(weights))
    weights[name].view(-1)[0] += 1
    save_file(weights, beside)
    read_weights(beside, 10, "cosine")  # such a file is one of weights; only the record tells
    for read in (
        lambda: train.stage_one_weights(resolved, digits, 0, root),
        lambda: train.finish(resolved, digits, beside, seed=0, workdir=root),
        lambda: embeddings.make(record),
    ):
        with pytest.raises(
            records.RecordError, match=r"seed0\.safetensors: these weights .* are not those of seed0\.json"
        ):
            read()
    code, out, _ = gcl("records", "verify")
    assert code == 1
    assert out.startswith(f"{beside}: these weights")
    assert len(out.splitlines()) == 1
    assert gcl("records", "verify", record)[0] == 1


def test_weights_that_are_missing_are_made_by_a_command_that_would_bring_them(beside: Path) -> None:
    root, digits = beside.parents[3], data.load("digits", 20)
    beside.unlink()
    for name, seed, advice in (
        ("gcl-official-cben", 0, r"train them: .*recipe gcl-official .*-p keep replace$"),
        ("gcl-official", 1, r"seed 1, under .*train them: .*recipe gcl-official .*-p keep new$"),
        ("gcl-official-cosine", 0, r"those of ce, .* are kept, and it shares none of their first stages$"),
        ("ce", 0, "ce has no second stage to start from weights"),
    ):
        with pytest.raises(UserError, match=advice):
            train.stage_one_weights(recipes.get(name).resolve(digits, "smoke"), digits, seed, root)
    with pytest.raises(UserError, match=r"no stage-one weights .*-p keep replace$"):
        embeddings.make(beside.with_suffix(".json"))


def test_weights_beside_a_record_that_names_none_are_refused(beside: Path) -> None:
    fields = records.load(beside.with_suffix(".json")).model_dump(exclude={"digest", "weights"})
    records.save(records.RunRecord(**fields), beside.with_suffix(".json"), force=True)
    with pytest.raises(records.RecordError, match=r"names none; train it again"):
        records.check_weights(beside)
    beside.with_suffix(".json").unlink()
    records.check_weights(beside)  # beside no record they are nobody's


@pytest.mark.parametrize("value", [torch.nan, torch.inf, -torch.inf])
def test_weights_are_finite(beside: Path, value: float) -> None:
    weights = load_file(beside)
    name = next(iter(weights))
    weights[name].view(-1)[-1] = value
    save_file(weights, beside)
    with pytest.raises(UserError, match=rf"{name} holds NaN or an infinity; expected finite weights$"):
        read_weights(beside, 10, "cosine")


def test_a_run_names_its_weights_and_others_are_not_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runs, "fingerprint", no_fingerprint)
    plain = recipe("gcl-official", epochs=1)
    record = train.fit(plain, few_digits(), seed=0, device="cpu", workdir=tmp_path)
    path = tmp_path / record.identity / "record.json"
    weights = records.weights_path(path)
    assert record.weights == hashlib.sha256(weights.read_bytes()).hexdigest()
    records.check_weights(weights)
    fields = record.model_dump(exclude={"identity", "digest"})
    named = records.RunRecord(**fields | {"recipe": {**record.recipe, "overrides": {}}})
    records.save(named, tmp_path / named.identity / "record.json")
    others = records.weights_path(tmp_path / named.identity / "record.json")
    others.write_bytes(weights.read_bytes() + b" ")
    with pytest.raises(UserError, match=r"holds other weights than the record names; run it again"):
        train.keep(named, tmp_path, tmp_path / "results")
    assert not (tmp_path / "results").exists()
