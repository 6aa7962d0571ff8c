"""The command ``gcl``: parses, calls, prints."""

import atexit
import gc
import os
import sys
from contextlib import suppress
from io import TextIOWrapper
from pathlib import Path
from typing import Annotated, Any

import typer

from gclib import __version__
from gclib.cli import bench, data, grid, notebooks, predict, records, train
from gclib.errors import NotebookError, UserError, one_line

__all__ = ["app", "main"]

app = typer.Typer(rich_markup_mode="markdown", add_completion=False, pretty_exceptions_enable=False)
app.command(cls=notebooks.PairsCommand)(notebooks.run)
for command in (
    notebooks.params,
    notebooks.refresh,
    notebooks.book,
    data.recipes,
    train.train,
    predict.predict,
    predict.export,
):
    app.command()(command)
app.add_typer(bench.app, name="bench")
app.add_typer(data.app, name="data")
app.add_typer(grid.app, name="grid")
app.add_typer(records.app, name="records")

INTERRUPTED = 130  # what Typer makes of KeyboardInterrupt
PIPE_CLOSED = 141  # what a shell makes of SIGPIPE
EXTRAS = {"psutil": "grid", "snakemake": "grid", "onnx": "onnx", "onnxruntime": "onnx", "onnxscript": "onnx"}
USAGE_ERROR: Any = typer.BadParameter.__base__  # Typer names only this one of the errors that derive from it


def _print_version(wanted: bool) -> None:
    if wanted:
        print(f"gcl {__version__}")
        raise typer.Exit


@app.callback()
def gcl(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit."),
    ] = False,
) -> None:
    """Run, check and build the executable companion to Gaussian Clouded Logit Adjustment (GCL, CVPR 2022).

    Example:

        gcl run training -p recipe gcl-official --scale short

    Exit codes of every command: 0 done; 1 a notebook, the book or a record failed; 2 bad input, with one line
    that says what is wrong; 130 interrupted.
    """


def main() -> None:
    """Run the command line; what its user can mend ends in one line on stderr and an exit code."""
    # What is imported and read lives to the end: a seventh of the time went into looking for garbage among it.
    gc.set_threshold(50_000)
    atexit.register(_leave_garbage)
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    os.environ["PYDANTIC_DISABLE_PLUGINS"] = "1"  # looking for other people's takes a twentieth of a second
    if isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # a path need not be text
    _note_other_checkout()
    try:
        code = app(sys.argv[1:] or ["--help"], prog_name="gcl", standalone_mode=False)
        if code == INTERRUPTED:
            _say("interrupted", code)
    except UserError as error:
        code = _say(str(error), 2)
    except NotebookError as error:
        code = _say(str(error), 1)
    except ModuleNotFoundError as error:
        extra = EXTRAS.get(error.name or "", "book")
        code = _say(
            f"this command needs the module {error.name}; run `pip install -e '.[{extra}]'` in the checkout",
            2,
        )
    except USAGE_ERROR as error:
        code = _say(one_line(error.format_message()) + " (see --help)", 2)
    except (MemoryError, RuntimeError) as error:
        # Of a GPU; of a CPU, which has no class of its own; of numpy.
        full = isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError"
        if not full and "allocate memory" not in str(error):
            raise
        code = _say("there is not enough memory; choose a smaller batch_size, or another --device", 1)
    except BrokenPipeError:  # whoever read the output has seen enough, as `head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = PIPE_CLOSED
    except OSError as error:  # a path that the system itself refuses
        named = f"{error.filename}: " if error.filename is not None else ""
        code = _say(one_line(f"{named}{error.strerror or error}; name another"), 2)
    sys.exit(code)


def _leave_garbage() -> None:
    """Let the end of the process not look for garbage; torch wants it to, and complains of leaks."""
    if "torch" not in sys.modules:
        gc.freeze()


def _note_other_checkout() -> None:
    """Say so where the code of one checkout runs in another, as the environment of a copied or moved one does."""
    package = Path(__file__).resolve().parents[2]
    with suppress(OSError):
        here = Path.cwd()
        for folder in (here, *here.parents):
            if (folder / "gclib" / "__init__.py").is_file() and folder != package:
                _say(
                    f"note: this is the code of {package}, not of the checkout {folder}; "
                    "`make .venv/.installed` there makes an environment of its own",
                    0,
                )
                return


def _say(message: str, code: int) -> int:
    print(f"gcl: {message}", file=sys.stderr)
    return code
