"""The frames stage against bare ffmpeg: clips per second on the same cores, as ratios.

Bare is ``ffmpeg -i CLIP -f null -``, one process per clip: it decodes and throws away. The stage
runs as in a job, through the stage runner: probe, decode, choose, encode as JPEG, write a shard;
starting its worker, once a shard, is part of the time.
Repeats of both are interleaved, so that what else the machine does hits both.

    python benchmarks/frames.py [--clips 128] [--repeats 3]
"""

import argparse
import itertools
import os
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from expressway.manifest import Clip
from expressway.media.subprocesses import ffmpeg_binary
from expressway.stage import Job, run
from expressway.stages.frames import STAGE, FramesConfig
from expressway.store import read_table

FILES = 6
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


def scaling(folder: Path, arguments: argparse.Namespace) -> None:
    """Print clips/s with two worker processes as a multiple of one's."""
    paths = make_clips(folder, "640x480", 1.6, arguments.clips)
    output = folder / "out.parquet"
    calls = {f"{n}": partial(stage, paths, n, FramesConfig(), output) for n in (1, 2)}
    times = interleaved(calls, arguments.repeats)
    print(f"2 worker processes against 1: {ratios(times['1'], times['2'])}")


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
        compare(Path(folder), arguments)
        os.sched_setaffinity(0, available[:2])
        if len(available) > 1:
            scaling(Path(folder), arguments)


if __name__ == "__main__":
    main()
