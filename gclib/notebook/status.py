"""What the last execution of each page took, kept beside the notebooks for the status page of the book."""

import json
import platform
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

from gclib.errors import UserError
from gclib.files import write_atomically

__all__ = ["STATUS", "Effort", "note", "noted"]

STATUS = "status.json"  # in the folder of the notebooks


class Effort(NamedTuple):
    """What an execution took: seconds of wall-clock time, and the kernel's largest memory in MB, where it is known."""

    seconds: float
    megabytes: int | None


def peak_memory(pid: int) -> int | None:
    """Return the largest memory (MB) that a running process has had; None where the system does not say."""
    try:
        lines = Path("/proc", str(pid), "status").read_text().splitlines()
    except OSError:  # no Linux, or the process is gone
        return None
    return next((int(line.split()[1]) // 1000 for line in lines if line.startswith("VmHWM:")), None)


def note(notebook: Path, effort: Effort) -> None:
    """Write down that a notebook was executed just now; the notes of those that are gone are dropped."""
    from importlib.metadata import version  # a part of the time that a command takes which only reads

    file = notebook.parent / STATUS
    notes = {
        name: said
        for name, said in noted(notebook.parent).items()
        if file.with_name(f"{name}.ipynb").is_file()
    }
    notes[notebook.stem] = {
        "executed": datetime.now(UTC).date().isoformat(),
        "seconds": round(effort.seconds, 1),
        "megabytes": effort.megabytes,
        "python": platform.python_version(),
        "torch": version("torch").partition("+")[0],
    }
    # A line for each page, so that a diff shows which were executed.
    lines = ",\n".join(f"{json.dumps(name)}: {json.dumps(notes[name])}" for name in sorted(notes))
    write_atomically(file, f"{{\n{lines}\n}}\n".encode())


def noted(folder: Path) -> dict[str, dict[str, Any]]:
    """Return the notes of a folder of notebooks by name; empty where there are none.

    Raises
    ------
    UserError
        If the file is damaged.
    """
    file = folder / STATUS
    if not file.is_file():
        return {}
    try:
        return json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise UserError(f"{file} is damaged ({error}); remove it, and `gcl refresh` makes it anew") from None
