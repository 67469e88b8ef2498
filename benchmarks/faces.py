"""Faces and landmarks: frames per second of a core, and what a second core adds.

Detection and landmarks are measured in this process on one core, decoding and cutting apart. A
second table shows what the margin and the smoothing of the alignment do, against landmarks on
whole frames.
The three stages then run as in jobs, each in a process of its own, through the stage runner, with
one worker process on one core and two on two. Repeats are interleaved, so that what else the
machine does hits all.

    python benchmarks/faces.py [--clips 96] [--repeats 3] [--video FILE]

Without a video the clips show NASA's portrait of Eileen Collins (scikit-image's wheel), moving.
"""

import argparse
import multiprocessing
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np

from expressway import stages
from expressway.core.manifest import Clip
from expressway.core.rows import Job
from expressway.core.runner import run
from expressway.core.stage import Source
from expressway.core.subprocesses import ffmpeg_binary
from expressway.faces import align
from expressway.faces.detectors import DetectorConfig, open_detector
from expressway.faces.detectors.base import Detector
from expressway.faces.landmarks import to_5, to_68

SIZE, SECONDS, FPS = (640, 360), 2, 25


def make_video(path: Path) -> None:
    """Write a clip of a face that moves over the frame."""
    import ffmpeg
    from skimage import data

    width, height = SIZE
    portrait = np.ascontiguousarray(data.astronaut())
    process = (
        ffmpeg.input("pipe:", format="rawvideo", pix_fmt="rgb24", s=f"{width}x{height}", r=FPS)
        .output(str(path), vcodec="libx264", pix_fmt="yuv420p", crf=20, loglevel="error")
        .overwrite_output()
        .run_async(cmd=ffmpeg_binary(), pipe_stdin=True)
    )
    for index in range(SECONDS * FPS):
        angle = 2 * np.pi * index / (SECONDS * FPS)
        shift = np.array([64 + 60 * np.sin(angle), 10 * np.cos(angle)])
        move = np.array([[1.5, 0, shift[0] - 180], [0, 1.5, shift[1]]], np.float32)
        canvas = np.full((height, width, 3), 90, np.uint8)
        canvas[:, 140 : 140 + height] = align.crop(portrait, move, height)
        process.stdin.write(canvas.tobytes())
    process.stdin.close()
    if process.wait():
        raise SystemExit("ffmpeg could not write the clip")


def read(path: Path) -> list[np.ndarray]:
    """Return the frames of a video."""
    import av

    with av.open(str(path)) as container:
        return [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]


def per_frame(work: Callable[[], object], count: int) -> float:
    """Return milliseconds of processor time per frame."""
    start = time.process_time()
    work()
    return (time.process_time() - start) / count * 1e3


def one_core(detector: Detector, images: Sequence[np.ndarray]) -> tuple[float, float]:
    """Return milliseconds per frame of detection and of landmarks on aligned crops."""
    found = [detector.detect(image) for image in images]
    seen = [index for index, each in enumerate(found) if each]
    points = np.stack([found[index][0].points for index in seen])
    transforms = align.similarity(points, align.template(224))
    hints = align.apply(transforms, points)
    crops = [align.crop(images[i], t, 224) for i, t in zip(seen, transforms, strict=True)]
    detect = per_frame(lambda: [detector.detect(image) for image in images], len(images))
    place = per_frame(
        lambda: [detector.landmarks(c, h) for c, h in zip(crops, hints, strict=True)], len(crops)
    )
    return detect, place


def report_core(images: Sequence[np.ndarray], repeats: int) -> None:
    """Print frames/s of one core for each range of the MediaPipe detector."""
    print(f"{len(images)} frames of {images[0].shape[1]}x{images[0].shape[0]}, one thread")
    print(f"{'range':<7} {'detect ms':>10} {'landmarks ms':>13} {'both, frames/s':>15}")
    for choice in ("auto", "full", "tiles"):
        detector = open_detector(DetectorConfig(mediapipe={"range": choice}))
        runs = [one_core(detector, images) for _ in range(repeats)]
        detect, place = (statistics.median(column) for column in zip(*runs, strict=True))
        print(f"{choice:<7} {detect:>10.2f} {place:>13.2f} {1e3 / (detect + place):>15.0f}")


