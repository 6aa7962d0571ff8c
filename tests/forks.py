"""Processes of a run on several: workers, kernels and servers of multiprocessing, forked from one that has imported.

A fresh kernel takes up to six CPU seconds to import torch, seaborn and scikit-learn; a forked one takes none, and
prints the same (see ``test_forks``). A kernel whose environment would change an import is started afresh.
"""

import atexit
import builtins
import contextlib
import fcntl
import gc
import importlib
import itertools
import json
import os
import pkgutil
import select
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
ADDRESS = "GCLIB_TEST_FORKS"  # variable with the socket of the process that forks
SLOW = """_pytest.doctest ipykernel.kernelapp ipykernel.ipkernel markdown_it matplotlib.pyplot pandas papermill
    plotly.graph_objects pypdf requests scipy.optimize scipy.stats seaborn sklearn.datasets sklearn.linear_model
    sklearn.manifold sympy torch torch.optim""".split()
# No import depends on them. PYTHONPATH is among them where it names this checkout, which is there anyway.
HARMLESS = {"GCLIB_PROGRESS", "IPYTHONDIR", "PYTEST_CURRENT_TEST", "PYTHONPATH", ADDRESS}
HARMLESS |= {"JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JPY_PARENT_PID", "JPY_SESSION_NAME"}
# scikit-learn and torch set these where they are imported, in the process that asks as in the one that forks.
HARMLESS |= {"KMP_DUPLICATE_LIB_OK", "KMP_INIT_AT_FORK", "TORCHINDUCTOR_CACHE_DIR"}
# A shell's own, pytest-xdist's, and what Snakemake adds: the usual folder, and threads that OMP_NUM_THREADS rules.
HARMLESS |= {"_", "PWD", "SHLVL", "TEMP", "TEMPDIR", "TMP", "TMPDIR", "GOTO_NUM_THREADS"}
HARMLESS |= {"PYTEST_XDIST_TESTRUNUID", "PYTEST_XDIST_WORKER", "PYTEST_XDIST_WORKER_COUNT"}


# The process that forks


def serve(listener: socket.socket, workers: int) -> None:
    """Import, then fork a worker or a kernel for each that has connected, until standard input ends."""
    gc.disable()  # nothing of what is imported is garbage
    load()
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    while listener in select.select([listener, sys.stdin], [], [])[0]:
        connection, _ = listener.accept()
        if not os.fork():
            listener.close()
            return watch(connection)
        connection.close()
        workers -= 1
        if workers < 1:  # it brings Triton, which test_kernels has to import by itself
            importlib.import_module("torchvision.datasets")
    os._exit(0)  # without what Triton says of an end


def load() -> None:
    # What modules see of a kernel while they are imported: matplotlib and pandas look.
    os.environ["MPLBACKEND"] = "module://matplotlib_inline.backend_inline"
    builtins.get_ipython = lambda: SimpleNamespace(kernel=True)
    for name in SLOW:
        importlib.import_module(name)
    import gclib

    for module in pkgutil.walk_packages(gclib.__path__, "gclib."):
        # Programs, and what is for a GPU.
        if not module.name.endswith(("__main__", ".kernels", ".convolutions", ".fused")):
            importlib.import_module(module.name)
    del os.environ["MPLBACKEND"], builtins.get_ipython
    assert threading.active_count() == 1


