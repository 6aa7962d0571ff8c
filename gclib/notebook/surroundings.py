"""What notebooks, the book, the grid and the tests run in: the caller's environment, without what changes them.

Paths, devices, proxies and caches of a machine stay. What changes what is printed or run goes; where a program
would then look for a file of the person's own, it is told another place.
"""

import re
import signal
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

__all__ = ["surroundings", "terminated_as_interrupted"]

CHANGES_WHAT_IS_SHOWN_OR_RUN = re.compile(
    # Python: start-up file, warnings, -O. How this very Python finds its packages stays.
    r"PYTHON(?!HOME$|PATH$|NOUSERSITE$|USERBASE$|PLATLIBDIR$|EXECUTABLE$).*"
    r"|(IPYTHON|JUPYTER|JPY_).*"  # start-up files and profiles, kernels, settings
    r"|(PYTEST_(ADDOPTS|PLUGINS|THEME.*))|SNAKEMAKE_.*|DOCUTILSCONFIG"
    r"|(MPL|MATPLOTLIB)(?!CONFIGDIR$).*|(PLOTLY|PANDAS|PYDANTIC|SYMPY|SKLEARN|TQDM)_.*"
    r"|COLUMNS|LINES|NO_COLOR|FORCE_COLOR|CLICOLOR.*|PY_COLORS|TTY_.*|_?TYPER_.*|GITHUB_ACTIONS"
    r"|LANG|LANGUAGE|LC_.*|TZ"
    # Threads and precision of arithmetic, and libraries that talk. Which instructions a CPU may use stays.
    r"|(OMP|GOMP|KMP|OPENBLAS|NUMEXPR|VECLIB|BLIS)_.*|MKL_(\w*NUM_THREADS|DYNAMIC|VERBOSE|CBWR)"
    r"|(ONEDNN|DNNL)_(VERBOSE.*|DEFAULT_FPMATH_MODE)|(NVIDIA|TORCH_ALLOW)_TF32_.*"
    r"|TORCH_(LOGS.*|TRACE|COMPILE_DEBUG|SHOW_CPP_STACKTRACES|CPP_LOG_LEVEL)|TORCHDYNAMO_VERBOSE"
)


def surroundings(environment: Mapping[str, str], empty: str | Path) -> dict[str, str]:
    """Return the variables of an environment in which the same is printed and run on every machine.

    Parameters
    ----------
    environment
        That of the caller, such as ``os.environ``.
    empty
        An empty folder, where IPython and Jupyter look for a person's settings and leave their own.

    Returns
    -------
    dict
        What is kept of `environment`, and what is set: one thread, English, UTF-8, matplotlib's own defaults.
    """
    kept = {
        name: value for name, value in environment.items() if not CHANGES_WHAT_IS_SHOWN_OR_RUN.fullmatch(name)
    }
    fixed = {
        "PYTHONUTF8": "1",
        "LC_ALL": "C.UTF-8",
        "OMP_NUM_THREADS": "1",  # other counts give other last digits
        "TQDM_DISABLE": "1",
        "PYDANTIC_DISABLE_PLUGINS": "1",  # they see, and may change, what records and settings hold
        **dict.fromkeys(("IPYTHONDIR", "JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR"), str(empty)),
    }
    matplotlib = find_spec("matplotlib")
    for folder in (matplotlib and matplotlib.submodule_search_locations) or ():
        # Else matplotlib reads the person's own, and complains on the page of what it does not know.
        fixed["MATPLOTLIBRC"] = str(Path(folder, "mpl-data", "matplotlibrc"))
    return kept | fixed


@contextmanager
def terminated_as_interrupted() -> Iterator[None]:
    """Let SIGTERM, which `timeout` and batch systems send, do what Ctrl-C does."""
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
