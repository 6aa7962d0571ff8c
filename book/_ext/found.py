"""The directive ``found``: what pages without cells show, from records and recipes, when the book is built.

``{found} picture`` draws the idea of the method, ``{found} answers`` lists what was found, ``{found} choices`` is the
table for whoever asks whether to use GCL, ``{found} training`` how each row of Table 1 is trained.
"""

import base64
import html
import io

import matplotlib.pyplot as plt
from docutils import nodes
from faces import kept, marks
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

from gclib import tables
from gclib.data import training_counts
from gclib.figures import style, summary
from gclib.sampling.clouds import relative_sizes

SEEN = (
    "Three panels. Class counts that fall from thousands to tens; the density of what training takes off each class's "
    "logit, nothing for the most frequent class and most for the rarest; a border between head and tail features that "
    "moves away from the tail."
)


class Found(SphinxDirective):
    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        text = {
            "picture": self.picture,
            "answers": self.answers,
            "choices": lambda: tables.choices_table(kept().values(), marks()).to_html(),
            "training": lambda: tables.training_table().to_html(),
        }
        return [nodes.raw("", text[self.arguments[0]](), format="html")]

    def picture(self) -> str:
        """Panels side by side, on a phone below each other, where their letters would else be too small."""
        narrow = f'<source media="(max-width: 600px)" srcset="{drawn(below=True)}">'
        image = f'<img class="dark-light" src="{drawn(below=False)}" alt="{html.escape(SEEN)}">'
        return f"<picture>{narrow}{image}</picture>"

    def answers(self) -> str:
        items = (
            f'<li><p><strong><a href="../notebooks/{each.page.replace(".ipynb", ".html")}">'
            f"{html.escape(each.question)}</a></strong> {html.escape(each.answer)} "
            f"<em>Verdict: {html.escape(each.verdict)}.</em></p></li>"
            for each in tables.answers(kept().values())
        )
        return f"<ol>{''.join(items)}</ol>"


def drawn(below: bool) -> str:
    style.use()
    counts, picture = training_counts("cifar10", 100), io.BytesIO()
    # As the released code has it: half of a normal distribution of standard deviation one third, by class.
    figure = summary.tail_cloud_border(counts, 0.5 / 3 * relative_sizes(counts), below)
    # Without a date it is the same each time.
    figure.savefig(picture, format="svg", bbox_inches="tight", metadata={"Date": None})
    plt.close(figure)
    return f"data:image/svg+xml;base64,{base64.b64encode(picture.getvalue()).decode()}"


def setup(app: Sphinx) -> dict:
    app.add_directive("found", Found)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
