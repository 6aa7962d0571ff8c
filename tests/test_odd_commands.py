"""Odd command lines: refused in one line, or done; never a traceback, a flood, or something left behind."""

import itertools
import os
import random
import re
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from gclib import data, load_classifier, notebook
from gclib.cli import bench, grid, train
from gclib.errors import UserError
from gclib.files import require_writable, write_atomically
from gclib.notebook import book, execution

LONG = "x" * 5000
VALUES = [
    "",
    " ",
    "/",
    "//",
    ".",
    "..",
    "-",
    "--",
    "~nosuchuser/x",
    "folder:",
    "folder:~nosuchuser/x",
    f"folder:{'x' * 300}",
    "folder:/",
    "folder:/dev/null",
    "x" * 256,
    LONG,
    f"{LONG}.ipynb",
    f"{LONG}.json",
    "a/" * 2500,
    "two\nlines",
    "\x1b[31mred\x07",
    "\udcff\udcfe",
    "ä\u202eß",
    "<b>&amp;</b>",
    "$(id)",
    "%s{0}{x}",
    "0",
    "-1",
    "1e400",
    "nan",
    "inf",
    "9" * 400,
    "0x10",
    "1_0",
    "true",
    "None",
    "/proc/self/mem",
    "/dev/full",
]
PLACES = [
    "{}",
    "run {}",
    "run page -p {} 1",
    "run page -p count {}",
    "run page --scale {}",
    "run page --output {}",
    "params {}",
    "refresh {}",
    "book --output {}",
    "data check {}",
    "data check cifar10 --data {}",
    "recipes {}",
    "recipes ce --dataset {}",
    "recipes ce --dataset cifar10 --ratio {}",
    "recipes ce --scale {}",
    "records list {}",
    "records list --recipe {}",
    "records show {}",
    "records verify {}",
    "records compare {} {}",
    "grid {} --dry-run",
    "grid table5 --dry-run --data {}",
    "grid table5 --dry-run --ratio {}",
    "grid table5 --dry-run --seeds {}",
    "grid table5 --dry-run --scale {}",
    "grid table5 --dry-run --workdir {}",
    "grid table5 --profile {}",
    "grid table5 --engine here --profile {}",
    "grid unpack {}",
    "data check folder:.,groups={}",
    "data fetch weights:{}",
    "predict {} photo.jpg",
    "export {} out.onnx",
    "grid table2 --dry-run --gpu {}",
    "grid table2 --dry-run --price {}",
    "grid table2 --dry-run --data {}",
    "grid table2 --dry-run --ratio {}",
    "grid table5 --dry-run --jobs {}",
    "grid table5 --dry-run --budget {}",
    "grid pack out table5 --seeds {}",
    "train {}",
    "train ce --data {}",
    "train ce --ratio {}",
    "train ce --seed {}",
    "train ce --scale {}",
    "train ce --overrides {}",
    "train ce --workdir {}",
    "train ce --gpus {}",
    "train ce --processes {}",
    "bench gpu --budget {}",
    "bench gpu --device {}",
    "bench photographs --network {}",
    "bench photographs --seconds {}",
    "bench photographs --device {}",
    "bench photographs --folder {}",
]


@pytest.fixture
def answers(gcl: Callable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Run a command in an empty checkout and check how it ends."""
    monkeypatch.setattr(execution, "NOTEBOOKS", tmp_path / "notebooks")
    monkeypatch.setattr(book, "ROOT", tmp_path)
    for module in (notebook, grid, train, bench):
        monkeypatch.setattr(module, "ROOT", tmp_path)
    monkeypatch.setenv("GCLIB_DATA", str(tmp_path / "data"))
    monkeypatch.chdir(tmp_path)

    def nothing_starts(*_: object) -> None:
        raise AssertionError("something was started")

    def nothing_is_trained(*_: object, **__: object) -> None:
        raise UserError("as far as to the training")

    monkeypatch.setattr(execution, "kernel_manager", nothing_starts)
    monkeypatch.setattr("gclib.train.runner.Runner.stages", nothing_is_trained)
    monkeypatch.setattr("gclib.train.launch.launch", nothing_is_trained)
    monkeypatch.setattr("gclib.grid.bench.probe", nothing_is_trained)
    monkeypatch.setattr("gclib.grid.bench.photographs._rates", nothing_is_trained)
    before = sorted(tmp_path.iterdir())

    def check(words: list[str]) -> None:
        code, _, err = gcl(*words)
        assert code in (0, 1, 2), words
        # Only what is no command line at all goes to stderr: a record that does not hold is what `verify` reports.
        assert len(err.splitlines()) == (1 if code == 2 else 0), (words, err)
        assert re.match("gcl: .", err) or not err, words
        assert len(err) < 2000, words
        assert err[:-1].isprintable(), words
        assert sorted(tmp_path.iterdir()) == before, words

    return check


def commands() -> list[list[str]]:
    return [
        [word.replace("{}", value) for word in place.split()]
        for place, value in itertools.product(PLACES, VALUES)
    ]


def test_an_odd_value_is_refused_in_one_line(answers: Callable[..., None]) -> None:
    for words in random.Random(0).sample(commands(), 40):
        answers(words)


@pytest.mark.soak
def test_every_odd_value_at_every_place(answers: Callable[..., None]) -> None:
    for words in commands():
        answers(words)


def test_what_may_never_end_is_not_read(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="a device or a pipe"):
        load_classifier("/dev/null")
    with pytest.raises(UserError, match="a device or a pipe"):
        data.load("list:/dev/null")
    with pytest.raises(UserError, match="a device or a pipe"):
        data.identify_weights("resnet50", "/dev/null")
    (tmp_path / "photos" / "cat").mkdir(parents=True)
    os.mkfifo(tmp_path / "photos" / "cat" / "pipe.png")
    with pytest.raises(UserError, match="holds 0 images"):
        data.load(f"folder:{tmp_path / 'photos'}")


def test_a_file_takes_the_place_of_no_folder_device_or_pipe(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", tmp_path, Path(), Path("/")):
        for wants in (require_writable, lambda path: write_atomically(path, b"mine")):
            with pytest.raises(UserError, match="cannot write"):
                wants(path)
    assert [path.is_fifo() for path in tmp_path.iterdir()] == [True]


def test_what_a_killed_process_left_half_written_goes_with_the_next_write_a_day_later(tmp_path: Path) -> None:
    now = time.time()
    for name, hours in ((".kept.1.tmp", 25), (".kept.2.tmp", 23), (".other.1.tmp", 25)):
        (tmp_path / name).write_bytes(b"half")
        os.utime(tmp_path / name, (now, now - 3600 * hours))
    write_atomically(tmp_path / "kept", iter([b"in ", b"parts"]))
    assert (tmp_path / "kept").read_bytes() == b"in parts"
    assert {path.name for path in tmp_path.iterdir()} == {"kept", ".kept.2.tmp", ".other.1.tmp"}


def test_a_path_that_can_be_written_is_left_as_it_is(tmp_path: Path) -> None:
    kept, new = tmp_path / "kept", tmp_path / "folder" / "in it" / "new"
    kept.write_bytes(b"mine")
    require_writable(kept)
    require_writable(new)
    assert kept.read_bytes() == b"mine"
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == [kept]
    assert new.parent.is_dir(), "a process beside may write there already"
