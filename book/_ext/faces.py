"""A page for each run record, made at build time, and a list of them all (the directive ``records``).

Links to a record's JSON in tables and in prose lead to its page instead, and the page leads to the JSON.
"""

import html
import re
from collections.abc import Iterator, Sequence
from functools import cache

import drawing
from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

from gclib import ROOT, paper, recipes, records, tables
from gclib.data import without_images
from gclib.errors import UserError
from gclib.figures.style import BLUE, GREY, METHODS, class_colours
from gclib.records import Outcome, RunRecord, StageRun

RESULTS = ROOT / "results"
LINK = re.compile(r'(href="(?:\.\./)*results/[^"]+/seed[^"/]*)\.json"')
SECOND = METHODS["gcl-official"]  # beside BLUE
ORDINALS = ("first", "second", "third", "fourth")


@cache
def kept() -> dict[str, RunRecord]:
    """Records by the name of their page, such as ``results/paper/cifar10-ir100/ce/seed0``."""
    found = records.find_with_paths(RESULTS)
    return {path.relative_to(ROOT).with_suffix("").as_posix(): record for path, record in found}


@cache
def marks() -> dict[str, str]:
    return records.marks(kept().values(), RESULTS)


def dataset(record: RunRecord) -> str:
    name = paper.DATASETS.get(record.data.name, record.data.name)
    return name + ("" if record.data.ratio is None else f", ratio {record.data.ratio:g}")


def title(name: str, record: RunRecord) -> str:
    repeat = re.search(r"-repeat(\d+)$", name)
    again = f", made again ({repeat[1]})" if repeat else ""
    return f"{recipes.label(record.name)}: {dataset(record)}, seed {record.seed}{again}"


def page(name: str, record: RunRecord) -> str:
    """Return the body of a record's page."""
    up = "../" * name.count("/")
    parts = [
        f"<h1>{html.escape(title(name, record))}</h1>",
        f'<p><a href="{up}book/every-record.html">Every record</a></p>',
        words(record),
        outcomes(record),
        section("Course", *map(course, *zip(*stage_runs(record).items(), strict=True))),
        section("Classes", classes(record), confusion(record)),
        section("Settings", settings(record)),
        section("Neighbours", neighbours(name, record)),
        section("Where it was made", environment(record)),
        section("Make it again", again(name, record)),
    ]
    return "\n".join(parts)


def section(heading: str, *parts: str) -> str:
    anchor = heading.lower().replace(" ", "-")
    return f'<section id="{anchor}"><h2>{heading}</h2>{"".join(parts)}</section>'


def paragraph(text: str) -> str:
    return f"<p>{text}</p>"


def words(record: RunRecord) -> str:
    """Say what was run, what came out, and whether it still holds."""
    text = []
    if record.name in recipes.names():
        definition = recipes.get(record.name).definition
        text.append(f"Recipe {record.name}: {definition.summary} Method: {definition.reference}.")
    counts = record.data.class_counts
    text.append(
        f"Trained at {record.scale} scale on {sum(counts):,} images of {len(counts)} classes, "
        f"{max(counts):,} of the most frequent and {min(counts):,} of the rarest."
    )
    text += [stage_in_words(place, stage) for place, stage in enumerate(record.recipe["stages"])]
    clean, best = record.clean.top1, record.paper_style.top1
    text.append(
        f"The last epoch classifies {clean:.2f}% of the test images rightly (clean), "
        f"the best epoch on the test set {best:.2f}% (paper-style)."
    )
    if record.recipe.get("overrides"):
        text.append("Settings were changed by hand, so this is not the recipe of that name.")
    if mark := marks().get(record.identity):
        text.append(f"Mark: {mark}. The code of today is not known to begin this run as the record says.")
    shown = [paragraph(html.escape(" ".join(text)))]
    if cells := list(cells_of_the_paper(record)):
        shown.append("<ul>" + "".join(f"<li>{html.escape(cell)}</li>" for cell in cells) + "</ul>")
    return "".join(shown)


