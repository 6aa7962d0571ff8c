"""Put the run records into the book, at the place to which the tables link."""

import shutil
from pathlib import Path

from sphinx.application import Sphinx

from gclib import ROOT


def copy_records(app: Sphinx, exception: Exception | None) -> None:
    if exception is not None or app.builder.format != "html":
        return
    for path in (ROOT / "results").glob("**/seed*.json"):
        target = Path(app.outdir) / path.relative_to(ROOT)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, target)


def setup(app: Sphinx) -> dict:
    app.connect("build-finished", copy_records)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
