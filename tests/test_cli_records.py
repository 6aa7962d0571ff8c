"""The command line on data, records and recipes: what it lists, shows, compares and verifies."""

import json
import re
import subprocess
import sys
from dataclasses import replace

import pytest
from factories import make_record, run_of

from gclib import ROOT, cli, data, recipes, records
from gclib.records import files
from gclib.train import audit

DIGITS = data.without_images("digits", 20.0)


def test_data_check_says_what_the_set_holds(gcl):
    code, out, _ = gcl("data", "check", "digits")
    assert (code, out) == (0, "digits: whole; 10 classes, 1000 training and 740 test images of 8x8\n")


def test_data_check_proves_the_files_of_cifar_and_decodes_no_image(gcl, monkeypatch, tmp_path):
    proven = []
    source = replace(data.SOURCES["cifar10"], prove=proven.append, read=None)
    monkeypatch.setitem(data.SOURCES, "cifar10", source)
    code, out, _ = gcl("data", "check", "cifar10", "--data", tmp_path)
    expected = "cifar10: whole; 10 classes, 50000 training and 10000 test images of 32x32\n"
    assert (code, out, proven) == (0, expected, [tmp_path])


@pytest.fixture
def results(tmp_path, monkeypatch):
    """Two records in the results of a checkout."""
    monkeypatch.setattr(cli.records, "ROOT", tmp_path)
    for recipe in ("ce", "ce-mixup"):
        record = run_of(recipes.get(recipe).resolve(DIGITS, "smoke"), DIGITS)
        records.save(record, records.results_path(record, tmp_path / "results"))
    return tmp_path / "results" / "smoke" / "digits-ir20"


def test_records_are_listed_with_both_accuracies(gcl, results):
    record = records.load(results / "ce" / "seed0.json")
    code, out, _ = gcl("records", "list")
    assert code == 0
    for name in ("ce", "ce-mixup"):
        assert f" {results / name / 'seed0.json'} " in out
    assert f"{record.clean.top1:.2f}" in out
    assert f"{record.paper_style.top1:.2f}" in out
    assert "ce-mixup" not in gcl("records", "list", "--recipe", "ce")[1]
    assert gcl("records", "list", "--recipe", "ce-mixup")[2] == ""
    said = gcl("records", "list", "--recipe", "ce-mixpu", "--scale", "paper")[2]
    assert said == (
        "no record there of scale 'paper'\nno record there of recipe 'ce-mixpu'; did you mean 'ce-mixup'?\n"
    )
    assert f" {results / 'ce' / 'seed0.json'} " in gcl("records", "list", results)[1], "a folder within"


def test_a_record_that_is_kept_is_listed_with_its_copy_among_the_runs(gcl, results, tmp_path):
    record = records.load(results / "ce" / "seed0.json")
    run = tmp_path / "runs" / record.identity / "record.json"
    records.save(record, run)
    out = gcl("records", "list", tmp_path, "--recipe", "ce")[1]
    assert [str(path) in out for path in (results / "ce" / "seed0.json", run)] == [True, True]


def test_images_that_no_ratio_cut_are_listed_as_they_are(gcl, tmp_path):
    records.save(make_record(dataset="folder:birds", ratio=None), tmp_path / "record.json")
    out = gcl("records", "list", tmp_path)[1]
    assert re.search(r"folder:birds \S+ as it is ", out)


def test_a_record_is_shown_and_two_are_compared(gcl, results):
    first, second = (results / name / "seed0.json" for name in ("ce", "ce-mixup"))
    assert records.load(first).command in gcl("records", "show", first)[1]
    code, out, _ = gcl("records", "compare", first, second)
    assert code == 0
    row = next(line for line in out.splitlines() if "recipe.name" in line)
    assert [cell.strip() for cell in row.strip("│").split("│")] == ["recipe.name", "ce", "ce-mixup", ""]


def test_verify_names_the_record_that_was_altered(gcl, results):
    assert gcl("records", "verify")[0] == 0
    path = results / "ce" / "seed0.json"
    content = json.loads(path.read_text())
    content["seed"] = 1
    path.write_text(json.dumps(content))
    code, out, _ = gcl("records", "verify")
    assert code == 1
    altered, whole = sorted(out.splitlines(), key=len, reverse=True)
    assert altered.startswith(f"{path}: seed: ")
    assert whole == f"{results / 'ce-mixup' / 'seed0.json'}: holds"


