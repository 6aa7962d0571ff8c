"""Embed images by the weights beside run records: ``python -m gclib.embeddings RECORD...``."""

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from gclib.embeddings.files import make
from gclib.errors import UserError


def main(arguments: Sequence[str] | None = None) -> None:
    """Make the embeddings of the records that the command line names."""
    parser = argparse.ArgumentParser(
        prog="python -m gclib.embeddings", description="Embed images by the weights beside run records."
    )
    parser.add_argument("record", nargs="+", type=Path, help="a run record with weights beside it")
    for path in parser.parse_args(arguments).record:
        begun = time.perf_counter()
        try:
            target = make(path)
        except UserError as error:
            sys.exit(str(error))
        size = target.stat().st_size / 1000
        print(f"{target}: {size:.0f} kB in {time.perf_counter() - begun:.0f} s")


if __name__ == "__main__":
    main()
