"""Types hold everywhere in the package, as mypy sees them: a test, so that it takes a core while the other one tests."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]


def test_types_hold() -> None:
    command = [sys.executable, "-m", "mypy"]
    checked = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stdout + checked.stderr