def test_verify_replays_the_fingerprint_of_the_recipe(gcl, tmp_path, monkeypatch):
    from gclib.train import fingerprint

    monkeypatch.setattr(cli.records, "ROOT", tmp_path)
    recipe = recipes.get("ce").resolve(DIGITS, scale="smoke")
    record = run_of(recipe, DIGITS)
    path = records.results_path(record, tmp_path / "results")
    records.save(record, path)
    now = [list(losses) for losses in record.fingerprint]
    asked = []
    monkeypatch.setattr(fingerprint, "fingerprint", lambda recipe: asked.append(recipe) or now)

    def sides(out: str) -> list[list[str]]:
        """Both losses of each step, and whether they differ."""
        return [row[2:] for row in map(cells, out.splitlines()) if len(row) == 5 and row[0] == "1"]

    code, out, _ = gcl("records", "verify", "--replay", path)
    assert (code, asked) == (0, [recipe])
    recorded = [f"{loss:.9f}" for loss in record.fingerprint[0]]
    assert sides(out) == [[loss, loss, ""] for loss in recorded], "a record named alone is shown"
    assert not sides(gcl("records", "verify", "--replay")[1]), "one of many is shown where it is stale"
    now[0][3] += 1e-5
    for named in ([path], [record.identity], []):
        code, out, _ = gcl("records", "verify", "--replay", *named)
        assert code == 1
        assert f"{path}: stale: stage 1, step 4" in out
        assert sides(out)[3] == [recorded[3], f"{now[0][3]:.9f}", "differs"]
        assert len(sides(out)) == len(recorded)
    assert gcl("records", "verify", path)[0] == 0
    code, _, err = gcl("records", "verify", "0123456789abcdef")
    assert code == 2
    assert "no record has the identity" in err


def test_a_record_of_a_recipe_that_is_gone_is_not_replayed_and_the_next_one_is_checked(gcl, tmp_path):
    path, missing = tmp_path / "record.json", tmp_path / "damaged.json"
    records.save(make_record(dataset="folder:birds"), path)
    missing.write_text("{}")
    code, out, err = gcl("records", "verify", "--replay", path, missing)
    assert (code, err) == (1, "")
    gone, damaged = out.splitlines()
    assert re.fullmatch(r"\w{16}: the recipe of this record is none of today's \(.*\); run it again", gone)
    assert damaged.startswith(str(missing))


def test_a_recipe_for_cifar_is_shown_before_its_images_are_there(gcl, tmp_path, monkeypatch):
    monkeypatch.setenv("GCLIB_DATA", str(tmp_path))
    code, out, _ = gcl("recipes", "gcl-official", "--dataset", "cifar10", "--ratio", "100")
    assert code == 0
    assert re.search(r"batch_size\W+64\W+64\b", out)  # the code's; on the digits it is fitted to fewer images
    assert re.search(r"mixup\W+1\.0\W+1\.0\b", out)  # off on the digits
    assert not list(tmp_path.iterdir())
    code, _, err = gcl("recipes", "ce", "--dataset", "cifar10", "--ratio", "5001")
    assert code == 2
    assert "leaves class 9 without an image" in err


def test_recipes_are_listed_and_resolved(gcl):
    assert "gcl-official" in gcl("recipes")[1]
    code, out, _ = gcl("recipes", "gcl-official", "--scale", "paper")
    assert code == 0
    rows = {
        name: values for name, *values in (cells(line) for line in out.splitlines() if line.startswith("│"))
    }
    assert rows["epochs"] == ["200", "30", "official code"]
    assert rows["loss.name"] == ["gcl", "gcl", "official code"]
    assert rows["classifier"] == ["cosine", "cosine", "official code"]


def cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip("│").split("│")]


def test_what_verify_does_grows_with_the_records_alone(gcl, results, monkeypatch):
    """One validation for each file, and no second look at the data set for each."""
    validated, validate = [], records.RunRecord.model_validate
    monkeypatch.setattr(
        records.RunRecord, "model_validate", lambda found: validated.append(1) or validate(found)
    )
    files._understood.cache_clear()
    audit.summary(audit.known("digits", 20.0))
    monkeypatch.setattr(records.DataSummary, "of", None)
    code, out, _ = gcl("records", "verify")
    assert (code, out.count("holds"), len(validated)) == (0, 2, 2)


def test_measurements_of_saturation_are_verified_too(gcl, results, tmp_path):
    committed = next((ROOT / "results" / "saturation").rglob("*.json"))
    path = tmp_path / committed.relative_to(ROOT)
    path.parent.mkdir(parents=True)
    path.write_bytes(committed.read_bytes())
    code, out, _ = gcl("records", "verify")
    assert (code, out.splitlines()[-1]) == (0, f"{path}: holds")
    path.write_bytes(committed.read_bytes()[:-9])
    code, out, _ = gcl("records", "verify")
    assert code == 1
    assert out.splitlines()[-1].startswith(f"{path} holds no measurement")


def test_reading_does_not_look_for_garbage():
    """Half of what imports took: nothing that a reading command makes is garbage before its end."""
    code = "import gc, sys; sys.argv = ['gcl', 'records', 'list']; from gclib.cli import main\n"
    code += "before = sum(one['collections'] for one in gc.get_stats())\n"
    code += (
        "try: main()\nexcept SystemExit: print(sum(one['collections'] for one in gc.get_stats()) - before)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert int(done.stdout.splitlines()[-1]) < 10  # about 90 by Python's own threshold