LOSSES = {"gcl": "GCL loss", "ldam": "LDAM loss", "focal": "focal loss"}
DRAWS = {
    "instance": "each image alike",
    "class": "each class alike",
    "effective": "by effective number",
    "cben": "by CBEN",
}


def stage_in_words(place: int, stage: dict) -> str:
    loss, sampler = stage["loss"], stage["sampler"]
    options = ", ".join(
        f"{key.replace('_', ' ')} {value:g}"
        if isinstance(value, float)
        else f"{key.replace('_', ' ')} {value}"
        for key, value in loss["parameters"].items()
    )
    said = f"{ORDINALS[place].capitalize()} stage ({stage['method']}): "
    if not stage["epochs"]:
        return said + "no epochs, the trained classifier is changed by a formula."
    said += f"{stage['epochs']} epochs in batches of {stage['batch_size']}, rate {stage['learning_rate']:g}, "
    said += LOSSES.get(loss["name"], loss["name"].replace("-", " ")) + (f" ({options})" if options else "")
    said += f", drawing {DRAWS.get(sampler['strategy'], sampler['strategy'])}"
    return said + (f", mixup {stage['mixup']:g}." if stage["mixup"] else ", no mixup.")


def cells_of_the_paper(record: RunRecord) -> Iterator[str]:
    """Say which numbers of the paper the run answers to."""
    for table, rows in tables.ROWS.items():
        for row in rows:
            cell = row.recipe == record.name and row.part == "paper" and record.scale == "paper"
            found = row.cell(table, record.data.name, record.data.ratio or 0) if cell else None
            if found:
                which = ", ".join(row.variant.values())
                ours = record.stages[0].best.top1 if row.stage_one else record.paper_style.top1
                yield (
                    f"Table {table} of the paper, {row.method}{f' ({which})' if which else ''}: {found.accuracy:.2f} "
                    f"is printed, {ours:.2f} came out here{' after stage one' if row.stage_one else ''} (paper-style)."
                )


def outcomes(record: RunRecord) -> str:
    header = ["", "top-1 (%)", "many", "medium", "few", "ECE (%)", "epoch"]

    def row(name: str, outcome: Outcome) -> list[object]:
        numbers = [outcome.top1, outcome.many, outcome.medium, outcome.few, 100 * outcome.ece]
        return [name, *numbers, outcome.epoch]

    rows = [
        row("whole run, last epoch (clean)", record.clean),
        row("whole run, best on test", record.paper_style),
    ]
    if len(record.stages) > 1:
        first = record.stages[0]
        rows += [row("stage one, last epoch", first.last), row("stage one, best on test", first.best)]
    header[0] = "checkpoint"
    return tables.Table.of(header, rows).to_html()


def stage_runs(record: RunRecord) -> dict[str, list[StageRun]]:
    """Runs of each stage by its name: one from scratch, or two from the last and from the best checkpoint."""
    found: dict[str, list[StageRun]] = {}
    for run in record.stages:
        found.setdefault(run.name, []).append(run)
    return found


