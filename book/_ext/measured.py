"""Roles for numbers in prose, so that none of a record or of the paper is typed.

``{top1}`gcl-official-cben` `` is the top-1 accuracy of that recipe after the last epoch (clean) on CIFAR-10-LT at
ratio 100, a mean over its seeds, and leads to its record. Words behind the recipe change what is read: ``best`` (best
epoch on the test set), ``stage-one``, ``cifar100``. ``{ahead}`first second` `` is how far the first is ahead, by the
seeds that both have.
``{printed}`2 GCL imagenet-lt 256` `` is what the paper prints: table, method, data set, ratio.
"""

from statistics import mean

from docutils import nodes
from faces import kept
from sphinx.application import Sphinx
from sphinx.util import logging
from sphinx.util.docutils import SphinxRole

from gclib import paper
from gclib.records import RunRecord
from gclib.tables.intervals import gap
from gclib.tables.rows import accuracy

logger = logging.getLogger(__name__)
OPTIONS = {"best", "stage-one", "cifar100"}

Roles = tuple[list[nodes.Node], list[nodes.system_message]]


class Measured(SphinxRole):
    """What the roles that read records share."""

    def read(self) -> tuple[list[dict[int, float]], str]:
        """Return seed to accuracy for each recipe that is named, and the page of the first record."""
        words = self.text.split()
        options = OPTIONS.intersection(words)
        dataset = "cifar100" if "cifar100" in options else "cifar10"
        found: list[dict[str, RunRecord]] = [
            {
                page: run
                for page, run in kept().items()
                if (run.scale, run.data.name, run.data.ratio, run.name) == ("paper", dataset, 100, name)
            }
            for name in words
            if name not in options
        ]
        if not all(found):
            logger.warning("no record of %s", self.text, location=self.get_location())
            return [{0: 0.0} for _ in found], ""
        best, stage_one = "best" in options, "stage-one" in options
        # Backwards, so that of a run and its repeats the first counts.
        by_seed = [
            {run.seed: accuracy(run, best, stage_one) for run in [*runs.values()][::-1]} for runs in found
        ]
        return by_seed, next(iter(found[0]))

    def link(self, text: str, page: str) -> Roles:
        target = "../" * self.env.docname.count("/") + f"{page}.html"
        return [nodes.reference("", text, refuri=target, internal=True)], []


class Top1(Measured):
    def run(self) -> Roles:
        (value,), page = self.read()
        return self.link(f"{mean(value.values()):.2f}", page)


class Ahead(Measured):
    def run(self) -> Roles:
        (first, second), page = self.read()
        found = gap(first, second)
        return self.link(f"{found.difference if found else 0:+.2f}".replace("-", "−"), page)


class Printed(SphinxRole):
    def run(self) -> Roles:
        table, *method, dataset, ratio = self.text.split()
        value = paper.accuracy(int(table), " ".join(method), dataset, float(ratio))
        return [nodes.Text(f"{value:.2f}")], []


def setup(app: Sphinx) -> dict:
    app.add_role("top1", Top1())
    app.add_role("ahead", Ahead())
    app.add_role("printed", Printed())
    return {"parallel_read_safe": True, "parallel_write_safe": True}
