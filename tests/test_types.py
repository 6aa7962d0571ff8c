"""Types hold in the whole package, as mypy sees them: as a test it takes one core while the other one tests."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]


def test_types_hold() -> None:
    command = [sys.executable, "-m", "mypy"]
    checked = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stdout + checked.stderr
