"""The directive ``status``: an account of the book, made when it is built.

``{status} pages`` lists the last execution of each notebook and the records behind it, ``{status} runs`` the rows of
the paper's Table 1 that have no run at full length yet, ``{status} versions`` what the pages were made with, and
``{status} edition`` says the version of the book and its date.
"""

import json
import re
from pathlib import Path

import nbformat
from docutils import nodes
from faces import by_place, kept, marks
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

from gclib import ROOT, __version__, paper, tables
from gclib.notebook import pages as notebooks
from gclib.notebook.status import noted
from gclib.recipes import label
from gclib.tables.rows import rows

SHOWN = "torch torchvision numpy scipy scikit-learn pydantic matplotlib plotly papermill jupyter-book sphinx".split()


class Status(SphinxDirective):
    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        if self.arguments[0] == "edition":
            last = max(note["executed"] for note in noted(Path(self.env.srcdir) / "notebooks").values())
            return self.parse_text_to_nodes(f"*Version {__version__}, last executed on {last}.*")
        table = {"pages": self.pages, "runs": self.runs, "records": self.records, "versions": self.versions}
        return [nodes.raw("", table[self.arguments[0]]().to_html(), format="html")]

    def pages(self) -> tables.Table:
        source, up = Path(self.env.srcdir), "../" * self.env.docname.count("/")
        notes, lines = noted(source / "notebooks"), []
        for path in notebooks(source):
            document = nbformat.read(path, as_version=4)
            heading = next(cell.source for cell in document.cells if cell.cell_type == "markdown")
            shown = json.dumps([cell.get("outputs", []) for cell in document.cells])
            behind = [
                name
                for name in set(re.findall(r"(results/[^\"\\]+/seed[^\"\\/]*)\.json", shown))
                if name in kept()
            ]
            marked = [marks()[kept()[name].identity] for name in behind if kept()[name].identity in marks()]
            note = notes.get(path.stem, {})
            lines.append(
                [
                    [tables.Link(heading.splitlines()[0].lstrip("# "), f"{up}notebooks/{path.stem}.html")],
                    [note.get("executed", "not noted")],
                    [str(note.get("seconds", ""))],
                    [str(note.get("megabytes") or "")],
                    [str(len(behind))],
                    [f"{len(marked)} {' and '.join(sorted(set(marked)))}" if marked else ""],
                ]
            )
        header = ["page", "last executed", "seconds", "memory (MB)", "records it leads to", "marks"]
        return tables.Table(header, lines, "")

    def records(self) -> tables.Table:
        lines = [
            (place, len(found), sum(1 for _, run in found if run.identity in marks()))
            for place, found in by_place().items()
        ]
        return tables.Table.of(["data set and scale", "records", "marked"], lines)

    def runs(self) -> tables.Table:
        named = {(run.data.name, run.data.ratio, run.name) for run in kept().values() if run.scale == "paper"}
        recipes = list(dict.fromkeys(row.recipe for row in rows(1) if row.part == "paper"))
        lines: list[list[list[str]]] = []
        for dataset, ratio in dict.fromkeys((cell.dataset, cell.ratio) for cell in paper.cells(1)):
            open_ = [name for name in recipes if (dataset, float(ratio), name) not in named]
            place = f"{paper.DATASETS[dataset]}, ratio {ratio}"
            named_open = "; ".join(map(label, open_))
            lines.append([[place], [f"{len(recipes) - len(open_)} of {len(recipes)}"], [named_open]])
        return tables.Table(["data set", "rows of Table 1 with a run", "without one"], lines, "")

    def versions(self) -> tables.Table:
        lock = (ROOT / "requirements.lock").read_text(encoding="utf-8")
        found = dict(re.findall(r"^([\w.-]+)==([^ ;\n]+)", lock, re.MULTILINE))
        notes = noted(Path(self.env.srcdir) / "notebooks").values()
        python = ", ".join(sorted({note["python"] for note in notes})) or "not noted"
        lines = [
            ("Python of the last executions", python),
            *((name, found[name]) for name in SHOWN if name in found),
        ]
        return tables.Table.of(["what", "version"], lines)


def setup(app: Sphinx) -> dict:
    app.add_directive("status", Status)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
