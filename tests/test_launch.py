"""Processes that are started together end together, and one line says why; `gcl train` starts them."""

import os
import re
import signal
import sys
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import psutil
import pytest
from photographs import tiny_folder
from processes import PROCESSES, until

from gclib import cli
from gclib.errors import UserError
from gclib.train import checkpoints
from gclib.train.launch import launch
from gclib.train.loop import Trainer

CHILD = """
import os, psutil, signal, time
from gclib.errors import UserError
from gclib.train.launch import one_of_many
open(f"{folder}/{{os.getpid()}}", "w")
def alone():
    others = [int(name) for name in os.listdir("{folder}") if name != str(os.getpid())]
    return others and not any(psutil.pid_exists(n) and psutil.Process(n).status() != "zombie" for n in others)
with one_of_many():
    if os.environ["RANK"] == "1":
        {second}
    {others}
"""


def started(folder: Path, second: str, others: str, answer: Connection) -> None:
    """Launch two processes that say that they were there, of which the second does something else."""
    os.setsid()
    try:
        launch(["-c", CHILD.format(folder=folder, second=second, others=others)], 2)
        answer.send("done")
    except (UserError, KeyboardInterrupt) as error:
        answer.send(f"{type(error).__name__}: {error}")


@pytest.fixture
def begin(tmp_path: Path) -> Callable[..., tuple]:
    """Start a launcher; return its process and where its answer comes from."""

    def start(second: str = "pass", others: str = "time.sleep(60)") -> tuple:
        mine, answer = PROCESSES.Pipe()
        process = PROCESSES.Process(target=started, args=(tmp_path, second, others, answer))
        process.start()
        answer.close()
        return process, mine

    return start


def there(folder: Path, count: int) -> list[int]:
    """Wait for so many processes; return their numbers."""

    def all_of_them() -> list[int]:
        found = [int(path.name) for path in folder.iterdir() if path.name.isdigit()]
        return found if len(found) >= count else []

    return until(all_of_them)


def wait_until_gone(numbers: list[int]) -> None:
    until(lambda: not any(psutil.pid_exists(n) and psutil.Process(n).status() != "zombie" for n in numbers))


@pytest.mark.parametrize(
    ("second", "others", "expected"),
    [
        ("pass", "pass", "done"),
        ("raise UserError('the disk is full')", "time.sleep(60)", "UserError: the disk is full"),
        (
            "os.kill(os.getpid(), signal.SIGKILL)",
            "while not alone(): time.sleep(0.01)\n    raise UserError('process 0 lost the others')",
            "UserError: process 1 of 2 was ended by SIGKILL, and the others with it; what the last",
        ),
        ("os._exit(3)", "time.sleep(60)", "UserError: process 1 of 2 failed with exit code 3"),
    ],
    ids=["well", "one refuses", "one is killed", "one fails"],
)
def test_processes_end_together_and_one_line_says_why(
    second: str, others: str, expected: str, begin: Callable[..., tuple], tmp_path: Path
) -> None:
    process, answer = begin(second, others)
    assert answer.recv().startswith(expected)
    process.join(10)
    wait_until_gone(there(tmp_path, 1))  # the other may have ended before it came so far


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL])
def test_what_ends_the_launcher_ends_its_processes(
    how: signal.Signals, begin: Callable[..., tuple], tmp_path: Path
) -> None:
    process, answer = begin("pass")
    numbers = there(tmp_path, 2)
    os.kill(process.pid, how)
    if how == signal.SIGTERM:
        assert answer.recv().startswith("KeyboardInterrupt")
    wait_until_gone(numbers)
    process.join(10)


def command_line(words: list[str], log: Path) -> None:
    """Be the command line, its output in a file."""
    sys.argv = ["gcl", *words]
    with log.open("w") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
        cli.main()


def test_a_process_of_gcl_train_is_killed(tmp_path: Path) -> None:
    data = f"folder:{tiny_folder(tmp_path / 'images')}@8"
    words = ["train", "ce", "--data", data, "--processes", "2", "--workdir", str(tmp_path / "runs")]
    words += ["--overrides", "parts=2 epochs=100000"]
    log = tmp_path / "log"
    process = PROCESSES.Process(target=command_line, args=(words, log))
    process.start()
    until(lambda: list(tmp_path.glob("runs/stages/*/checkpoint.pt")) or not process.is_alive())
    assert process.is_alive(), log.read_text()
    children = psutil.Process(process.pid).children(recursive=True)
    second = next(one for one in children if one.environ().get("RANK") == "1")
    second.kill()
    process.join(20)
    assert process.exitcode == 2
    lines = log.read_text().splitlines()
    assert lines[-1].startswith("gcl: process 1 of 2 was ended by SIGKILL, and the others with it")
    assert len(lines) == 2  # what it takes was said before
    wait_until_gone([one.pid for one in children])
    assert not list(tmp_path.rglob(".*.tmp"))
    (checkpoint,) = tmp_path.glob("runs/stages/*/checkpoint.pt")
    state = checkpoints.load(checkpoint.parent)
    assert state is not None
    assert state["epoch"] >= 1


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--gpus", "99"], r"99 GPUs were asked for, and torch sees \d+; give fewer, or --processes"),
        (["--gpus", "1", "--processes", "2"], "both --gpus and --processes were given"),
        (["--scale", "full"], "unknown scale 'full'"),
        (["--overrides", "part=2"], "override 'part': no such setting.*did you mean"),
    ],
)
def test_bad_input_is_one_line(words: list[str], message: str, gcl: Callable) -> None:
    code, out, err = gcl("train", "ce", *words)
    assert code == 2
    assert out == ""
    assert re.search(message, err)
    assert err.count("\n") == 1


def test_one_process_trains_without_others(gcl: Callable, tmp_path: Path) -> None:
    data = f"folder:{tiny_folder(tmp_path / 'images')}@8"
    code, out, err = gcl("train", "ce", "--data", data, "--workdir", tmp_path, "--overrides", "epochs=1")
    assert (code, err) == (0, "")
    assert "stage-one: top-1" in out
    assert "gcl run training -p data" in out


def test_a_first_stage_is_trained_alone_and_the_whole_goes_on_from_it(
    gcl: Callable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trained: list[str] = []
    train_epoch = Trainer.train_epoch

    def noted(trainer: Trainer, *arguments: Any) -> Any:
        trained.append(trainer.stage.settings.name)
        return train_epoch(trainer, *arguments)

    monkeypatch.setattr(Trainer, "train_epoch", noted)
    data = f"folder:{tiny_folder(tmp_path / 'images')}@8"
    words = ["train", "gcl-official", "--data", data, "--workdir", tmp_path]
    words += ["--overrides", "epochs=1 stage-two.epochs=1"]
    code, out, err = gcl(*words, "--first-stage")
    assert (code, err, trained) == (0, "", ["stage-one"])
    assert "gcl run training" not in out, "it is not at its end"
    for _ in range(2):
        assert gcl(*words)[0] == 0
    assert trained == ["stage-one", "stage-two", "stage-two"], "from its last and its best epoch, and once"