def watch(connection: socket.socket) -> None:
    """Fork who was asked for; tell the pid, and in the end exit code and CPU seconds. It ends with whoever asked."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    request, files, *_ = socket.recv_fds(connection, 1 << 20, 16)
    parent = os.getpid()
    child = os.fork()
    if not child:
        os.setsid()
        connection.send(str(os.getpid()).encode())
        connection.close()
        return become(**json.loads(request), files=files, parent=parent)

    def end_with_client() -> None:
        connection.recv(1)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child, signal.SIGKILL)

    threading.Thread(target=end_with_client, daemon=True).start()
    _, status, usage = os.wait4(child, 0)
    with contextlib.suppress(BrokenPipeError):  # whoever asked has ended
        ended = os.waitstatus_to_exitcode(status), usage.ru_utime + usage.ru_stime
        connection.send(json.dumps(ended).encode())
    os._exit(0)


def become(
    command: list[str], env: dict[str, str], cwd: str, numbers: list[int], files: list[int], parent: int
) -> None:
    """Do what the command does, ``python -m ipykernel_launcher`` or a ``python -c``, with files of these numbers."""
    import numpy as np
    import torch

    gc.freeze()
    gc.enable()
    os.environ.clear()
    os.environ.update(env)
    os.chdir(cwd)
    beyond = [fcntl.fcntl(file, fcntl.F_DUPFD, 64) for file in files]
    for file in files:
        os.close(file)
    for number, file in zip(numbers, beyond, strict=True):
        os.dup2(file, number)
        os.close(file)
    sys.path[:0] = filter(None, env.get("PYTHONPATH", "").split(os.pathsep))
    torch.seed()  # what is drawn without a seed is another one in each
    np.random.seed()  # noqa: NPY002
    with contextlib.suppress(SystemExit):
        if "ipykernel_launcher" in command:
            become_kernel(command[command.index("ipykernel_launcher") + 1 :], parent)
        else:
            become_python(command[-1])
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)  # to take apart what was imported takes 0.7 CPU seconds


def become_kernel(words: list[str], parent: int) -> None:
    import ipykernel_launcher
    from ipykernel.kernelapp import IPKernelApp

    sys.argv = [ipykernel_launcher.__file__, *words]
    app = IPKernelApp.instance()
    app.initialize([*words, f"--IPKernelApp.parent_handle={parent}"])
    app.start()


def become_python(code: str) -> None:
    import matplotlib as mpl

    mpl.use("agg")
    sys.argv = ["-c"]
    sys.modules["__main__"] = ModuleType("__main__")  # processes that it spawns would import this file
    exec(code, vars(sys.modules["__main__"]))


# The processes that ask


class Forked:
    """A forked process, as the ``Popen`` of a fresh one would be."""

    stdin = stdout = stderr = None
    cpu_seconds = 0.0  # of all that have ended

    def __init__(self, command: list[str], env: dict[str, str], cwd: str, files: dict[int, int]) -> None:
        request = {"command": command, "env": env, "cwd": cwd, "numbers": list(files)}
        self.connection = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.connection.connect(os.environ[ADDRESS])
        socket.send_fds(self.connection, [json.dumps(request).encode()], list(files.values()))
        answer = self.connection.recv(100)
        if not answer:
            raise ConnectionResetError("the process that forks has ended")
        self.pid = int(answer)
        self.returncode: int | None = None

    def poll(self) -> int | None:
        if self.returncode is None and select.select([self.connection], [], [], 0)[0]:
            self.wait()
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        if self.returncode is None:
            self.returncode, seconds = json.loads(self.connection.recv(100))
            self.connection.close()
            Forked.cpu_seconds += seconds
        return self.returncode

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)


def start(address: str, workers: int = 0) -> Callable[[], object]:
    """Start the process that forks, for this process and its children; return what ends it, as its own end would."""
    Path(f"{address}.json").write_text(json.dumps(dict(os.environ)))
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listener:
        listener.bind(address)
        listener.listen(64)  # who connects from now on waits for the imports
        files = [listener.fileno()]
        command = [sys.executable, __file__, str(files[0]), str(workers)]
        process = subprocess.Popen(command, stdin=subprocess.PIPE, pass_fds=files, start_new_session=True)
    os.environ[ADDRESS] = address
    return process.communicate


def client(*numbers: int) -> list[str]:
    """Return the command that, followed by ``-c CODE``, is a Python forked with these files open."""
    return [sys.executable, "-S", __file__, ",".join(map(str, (0, 1, 2, *numbers)))]


def use() -> None:
    """Let kernels and forkservers of this process be forked where that makes no difference."""
    from multiprocessing import util

    from jupyter_client.connect import LocalPortCache
    from jupyter_client.provisioning import local_provisioner

    fresh, python = local_provisioner.launch_kernel, sys.executable
    # What there was when the process that forks was started: Snakemake adds to it.
    own = json.loads(Path(f"{os.environ[ADDRESS]}.json").read_text())

    def launch(command: list[str], **options: Any) -> object:
        env = options["env"]
        differs = {name for name in env.keys() | own.keys() if env.get(name) != own.get(name)} - HARMLESS
        elsewhere = env.get("PYTHONPATH", str(ROOT)) != str(ROOT)
        if differs or elsewhere or command[0] != python or "ipykernel_launcher" not in command:
            return fresh(command, **options)
        with open(os.devnull) as nothing:
            files = [nothing, options.get("stdout") or 1, options.get("stderr") or 2]
            numbers = [file if isinstance(file, int) else file.fileno() for file in files]
            try:
                return Forked(command, env, str(options.get("cwd") or Path.cwd()), dict(enumerate(numbers)))
            except OSError:  # nobody is there to fork
                return fresh(command, **options)

    # Of nbval's kernels: ports that no other worker chooses, below those that the system gives out.
    first = 10_000 + 2_000 * int(os.environ.get("PYTEST_XDIST_WORKER", "gw0")[2:])
    ports = (port for port in itertools.count(first) if free(port))
    LocalPortCache.find_available_port = lambda *_: next(ports)
    plain = util.spawnv_passfds

    def spawn(path: str, words: list[str], files: list[int]) -> int:
        if "multiprocessing.forkserver" in words[-1]:
            words = [*client(*files), *words[-2:]]
        return plain(path, words, files)

    local_provisioner.launch_kernel, util.spawnv_passfds = launch, spawn


def free(port: int) -> bool:
    with socket.socket() as tried, contextlib.suppress(OSError):
        tried.bind(("127.0.0.1", port))
        return True
    return False


if __name__ == "__main__":
    if "-c" in sys.argv:
        numbers = map(int, sys.argv[1].split(","))
        try:
            forked = Forked(sys.argv, dict(os.environ), str(Path.cwd()), {n: n for n in numbers})
        except OSError:  # nobody is there to fork: a module is broken, and the tests will tell
            os.execv(sys.executable, [sys.executable, *sys.argv[2:]])
        signal.signal(signal.SIGINT, lambda *_: os.kill(forked.pid, signal.SIGINT))  # in a session of its own
        sys.exit(forked.wait())
    del sys.path[0]  # the folder of this file
    serve(socket.socket(fileno=int(sys.argv[1])), int(sys.argv[2]))
