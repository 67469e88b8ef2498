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
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Protocol

from expressway.core.errors import RowFailure, SystemicError

PIPE_BYTES = 1 << 20
TEXT_BYTES = 1 << 16
TAIL_LINES = 40
LINE_CHARACTERS = 500
POLL_SECONDS = 0.05

OnLine = Callable[[str], None]
# Program and arguments; or what gives them for the file numbers of the outputs and of the notes.
Command = Sequence[str] | Callable[[Sequence[int], Sequence[int]], Sequence[str]]


class Reader(Protocol):
    """Takes a large output piece by piece, each read into its final place."""

    def room(self) -> memoryview:
        """Return where the next piece goes; not empty."""
        ...

    def feed(self, piece: memoryview) -> None:
        """Take the next piece, the beginning of ``room``."""
        ...


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
    command: Command,
    timeout: float,
    on_line: OnLine | None = None,
    outputs: Sequence[Reader] = (),
    notes: Sequence[OnLine] = (),
) -> Finished:
    """Run a program to its end in a process group of its own, with bounded memory.

    Args:
        command: program and arguments; no shell reads them.
        timeout: seconds until the whole group is killed.
        on_line: called with each line of standard error, as it comes.
        outputs: each takes what the program writes to a file number of its own.
        notes: likewise, called with each line; what the program says there is not mixed with what
            its threads say on standard error.

    Raises:
        RowFailure: status ``timeout``.
        SystemicError: the program cannot be started.
    """
    deadline = time.monotonic() + timeout
    with ExitStack() as stack:
        said, *pipes = [stack.enter_context(_Pipe()) for _ in (None, *outputs, *notes)]
        numbers = [pipe.writing.fileno() for pipe in pipes]
        if callable(command):
            command = command(numbers[: len(outputs)], numbers[len(outputs) :])
        process = _start(command, said, pipes)
        stack.callback(_end, process)
        errors = _Lines(said.reading, on_line)
        large = [_Output(pipe.reading, to) for pipe, to in zip(pipes, outputs, strict=False)]
        lines = [
            _Lines(pipe.reading, to) for pipe, to in zip(pipes[len(large) :], notes, strict=True)
        ]
        for output in large:
            _widen(output.number, PIPE_BYTES // len(large))
        try:
            _pump(large, [errors, *lines], deadline)
            code = process.wait(max(0.0, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            name = Path(command[0]).name
            raise RowFailure("timeout", f"{name} was stopped after {timeout:g} s") from None
    return Finished(code, errors.finish())


class _Pipe:
    """What a program writes into ``writing`` comes out of ``reading``, which never waits."""

    def __init__(self) -> None:
        reading, writing = os.pipe()
        os.set_blocking(reading, False)
        self.reading = open(reading, "rb", buffering=0)  # noqa: PTH123, SIM115
        self.writing = open(writing, "wb", buffering=0)  # noqa: PTH123, SIM115

    def __enter__(self) -> "_Pipe":
        return self

    def __exit__(self, *_: object) -> None:
        self.reading.close()
        self.writing.close()


def _start(
    command: Sequence[str], said: _Pipe, pipes: Sequence[_Pipe]
) -> "subprocess.Popen[bytes]":
    """Start the program; from then on nobody else holds the writing ends."""
    try:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=said.writing,
            start_new_session=True,
            pass_fds=[pipe.writing.fileno() for pipe in pipes],
        )
    except OSError as error:
        raise SystemicError(f"{command[0]} cannot be started: {error}") from error
    for pipe in (said, *pipes):
        pipe.writing.close()
    return process


def _widen(number: int, size: int) -> None:
    """Make a pipe large, so that writer and reader take fewer turns; a refusal does no harm.

    What all pipes of a user hold is limited, so several share what one alone would have.
    """
    import fcntl

    with suppress(OSError, AttributeError):
        fcntl.fcntl(number, fcntl.F_SETPIPE_SZ, size)


def _pump(outputs: Sequence["_Output"], texts: Sequence["_Lines"], deadline: float) -> None:
    """Read all pipes to their ends.

    While an output lives, the texts are only looked at in passing: waking up for each of their
    lines would cost the decoder its core.
    """
    for streams in (outputs, texts):
        waited = {stream.number: stream for stream in streams if stream.open}
        # poll, since select refuses file numbers above 1023
        poll = select.poll()
        for number in waited:
            poll.register(number, select.POLLIN | select.POLLHUP | select.POLLERR)
        while waited:
            if time.monotonic() > deadline:
                raise subprocess.TimeoutExpired("", 0)
            for number, _ in poll.poll(POLL_SECONDS * 1000):
                waited[number].take()
                if not waited[number].open:
                    poll.unregister(number)
                    del waited[number]
            for text in texts:
                text.take()


class _Output:
    """A large output, read into the place that its reader names."""

    def __init__(self, stream: IO[bytes], reader: Reader) -> None:
        self.stream, self.reader = stream, reader
        self.number, self.open = stream.fileno(), True

    def take(self) -> None:
        """Take a piece of what is there; none means that the program has closed its end."""
        place = self.reader.room()
        size = self.stream.readinto(place)  # type: ignore[attr-defined]
        self.open = size != 0
        if size:
            self.reader.feed(place[:size])


class _Lines:
    """A stream of text, cut into lines of bounded length; the last ones are kept."""

    def __init__(self, stream: IO[bytes], on_line: OnLine | None) -> None:
        self.stream, self.on_line = stream, on_line
        self.number, self.open = stream.fileno(), True
        self.rest = b""
        self.tail: deque[str] = deque(maxlen=TAIL_LINES)

    def take(self) -> None:
        """Take all that is there, without waiting."""
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
    """Leave nothing behind: no process of the group, no zombie."""
    if process.poll() is None:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
