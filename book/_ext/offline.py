"""Put the scripts that pages need into the book, so that a built page loads nothing from elsewhere.

MathJax and its fonts come from the package sphinx-mathjax-offline, plotly.js from plotly. Both are
copied at build time, into folders below `_static/`: a script directly in `_static/` would load on every page.
"""

import shutil
from importlib.resources import as_file, files
from pathlib import Path

from sphinx.application import Sphinx

MATHJAX = [
    "tex-chtml-full.js",
    "output/chtml/fonts/woff-v2",
]  # "full": fetches nothing later


def copy_scripts(app: Sphinx, exception: Exception | None) -> None:
    if exception is not None or app.builder.format != "html":
        return
    static = Path(app.outdir) / "_static"
    with as_file(files("sphinx-mathjax-offline") / "static" / "mathjax") as mathjax:
        for name in MATHJAX:
            copy(mathjax / name, static / "mathjax" / name)
    with as_file(files("plotly") / "package_data" / "plotly.min.js") as script:
        copy(script, static / "plotly" / "plotly.min.js")


def copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    if source.is_dir():
        shutil.copytree(source, target, dirs_exist_ok=True)
    else:
        shutil.copyfile(source, target)


def setup(app: Sphinx) -> dict:
    app.config.mathjax_path = f"mathjax/{MATHJAX[0]}"
    app.connect("build-finished", copy_scripts)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