def course(name: str, runs: Sequence[StageRun]) -> str:
    """Draw a stage over its epochs, or say what it chose."""
    trained = [run for run in runs if run.course.loss]
    if not trained:
        chosen = [f"{run.choice.chosen:g}" for run in runs if run.choice]
        return paragraph(
            f"{html.escape(name.replace('-', ' ').capitalize())}: no epochs."
            + (f" Chosen: {', '.join(chosen)}." if chosen else "")
        )
    suffix = {"scratch": "", "last": " from last", "best": " from best"}
    epochs = [list(range(1, len(run.course.loss) + 1)) for run in trained]
    losses = [("loss" + suffix[r.start], e, r.course.loss) for r, e in zip(trained, epochs, strict=True)]
    first = trained[0].course
    accuracy = [("training images", epochs[0], first.train_accuracy)] + [
        ("test images" + suffix[run.start], run.course.test_epochs, run.course.test_accuracy)
        for run in trained
    ]
    ends = f"The loss goes from {first.loss[0]:.3g} to {first.loss[-1]:.3g}"
    tests = f"Test accuracy ends at {first.test_accuracy[-1]:.2f}%"
    minutes = sum(sum(run.course.seconds) for run in trained) / 60
    time, called = f"{minutes:.0f}" if minutes >= 1 else "less than 1", name.replace("-", " ")
    return (
        f"<h3>{html.escape(called.capitalize())}</h3><div class='drawings'>"
        + drawing.curves(losses, [BLUE, SECOND], "epoch", "training loss", f"{name}. {ends}.")
        + drawing.curves(accuracy, [GREY, BLUE, SECOND], "epoch", "accuracy (%)", f"{name}. {tests}.")
        + "</div>"
        + paragraph(f"{len(first.loss)} epochs in {time} minutes, tests included.")
    )


def classes(record: RunRecord) -> str:
    """Draw the accuracy of each class, clean and after stage one."""
    counts, colours = record.data.class_counts, class_colours(record.data.class_counts)
    shown = {"last epoch (clean)": record.clean}
    if len(record.stages) > 1:
        shown = {"stage one, last epoch": record.stages[0].last, **shown}
    label = "class, head to tail" if list(counts) == sorted(counts, reverse=True) else "class"
    drawings = [
        drawing.bars(
            o.per_class,
            colours,
            f"{label}; {name}",
            "accuracy (%)",
            f"Accuracy of each class, {name}: "
            f"{o.per_class[0]:.0f}% for the first, {o.per_class[-1]:.0f}% for the last.",
        )
        for name, o in shown.items()
    ]
    return f"<div class='drawings'>{''.join(drawings)}</div>"


def confusion(record: RunRecord) -> str:
    """Return the confusion matrix as a table, shaded by the share of the true class."""
    matrix = record.clean.confusion
    if matrix is None:
        return ""
    names = range(len(matrix))
    head = "".join(f'<th scope="col">{name}</th>' for name in names)
    rows = "".join(
        f'<tr><th scope="row">{name}</th>'
        + "".join(
            f'<td style="background: rgba(53, 115, 218, {0.45 * count / max(1, sum(row)):.2f})">{count}</td>'
            for count in row
        )
        + "</tr>"
        for name, row in zip(names, matrix, strict=True)
    )
    return (
        "<p>Test images by true class (rows) and predicted class (columns), last epoch (clean):</p>"
        '<div style="overflow-x: auto" tabindex="0"><table class="dataframe" style="white-space: nowrap">'
        f'<thead><tr><th scope="col">class</th>{head}</tr></thead><tbody>{rows}</tbody></table></div>'
    )


def settings(record: RunRecord) -> str:
    """List every setting with its source; a recipe that today's code does not know is listed without."""
    try:
        data = without_images(record.data.name, record.data.ratio)
        table = recipes.settings_table(recipes.Recipe.model_validate(record.recipe), data)
        header = ["setting", *(name for name in table if name not in ("setting", "source")), "source"]
        return tables.Table.of(header, zip(*(table[name] for name in header), strict=True)).to_html()
    except (UserError, ValueError):
        found = recipes.by_path(record.recipe["stages"])
        return tables.Table.of(
            ["setting", "value"], [(key, str(value)) for key, value in found.items()]
        ).to_html()


def neighbours(name: str, record: RunRecord) -> str:
    """Link the runs that share the recipe, the first stage, or all but the rounding."""
    groups: dict[str, list[str]] = {
        "the same run, made again": [],
        "other seeds": [],
        "the same stage one": [],
    }
    for other, run in kept().items():
        if other == name or run.data != record.data:
            continue
        target = "../" * name.count("/") + other
        link = f'<a href="{target}.html">{html.escape(title(other, run))}</a>'
        if run.identity == record.identity:
            groups["the same run, made again"].append(link)
        elif run.recipe == record.recipe:
            groups["other seeds"].append(link)
        elif run.stages[0].hash == record.stages[0].hash:
            groups["the same stage one"].append(link)
    found = [f"<dt>{what}</dt><dd>{', '.join(links)}</dd>" for what, links in groups.items() if links]
    return (
        f"<dl>{''.join(found)}</dl>"
        if found
        else paragraph("No other record shares its recipe or its stage one.")
    )


