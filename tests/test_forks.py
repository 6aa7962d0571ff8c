"""A forked kernel prints what a fresh one prints, and ends with whoever asked for it."""

import multiprocessing
import os
import subprocess
import sys
from collections.abc import Iterator
from multiprocessing import util
from pathlib import Path

import forks
import pytest
from jupyter_client.connect import LocalPortCache
from jupyter_client.provisioning import local_provisioner
from pages import write
from processes import until

from gclib import notebook

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="kernels are forked on Linux alone")

PLOTTING = """\
print(plt.get_backend(), plt.isinteractive(), sorted(plt.rcParams.items()))
print([function.__name__ for function in get_ipython().events.callbacks["post_execute"]])
"""
SHOW = f"""\
import locale, logging, os, signal, sys, threading
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import torch
print(torch.get_num_threads(), torch.get_default_dtype(), np.geterr())
{PLOTTING}
print([(name, pd.get_option("display." + name)) for name in ("max_columns", "width", "precision")])
print(__name__, sys.path, len(sys.argv), sys.argv[0], sys.warnoptions, sys.flags.optimize, sys.flags.utf8_mode)
print(os.getcwd(), os.getsid(0) == os.getpid(), locale.getlocale(), logging.root.level, logging.root.handlers)
print([getattr(signal.getsignal(n), "__name__", n) for n in (signal.SIGINT, signal.SIGTERM, signal.SIGCHLD)])
print(sorted(thread.name for thread in threading.enumerate()), type(sys.stdout), type(sys.displayhook))
print(sorted(os.environ.keys() - {{"ANY"}}), os.environ["MPLBACKEND"], os.environ["OMP_NUM_THREADS"])
plt.figure(figsize=(1, 1))
plt.plot([1, 2])
plt.show()
{PLOTTING}
pd.DataFrame(np.ones((1, 30)))"""


@pytest.fixture(scope="module", autouse=True)
def forking(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Fork kernels in this module also where the run does not."""
    with pytest.MonkeyPatch.context() as patch:
        if forks.ADDRESS in os.environ:
            yield
        else:
            patch.setenv(forks.ADDRESS, "")
            patch.setattr(local_provisioner, "launch_kernel", local_provisioner.launch_kernel)
            patch.setattr(util, "spawnv_passfds", util.spawnv_passfds)
            patch.setattr(LocalPortCache, "find_available_port", LocalPortCache.find_available_port)
            end = forks.start(str(tmp_path_factory.mktemp("forks") / "kernels"))
            forks.use()
            yield
            end()


def test_a_forked_kernel_prints_what_a_fresh_one_prints(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page, before = write(tmp_path / "page.ipynb", SHOW, PLOTTING), forks.Forked.cpu_seconds
    notebook.execute(page, tmp_path / "forked.ipynb", {"count": 3})
    taken = forks.Forked.cpu_seconds - before
    assert 0 < taken < 2, "it was not forked, or imported torch"
    monkeypatch.setenv("ANY", "thing")
    notebook.execute(page, tmp_path / "fresh.ipynb", {"count": 3})
    assert forks.Forked.cpu_seconds == before + taken, "what imports may depend on is another"
    forked, fresh = ((tmp_path / f"{name}.ipynb").read_text().splitlines() for name in ("forked", "fresh"))
    assert [pair for pair in zip(forked, fresh, strict=True) if pair[0] != pair[1]] == []


def test_a_forked_kernel_ends_with_whoever_asked_for_it(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "ipykernel_launcher", "-f", str(tmp_path / "connection")]
    code = (
        f"import forks, os; null = os.open(os.devnull, 2); files = dict.fromkeys(range(3), null); "
        f"print(forks.Forked({command!r}, {dict(os.environ)!r}, '/', files).pid)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        stdout=subprocess.PIPE, text=True, check=True, cwd=Path(__file__).parent,
    )  # fmt: skip
    until(lambda: not Path(f"/proc/{int(done.stdout)}").exists())


def test_a_worker_was_forked_and_a_server_of_multiprocessing_is() -> None:
    code = "import sys; print(sorted(name for name in sys.modules if name in ('torch', 'seaborn')))"
    command = [*forks.client(), "-c", code]
    forked = subprocess.run(command, capture_output=True, text=True, check=True)
    assert (forked.stdout, forked.stderr) == ("['seaborn', 'torch']\n", "")
    with multiprocessing.get_context("forkserver").Pool(1) as pool:
        assert pool.apply(has_seaborn)


def test_where_nobody_forks_a_worker_is_started_afresh(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(forks.ADDRESS, "/nowhere")
    command = [*forks.client(), "-u", "-c", "import sys; print('torch' in sys.modules)"]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == "False\n"


def has_seaborn() -> bool:
    return "seaborn" in sys.modules
