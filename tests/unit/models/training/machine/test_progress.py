"""What a run tells: lines in a file, a bar on a terminal, times apart from results."""

import contextlib
import csv
import os
import pty
import re
import termios
import threading
import time

import pytest

from expressway.data.clips import ClipDataset
from expressway.models import training


def rows(state) -> list[dict[str, float]]:
    with (state / "log.csv").open() as file:
        return [{key: float(value) for key, value in row.items()} for row in csv.DictReader(file)]


def test_waiting_for_clips_is_logged_apart_from_computing(world, tmp_path, monkeypatch) -> None:
    spec = world.train_spec("emoclip")
    training.train(spec, tmp_path / "fast", tmp_path / "state-fast")
    original = ClipDataset.__getitem__

    def slow(self, key):
        time.sleep(0.01)
        return original(self, key)

    monkeypatch.setattr(ClipDataset, "__getitem__", slow)
    training.train(spec, tmp_path / "slow", tmp_path / "state-slow")
    found = rows(tmp_path / "state-slow")
    assert len(found) == spec.recipe["epochs"]
    for row in found:
        # 32 clips of an epoch, 10 ms each: a sleep is never shorter than asked for
        assert row["data_seconds"] >= 0.32
        spent = row["data_seconds"] + row["step_seconds"]
        assert row["clips_per_second"] == pytest.approx(32 / spent)
    # times are no part of what a model is
    cards = [(tmp_path / name / "model.json").read_text() for name in ("fast", "slow")]
    assert cards[0] == cards[1]


def test_a_file_gets_lines_and_no_bar(world, tmp_path, capfd) -> None:
    training.train(world.train_spec("emoclip"), tmp_path / "out", tmp_path / "state")
    told = capfd.readouterr()
    assert told.err == ""
    first, *epochs = told.out.splitlines()
    assert "on cpu, 1 threads, 32-true: 34 clips, 2 steps of 16 clips an epoch" in first
    assert [line.split(":")[0] for line in epochs] == [f"epoch {n}/4" for n in range(1, 5)]
    assert all("clips/s" in line and "waiting for clips" in line for line in epochs)


def drain(terminal: int, parts: list[bytes]) -> None:
    """Read what a terminal shows until its other end is closed (an OSError on Linux)."""
    with contextlib.suppress(OSError):
        while part := os.read(terminal, 4096):
            parts.append(part)
    os.close(terminal)


def test_a_terminal_gets_a_bar(world, tmp_path, monkeypatch) -> None:
    ours, theirs = pty.openpty()
    termios.tcsetwinsize(theirs, (24, 100))
    parts: list[bytes] = []
    reader = threading.Thread(target=drain, args=(ours, parts))
    reader.start()
    with os.fdopen(theirs, "w") as terminal:
        monkeypatch.setattr("sys.stderr", terminal)
        training.train(world.train_spec("emoclip"), tmp_path / "out", tmp_path / "state")
    reader.join()
    shown = b"".join(parts).decode()
    # four epochs of 32 clips; behind the bracket the time that is left
    assert re.search(r"/128 \[\d\d:\d\d<", shown)
    assert "clips/s" in shown
    assert "loss=" in shown
