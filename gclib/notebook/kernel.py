"""The kernel in which notebooks are executed: this very Python, in surroundings that nothing of a person's reaches."""

import os
import sys
from pathlib import Path
from typing import Any

from gclib import ROOT
from gclib.notebook.status import peak_memory
from gclib.notebook.surroundings import surroundings

__all__ = ["KEEP_MEMORY"]

# glibc then keeps the buffers of a training step instead of returning them: 6% faster.
KEEP_MEMORY = {"MALLOC_TRIM_THRESHOLD_": "4000000000", "MALLOC_MMAP_THRESHOLD_": "4000000000"}
PEAK = "peak"  # file in which a kernel leaves the most memory it took
KERNEL = {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"}


def kernel_manager(said: Path, progress: str) -> type:
    """Return a kernel manager that starts this very Python, whatever a person has installed as ``python3``.

    Beside `said`, where its standard error goes, lies an empty folder for settings, and in the end what memory it took.
    """
    from jupyter_client.kernelspec import KernelSpec
    from jupyter_client.manager import AsyncKernelManager

    settings = said.parent / "settings"
    settings.mkdir()
    environment = {"GCLIB_PROGRESS": progress} | KEEP_MEMORY | surroundings(os.environ, settings)
    # This package, also where another of its name is installed.
    packages = [str(ROOT), *filter(None, [environment.get("PYTHONPATH")])]
    environment["PYTHONPATH"] = os.pathsep.join(packages)
    # Else a kernel that talks over TCP says so at every start, and complains when it is stopped.
    command = [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}", "--log-level=CRITICAL"]
    local = {"kernel_provisioner": {"provisioner_name": "local-provisioner"}}

    # Not by ports: another kernel that starts at the same moment may take one. The name of a socket has 107 bytes.
    place = str(said.with_name("socket"))
    sockets = (
        {"transport": "ipc", "ip": place} if os.name == "posix" and len(os.fsencode(place)) < 100 else {}
    )

    class ThisPython(AsyncKernelManager):
        def __init__(self, **options: Any) -> None:
            super().__init__(**sockets, **options)

        @property
        def kernel_spec(self) -> KernelSpec:
            return KernelSpec(argv=command, language=KERNEL["language"], metadata=local)

        async def _async_launch_kernel(self, kernel_cmd: list[str], **options: Any) -> None:
            with said.open("wb") as file:
                options |= {"env": environment | {"JPY_PARENT_PID": str(os.getpid())}, "stderr": file}
                await super()._async_launch_kernel(kernel_cmd, **options)

        async def shutdown_kernel(  # type: ignore[override]
            self, now: bool = False, restart: bool = False
        ) -> None:
            memory = peak_memory(getattr(self.provisioner, "pid", 0))
            if memory is not None:
                said.with_name(PEAK).write_text(str(memory))
            await self._async_shutdown_kernel(now, restart)

    return ThisPython


def last_words(said: Path) -> str:
    """Return what a kernel said last, as the end of a message; empty if it said nothing."""
    lines = said.read_text(errors="replace").split("\n") if said.exists() else []
    return next((f"; its last words: {line.strip()[:200]}" for line in reversed(lines) if line.strip()), "")
