"""The one way in which this package runs another program, and where its ffmpeg comes from."""

import functools
import os
import select
import shutil
import signal
import subprocess
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import IO, Any

from expressway.errors import RowFailure, SystemicError

PIPE_BYTES = 1 << 20
TEXT_BYTES = 1 << 16
TAIL_LINES = 40
LINE_CHARACTERS = 500
POLL_SECONDS = 0.05
# Stands in an argument for a file that the program writes and that this module reads.
NOTES = "/dev/fd/notes"

OnLine = Callable[[str], None]
OnOutput = Callable[[memoryview], None]
Room = Callable[[], memoryview]


@functools.cache
def ffmpeg_binary() -> str:
    """Return the ffmpeg to run: the one on the PATH, else the one that imageio-ffmpeg carries.

    Raises:
        SystemicError: there is neither.
    """
    return shutil.which("ffmpeg") or _carried()


def check_ffmpeg() -> str:
    """Return the ffmpeg to run, after it said its version.

    Raises:
        SystemicError: there is none, or it does not start; clips are not to blame for that.
    """
    found = ffmpeg_binary()
    answer = run([found, "-version"], timeout=60.0)
    if answer.code != 0:
        raise SystemicError(f"{found} does not work: {'; '.join(answer.tail) or answer.code}")
    return found


def _carried() -> str:
    import imageio_ffmpeg

    try:
        return str(imageio_ffmpeg.get_ffmpeg_exe())
    except RuntimeError as error:
        raise SystemicError(
            "ffmpeg was not found on the PATH and imageio-ffmpeg carries none for this platform; "
            "install ffmpeg"
        ) from error


@dataclass(frozen=True)
class Finished:
    """A program that ended by itself: exit code and the last lines of its standard error."""

    code: int
    tail: tuple[str, ...]


def run(
    arguments: Sequence[str],
    timeout: float,
    on_line: OnLine | None = None,
    on_output: OnOutput | None = None,
    on_note: OnLine | None = None,
    room: Room | None = None,
) -> Finished:
    """Run a program to its end in a process group of its own, with bounded memory.

    Args:
        arguments: program and arguments; no shell reads them.
        timeout: seconds until the whole group is killed.
        on_line: called with each line of standard error, as it comes.
        on_output: called with each piece of standard output; the piece is valid during the call.
        on_note: called with each line that the program writes to the file ``NOTES``: what it says
            there is not mixed with what its threads say on standard error.
        room: called before each piece of standard output; returns where to put it, not empty.
            Large outputs are read into their final place this way.

    Raises:
        RowFailure: status ``timeout``.
        SystemicError: the program cannot be started.
    """
    deadline = time.monotonic() + timeout
    process, written = _start(arguments)
    assert process.stdout is not None
    assert process.stderr is not None
    errors, notes = _Lines(process.stderr, on_line), _Lines(written, on_note)
    try:
        _pump(process.stdout, (errors, notes), on_output, deadline, room or _own_room())
        code = process.wait(max(0.0, deadline - time.monotonic()))
    except subprocess.TimeoutExpired:
        name = os.path.basename(arguments[0])  # noqa: PTH119
        raise RowFailure("timeout", f"{name} was stopped after {timeout:g} s") from None
    finally:
        _end(process)
        written.close()
    return Finished(code, errors.finish())


def _start(arguments: Sequence[str]) -> tuple["subprocess.Popen[bytes]", IO[bytes]]:
    """Start the program; return it and the reading end of its notes."""
    reading, writing = os.pipe()
    notes = open(reading, "rb", buffering=0)  # noqa: PTH123, SIM115
    try:
        process = subprocess.Popen(
            [argument.replace(NOTES, f"/dev/fd/{writing}") for argument in arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            bufsize=0,
            start_new_session=True,
            pass_fds=(writing,),
        )
    except OSError as error:
        notes.close()
        raise SystemicError(f"{arguments[0]} cannot be started: {error}") from error
    finally:
        os.close(writing)
    for stream in (process.stdout, process.stderr, notes):
        _widen(stream)
    return process, notes


def _widen(stream: IO[bytes] | None) -> None:
    """Make a pipe large, so that writer and reader take fewer turns; a refusal does no harm."""
    import fcntl

    assert stream is not None
    os.set_blocking(stream.fileno(), False)
    with suppress(OSError, AttributeError):
        fcntl.fcntl(stream.fileno(), fcntl.F_SETPIPE_SZ, PIPE_BYTES)


def _own_room() -> Room:
    buffer = memoryview(bytearray(PIPE_BYTES))
    return lambda: buffer


def _pump(
    output: IO[bytes],
    texts: Sequence["_Lines"],
    on_output: OnOutput | None,
    deadline: float,
    room: Room,
) -> None:
    """Read all pipes to their ends.

    While standard output lives, the others are only looked at in passing: waking up for each of
    their lines would cost the decoder its core.
    """
    waited: Any = output
    while waited is not None:
        if time.monotonic() > deadline:
            raise subprocess.TimeoutExpired("", 0)
        ready = _readable(waited)
        ended = waited is not output
        if ready and waited is output:
            place = room()
            size = output.readinto(place)  # type: ignore[attr-defined]
            ended = size == 0
            if size and on_output:
                on_output(place[:size])
        for text in texts:
            text.drain()
        if ended:
            waited = next((text.stream for text in texts if text.open), None)


def _readable(stream: IO[bytes]) -> bool:
    """Wait a moment for a pipe; poll, since select refuses file numbers above 1023."""
    poll = select.poll()
    poll.register(stream, select.POLLIN | select.POLLHUP | select.POLLERR)
    return bool(poll.poll(POLL_SECONDS * 1000))


@dataclass
class _Lines:
    """A stream of text, cut into lines of bounded length; the last ones are kept."""

    stream: IO[bytes]
    on_line: OnLine | None
    open: bool = True
    rest: bytes = b""
    tail: deque[str] = field(default_factory=lambda: deque(maxlen=TAIL_LINES))

    def drain(self) -> None:
        """Take what is there, without waiting."""
        while self.open:
            piece = self.stream.read(TEXT_BYTES)
            if piece is None:
                return
            self.open = bool(piece)
            *lines, self.rest = (self.rest + piece).replace(b"\r", b"\n").split(b"\n")
            self.rest = self.rest[:LINE_CHARACTERS]
            for line in lines:
                self._take(line)

    def finish(self) -> tuple[str, ...]:
        """Take the last unfinished line and return the tail."""
        self._take(self.rest)
        self.rest = b""
        return tuple(self.tail)

    def _take(self, line: bytes) -> None:
        text = line[:LINE_CHARACTERS].decode("utf-8", "replace").strip()
        if text:
            self.tail.append(text)
            if self.on_line:
                self.on_line(text)


def _end(process: "subprocess.Popen[bytes]") -> None:
    """Leave nothing behind: no process of the group, no zombie, no open pipe."""
    if process.poll() is None:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    for stream in (process.stdout, process.stderr):
        if stream is not None:
            stream.close()
