"""The process function: streaming, bounded memory, nothing left behind."""

import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import imageio_ffmpeg
import pytest

from expressway.core import subprocesses
from expressway.core.errors import RowFailure, SystemicError
from expressway.core.subprocesses import Command, check_ffmpeg, ffmpeg_binary, run

LONG = 60.0


def python(code: str) -> list[str]:
    return [sys.executable, "-c", code]


def writing(code: str) -> Command:
    """A program that has its outputs and notes as lists of open files."""

    def command(outputs: Sequence[int], notes: Sequence[int]) -> list[str]:
        opened = f"outputs, notes = ([open(n, 'w') for n in l] for l in ({outputs}, {notes}))\n"
        return python(opened + code)

    return command


class Kept:
    """Takes an output in pieces of no more than a kilobyte."""

    def __init__(self) -> None:
        self.all = bytearray()
        self.place = bytearray(1000)

    def room(self) -> memoryview:
        return memoryview(self.place)

    def feed(self, piece: memoryview) -> None:
        self.all.extend(piece)


def test_outputs_and_lines_arrive_in_order_and_apart() -> None:
    lines: list[str] = []
    large, small = Kept(), Kept()
    code = (
        "import sys\n"
        "outputs[1].write('x'); outputs[0].write('abc' * 500000); outputs[1].write('y')\n"
        "sys.stderr.write('one\\ntwo\\rthree')"
    )
    finished = run(writing(code), LONG, lines.append, [large, small])
    assert bytes(large.all) == b"abc" * 500_000
    assert bytes(small.all) == b"xy"
    assert lines == ["one", "two", "three"]
    assert (finished.code, finished.tail) == (0, ("one", "two", "three"))


def test_exit_code_is_reported_not_judged() -> None:
    assert run(python("raise SystemExit(3)"), LONG).code == 3


def test_standard_input_is_closed() -> None:
    assert run(python("import sys; raise SystemExit(len(sys.stdin.read()))"), LONG).code == 0


def test_a_flood_of_complaints_leaves_a_bounded_tail() -> None:
    code = "import sys\nfor n in range(100000): sys.stderr.write(f'line {n} ' + 'x' * 90 + '\\n')"
    finished = run(python(code), LONG)
    assert len(finished.tail) == subprocesses.TAIL_LINES
    assert finished.tail[-1].startswith("line 99999 ")


def test_a_line_without_end_is_cut() -> None:
    finished = run(python("import sys; sys.stderr.write('y' * 5000000)"), LONG)
    assert finished.tail == ("y" * subprocesses.LINE_CHARACTERS,)


def test_a_missing_program_is_a_fault_of_the_machine() -> None:
    with pytest.raises(SystemicError, match="no-such-program cannot be started"):
        run(["no-such-program"], LONG)


def is_running(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().split(")")[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


@pytest.mark.parametrize("closing", ["", "import os; os.close(1); os.close(2); "])
def test_timeout_kills_the_whole_group(tmp_path: Path, closing: str) -> None:
    note = tmp_path / "child.pid"
    child = "import time; time.sleep(600)"
    code = (
        f"import subprocess, sys, time; child = subprocess.Popen([sys.executable, '-c', {child!r}],"
        " stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL); "
        f"open({str(note)!r}, 'w').write(str(child.pid)); {closing}time.sleep(600)"
    )
    with pytest.raises(RowFailure, match="was stopped after 3 s") as caught:
        run(python(code), 3.0)
    assert caught.value.status == "timeout"
    child_id = int(note.read_text())
    for _ in range(500):  # the kernel takes the killed group apart in its own time
        if not is_running(child_id):
            break
        time.sleep(0.01)
    assert not is_running(child_id)


def test_an_error_of_the_reader_ends_the_program(tmp_path: Path) -> None:
    note = tmp_path / "program.pid"
    code = (
        f"import os; open({str(note)!r}, 'w').write(str(os.getpid()))\n"
        "while True: outputs[0].write('x')"
    )

    class Refusing(Kept):
        def feed(self, piece: memoryview) -> None:
            raise RowFailure("unreadable", "enough")

    with pytest.raises(RowFailure, match="enough"):
        run(writing(code), LONG, outputs=[Refusing()])
    assert not is_running(int(note.read_text()))


@pytest.fixture
def fresh_finder() -> None:
    ffmpeg_binary.cache_clear()
    yield
    ffmpeg_binary.cache_clear()


@pytest.mark.usefixtures("fresh_finder")
def test_ffmpeg_on_the_path_comes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own = tmp_path / "ffmpeg"
    own.write_text("#!/bin/sh\n")
    own.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    assert ffmpeg_binary() == str(own)


@pytest.mark.usefixtures("fresh_finder")
def test_ffmpeg_of_the_wheel_stands_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert ffmpeg_binary() == imageio_ffmpeg.get_ffmpeg_exe()


@pytest.mark.usefixtures("fresh_finder")
def test_a_broken_ffmpeg_is_a_fault_of_the_machine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = tmp_path / "ffmpeg"
    own.write_text("#!/bin/sh\necho 'libavcodec.so.59: no such file' >&2; exit 127\n")
    own.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    with pytest.raises(SystemicError, match=r"does not work: libavcodec\.so\.59: no such file"):
        check_ffmpeg()


def test_notes_come_by_pipes_of_their_own() -> None:
    said: list[str] = []
    noted: tuple[list[str], list[str]] = ([], [])
    code = (
        "import sys\n"
        "for number in range(20000):\n"
        "    print(number, file=sys.stderr)\n"
        "    print(number, file=notes[number % 2])"
    )
    finished = run(writing(code), LONG, said.append, notes=[one.append for one in noted])
    assert finished.code == 0
    assert said == [str(number) for number in range(20_000)]
    assert [noted[number % 2][number // 2] for number in range(20_000)] == said


def test_a_process_with_many_open_files_still_reads() -> None:
    resource = pytest.importorskip("resource")
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, max(soft, 2048)), hard))
    opened = [os.open(os.devnull, os.O_RDONLY) for _ in range(1100)]
    try:
        kept = Kept()
        run(writing("outputs[0].write('here')"), LONG, outputs=[kept])
        assert bytes(kept.all) == b"here"
    finally:
        for number in opened:
            os.close(number)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