def report_alignment(images: Sequence[np.ndarray]) -> None:
    """Print how exact landmarks on crops are, and how steady crops, by margin and smoothing."""
    detector = open_detector(DetectorConfig())
    points = np.stack([detector.detect(image)[0].points for image in images])
    times = np.arange(len(images)) / FPS
    whole = placed(detector, images, points)
    print("errors in eye distances, shake (second difference) in crop pixels")
    print(f"{'margin':>6} {'smoothing':>10} {'jaw':>7} {'rest':>7} {'chin at':>8} {'shake':>6}")
    for margin, smoothing in ((0, 0.04), (0.1, 0.04), (0.15, 0.04), (0.2, 0.04), (0.15, 0)):
        steady = align.smoothed(points, times, smoothing)
        transforms = align.similarity(steady, align.template(224, margin))
        crops = [align.crop(i, t, 224) for i, t in zip(images, transforms, strict=True)]
        found = placed(detector, crops, align.apply(transforms, points))
        truth = align.apply(transforms, whole)
        five = to_5(truth)
        eyes = np.linalg.norm(five[:, 1] - five[:, 0], axis=-1)[:, None]
        error = np.linalg.norm(found - truth, axis=-1) / eyes
        shake = np.sqrt((np.diff(five, 2, axis=0) ** 2).sum(-1).mean())
        print(
            f"{margin:>6} {smoothing:>10} {error[:, :17].mean():>7.4f} {error[:, 17:].mean():>7.4f}"
            f" {truth[:, 8, 1].max():>8.0f} {shake:>6.2f}"
        )


def placed(detector: Detector, images: Sequence[np.ndarray], points: np.ndarray) -> np.ndarray:
    """Return 68 landmarks of every image."""
    dense = [detector.landmarks(i, p) for i, p in zip(images, points, strict=True)]
    if any(each is None for each in dense):
        raise SystemExit("the benchmark needs a face with landmarks in every frame")
    return to_68(np.stack([each for each in dense if each is not None]), detector.layout)


def prepare(video: Path, clips: int, cores: int, folder: Path) -> float:
    """Run frames, faces and landmarks on one shard; return the seconds of all."""
    context = multiprocessing.get_context("spawn")
    seconds = 0.0
    for name in ("frames", "faces", "landmarks"):
        with ProcessPoolExecutor(1, context) as one:
            seconds += one.submit(compute, name, video, clips, cores, folder).result()
    return seconds


def compute(name: str, video: Path, clips: int, cores: int, folder: Path) -> float:
    """Run one stage, this process and all that it starts on so many cores; return seconds."""
    os.sched_setaffinity(0, sorted(AVAILABLE)[:cores])
    stage = stages.get(name)
    config = stage.config()
    rows = [Clip(f"clip{number}", video.name) for number in range(clips)]
    sources = {above: Source(folder / f"{above}{cores}.parquet") for above in config.upstream()}
    output = folder / f"{name}{cores}.parquet"
    job = Job(stage, config, rows, video.parent, sources, output, {}, cores=cores)
    start = time.perf_counter()
    counts = run(job)
    if set(counts) != {"ok"}:
        raise SystemExit(f"{name}: expected ok rows only, found {dict(counts)}")
    return time.perf_counter() - start


def report_scaling(video: Path, clips: int, repeats: int) -> None:
    """Print how much faster two cores are than one."""
    count = len(read(video)) * clips
    seconds: dict[int, list[float]] = {1: [], 2: []}
    with tempfile.TemporaryDirectory() as folder:
        for repeat in range(repeats):
            for cores in (1, 2) if repeat % 2 else (2, 1):
                seconds[cores].append(prepare(video, clips, cores, Path(folder)))
    for cores, found in seconds.items():
        rate = count / statistics.median(found)
        print(f"frames + faces + landmarks, {clips} clips, {cores} cores: {rate:.0f} frames/s")
    ratios = [a / b for a, b in zip(seconds[1], seconds[2], strict=True)]
    low, middle, high = min(ratios), statistics.median(ratios), max(ratios)
    print(f"2 cores against 1: {low:.2f} {middle:.2f} {high:.2f} (min, median, max; aim 1.7)")


AVAILABLE = os.sched_getaffinity(0)


def main() -> None:
    """Measure one core, then scaling."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--clips", type=int, default=96, help="clips per shard")
    parser.add_argument("--repeats", type=int, default=3, help="interleaved repeats")
    parser.add_argument("--video", type=Path, help="a clip with one face in every frame")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        video = arguments.video or Path(folder) / "face.mp4"
        if not arguments.video:
            make_video(video)
        report_core(read(video), arguments.repeats)
        report_alignment(read(video))
        if len(AVAILABLE) < 2:
            print("one core only: no scaling measured")
            return
        report_scaling(video, arguments.clips, arguments.repeats)


if __name__ == "__main__":
    main()
