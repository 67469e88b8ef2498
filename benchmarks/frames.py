"""The frames stage against bare ffmpeg: clips per second on the same cores, as ratios.

Bare is ``ffmpeg -i CLIP -f null -``, one process per clip: it decodes and throws away. The stage
runs as in a job, through the stage runner: probe, decode (several short clips in one ffmpeg),
choose, encode as JPEG, write a shard; starting its worker, once a shard, is part of the time. The
server that forks the workers is started before the clock; what it costs a job (its imports) is
printed by itself.
Repeats of both are interleaved, so that what else the machine does hits both.

    python benchmarks/frames.py [--clips 128] [--repeats 3]
"""

import argparse
import itertools
import multiprocessing
import os
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

from expressway.core.manifest import Clip
from expressway.core.rows import Job
from expressway.core.runner import run
from expressway.core.store import read_table
from expressway.core.subprocesses import ffmpeg_binary
from expressway.stages.frames import STAGE, FramesConfig

FILES = 16
SIZES = ("640x480", "224x224")
SECONDS = (1.6, 5.0)
RATE = 25
CONFIGS = {"16 frames": FramesConfig(maximum=16), "all frames": FramesConfig()}


def make_clips(folder: Path, size: str, seconds: float, count: int) -> list[Path]:
    """Render H.264 files from ffmpeg's test source; return ``count`` paths that take turns."""
    paths = []
    for number in range(FILES):
        path = folder / f"{size}-{seconds}-{number}.mp4"
        source = f"testsrc2=size={size}:rate={RATE},trim=start={number},setpts=PTS-STARTPTS"
        command = [ffmpeg_binary(), "-nostdin", "-y", "-loglevel", "error", "-f", "lavfi"]
        command += ["-i", source, "-t", str(seconds), "-c:v", "libx264", "-pix_fmt", "yuv420p"]
        subprocess.run([*command, str(path)], check=True)
        paths.append(path)
    return [paths[number % FILES] for number in range(count)]


def bare(paths: Sequence[Path]) -> None:
    """Decode every clip to nothing, one after another."""
    for path in paths:
        command = [ffmpeg_binary(), "-nostdin", "-i", str(path), "-f", "null", "-"]
        subprocess.run(command, check=True, capture_output=True)


def stage(paths: Sequence[Path], workers: int, config: FramesConfig, output: Path) -> None:
    """Run the frames stage on one shard that holds all clips."""
    clips = [Clip(f"clip{number}", path.name) for number, path in enumerate(paths)]
    job = Job(STAGE, config, clips, paths[0].parent, {}, output, {}, cores=workers)
    counts = run(job)
    if counts != {"ok": len(paths)}:
        rows = read_table(output).select(["status", "error_message"]).to_pylist()
        raise SystemExit(f"expected {len(paths)} ok rows, found {rows}")


def interleaved(calls: dict[str, Callable[[], None]], repeats: int) -> dict[str, list[float]]:
    """Return seconds per call and repeat; the order turns, so that no call is always first."""
    names = list(calls)
    found: dict[str, list[float]] = {name: [] for name in names}
    for repeat in range(repeats):
        for name in names[repeat % len(names) :] + names[: repeat % len(names)]:
            start = time.perf_counter()
            calls[name]()
            found[name].append(time.perf_counter() - start)
    return found


def ratios(reference: Sequence[float], measured: Sequence[float]) -> str:
    """Return min, median and max of reference / measured (more is faster), as text."""
    quotients = [a / b for a, b in zip(reference, measured, strict=True)]
    low, middle, high = min(quotients), statistics.median(quotients), max(quotients)
    return f"{low:5.2f} {middle:6.2f} {high:6.2f}"


def compare(folder: Path, arguments: argparse.Namespace) -> None:
    """Print the stage's clips/s as a multiple of bare ffmpeg's, both on one core."""
    for size, seconds in itertools.product(SIZES, SECONDS):
        paths = make_clips(folder, size, seconds, arguments.clips)
        calls: dict[str, Callable[[], None]] = {"bare": partial(bare, paths)}
        for name, config in CONFIGS.items():
            calls[name] = partial(stage, paths, 1, config, folder / "out.parquet")
        times = interleaved(calls, arguments.repeats)
        rate = len(paths) / statistics.median(times["bare"])
        print(f"{size}, {seconds} s: bare ffmpeg {rate:.1f} clips/s", flush=True)
        for name in CONFIGS:
            print(f"    {name:12} {ratios(times['bare'], times[name])}", flush=True)


def start(folder: Path) -> None:
    """Start the server that forks the workers, and print what that takes."""
    path, output = make_clips(folder, "224x224", 0.2, 1), folder / "out.parquet"
    seconds = []
    for _ in range(2):
        begin = time.perf_counter()
        stage(path, 1, FramesConfig(), output)
        seconds.append(time.perf_counter() - begin)
    print(f"a job's fork server: {seconds[0] - seconds[1]:.2f} s, beside which: {seconds[1]:.2f} s")


def apart(paths: Sequence[Path], workers: int, cores: Sequence[int], output: Path) -> float:
    """Run the stage in a fresh process on these cores, fork server and all; return seconds."""
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, context) as one:
        return one.submit(timed, paths, workers, cores, output).result()


def timed(paths: Sequence[Path], workers: int, cores: Sequence[int], output: Path) -> float:
    """Keep this process and all that it starts on these cores; return the stage's seconds."""
    os.sched_setaffinity(0, cores)
    begin = time.perf_counter()
    stage(paths, workers, FramesConfig(), output)
    return time.perf_counter() - begin


def scaling(folder: Path, arguments: argparse.Namespace, available: Sequence[int]) -> None:
    """Print clips/s with two worker processes on two cores as a multiple of one's on one."""
    paths = make_clips(folder, "640x480", 1.6, arguments.clips)
    seconds: dict[int, list[float]] = {1: [], 2: []}
    for repeat in range(arguments.repeats):
        for count in (1, 2) if repeat % 2 else (2, 1):
            output = folder / "out.parquet"
            seconds[count].append(apart(paths, count, available[:count], output))
    print(f"2 worker processes on 2 cores against 1 on 1: {ratios(seconds[1], seconds[2])}")


def main() -> None:
    """Measure against bare ffmpeg on one core, then two workers against one on two cores."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--clips", type=int, default=128, help="clips per shard")
    parser.add_argument("--repeats", type=int, default=3, help="interleaved repeats")
    arguments = parser.parse_args()
    available = sorted(os.sched_getaffinity(0))
    print("clips/s of the frames stage / clips/s of bare ffmpeg: min, median, max")
    with tempfile.TemporaryDirectory() as folder:
        os.sched_setaffinity(0, available[:1])
        start(Path(folder))
        compare(Path(folder), arguments)
        os.sched_setaffinity(0, available)
        if len(available) > 1:
            scaling(Path(folder), arguments, available)


if __name__ == "__main__":
    main()