def environment(record: RunRecord) -> str:
    at = record.environment
    seconds = sum(sum(run.course.seconds) for run in record.stages)
    rows = [
        ("device", at.device),
        ("processor", f"{at.cpu}, {at.threads} thread{'s' * (at.threads > 1)}"),
        ("precision", at.precision + (", compiled" if at.compiled else "")),
        ("driver", at.driver or "none"),
        ("torch, Python, gclib", f"{at.torch}, {at.python}, {at.package}"),
        ("platform", at.platform),
        ("commit", at.commit or "unknown"),
        ("made", record.created),
        ("time of the epochs", f"{seconds / 3600:.2f} hours" if seconds > 600 else f"{seconds:.0f} seconds"),
        ("identity", record.identity),
    ]
    return tables.Table.of(["what", "value"], rows).to_html()


def again(name: str, record: RunRecord) -> str:
    command = html.escape(records.again(record))
    file = f'<a href="{name.rsplit("/", 1)[1]}.json">{name}.json</a>'
    return (
        f'<div class="highlight-bash notranslate"><div class="highlight"><pre>{command}\n</pre></div></div>'
        + paragraph(f"The record itself: {file}.")
    )


class Records(SphinxDirective):
    """A table of every record, each with a link to its page."""

    def run(self) -> list[nodes.Node]:
        up = "../" * self.env.docname.count("/")
        text = []
        for place, runs in by_place().items():
            rows: list[list[list[tables.Link | str]]] = [
                [
                    [recipes.label(run.name)],
                    [tables.Link(re.sub(r"^seed", "seed ", name.rsplit("/", 1)[1]), f"{up}{name}.html")],
                    [f"{run.clean.top1:.2f}"],
                    [f"{run.paper_style.top1:.2f}"],
                    [minutes(run)],
                    [marks().get(run.identity, "")],
                ]
                for name, run in runs
            ]
            header = ["recipe", "record", "clean (%)", "best on test (%)", "minutes", "mark"]
            anchor = re.sub(r"\W+", "-", place.lower())
            heading = nodes.section(ids=[anchor])
            heading += nodes.title("", place)
            heading += nodes.raw("", tables.Table(header, rows, "").to_html(), format="html")
            text.append(heading)
        return text


def minutes(run: RunRecord) -> str:
    taken = sum(sum(stage.course.seconds) for stage in run.stages) / 60
    return f"{taken:.0f}" if taken >= 1 else "under 1"


def by_place() -> dict[str, list[tuple[str, RunRecord]]]:
    """Records by data set and scale, the full runs first."""
    found: dict[str, list[tuple[str, RunRecord]]] = {}
    for name, run in sorted(kept().items(), key=lambda pair: pair[1].scale != "paper"):
        found.setdefault(f"{dataset(run)}, {run.scale} scale", []).append((name, run))
    return found


def pages(app: Sphinx) -> Iterator[tuple[str, dict, str]]:
    for name, record in kept().items():
        yield name, {"title": html.escape(title(name, record)), "body": page(name, record)}, "page.html"


def lead_to_pages(
    app: Sphinx, name: str, template: str, context: dict, doctree: nodes.document | None
) -> None:
    if doctree is not None and "body" in context:
        context["body"] = LINK.sub(r'\1.html"', context["body"])


def setup(app: Sphinx) -> dict:
    app.add_directive("records", Records)
    app.connect("html-collect-pages", pages)
    app.connect("html-page-context", lead_to_pages)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
