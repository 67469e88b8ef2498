"""What parsing costs per 1000 clips: regions and import through the stage, SegFormers by frame.

Run: python benchmarks/parsing.py [--clips 50] [--frames 48] [--segformer 4]

The clips repeat rendered faces with MediaPipe's mesh. SegFormers have random weights (the
arithmetic is the same) and work at 512 px. Times are CPU seconds of all threads, so that other
work on the machine matters little; ratios are of frames against decoding the same crops.
"""

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pyarrow as pa
import torch
import transformers

from expressway.core.columns import blobs, frame_array, frame_list
from expressway.core.manifest import Clip
from expressway.core.rows import Job
from expressway.core.runner import run
from expressway.core.stage import Source
from expressway.core.store import ShardReader, ShardWriter
from expressway.data.demo import render, world
from expressway.faces import align
from expressway.faces.detectors import DetectorConfig, open_detector
from expressway.faces.landmarks import to_68
from expressway.faces.parsers.transformers import SPELLINGS, TransformersParser
from expressway.faces.parsing import Portrait
from expressway.faces.pictures import decode
from expressway.stages.parsing import STAGE, ParsingConfig

FACES = 8
LABELS = [label.split()[0] for label in SPELLINGS.values()]
SEGFORMERS: dict[str, dict[str, Any]] = {
    "B0": {},
    "B5": {
        "depths": [3, 6, 40, 3],
        "hidden_sizes": [64, 128, 320, 512],
        "decoder_hidden_size": 768,
    },
}


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--clips", type=int, default=50)
    parser.add_argument("--frames", type=int, default=48, help="frames per clip")
    parser.add_argument("--segformer", type=int, default=4, help="frames for each SegFormer")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    crops, meshes = faces(arguments.frames)
    base, _ = cpu(lambda: [decode(crop) for crop in crops])
    print(f"{'parser':22}{'CPU s / 1000 clips':>20}{'MB / 1000 clips':>18}{'x decoding':>12}")
    with tempfile.TemporaryDirectory() as name:
        stage(Path(name), arguments.clips, crops, meshes, base)
        for kind, settings in SEGFORMERS.items():
            parser_ = TransformersParser(segformer(Path(name) / kind, settings))
            few = Portrait("a", crops[: arguments.segformer], np.arange(arguments.segformer))
            seconds, _ = cpu(lambda: list(parser_.masks([few])))  # noqa: B023
            per_clip = seconds / len(few) * arguments.frames
            line(f"SegFormer-{kind}, 512 px", per_clip, None, base)


def faces(frames: int) -> tuple[list[bytes], np.ndarray]:
    """Return crops of a rendered clip as JPEG, and their meshes ``(frames, 478, 3)``."""
    detector, shown = open_detector(DetectorConfig()), world.performance(2026, 5)
    found = []
    for number in range(FACES):
        image = np.ascontiguousarray(render.frame(shown, number))
        points = detector.detect(image)[0].points
        transform = align.similarity(points, align.template(224))
        crop = align.crop(image, transform, 224)
        data = cv2.imencode(".jpg", crop[:, :, ::-1], [cv2.IMWRITE_JPEG_QUALITY, 95])[1].tobytes()
        found.append((data, detector.landmarks(crop, align.apply(transform, points))))
    chosen = [found[number % FACES] for number in range(frames)]
    return [data for data, _ in chosen], np.stack([mesh for _, mesh in chosen])


def stage(folder: Path, count: int, crops: list[bytes], meshes: np.ndarray, base: float) -> None:
    """Run the parsers that need no weights through the stage runner."""
    clips = [Clip(f"clip{number:04d}", "x") for number in range(count)]
    inputs = stores(folder, clips, crops, meshes)
    regions = ParsingConfig()
    run_stage("regions", regions, folder, clips, inputs, base)
    saved = ShardReader(folder / "regions.parquet")
    for clip in clips:
        masks = saved.by_id(clip.id, ["masks"])["masks"]
        (folder / "saved" / clip.id).mkdir(parents=True)
        for index, mask in enumerate(masks):
            (folder / "saved" / clip.id / f"{index}.png").write_bytes(mask)
    imported = ParsingConfig(parser="import", folder=str(folder / "saved"))
    run_stage("import", imported, folder, clips, inputs, base)


def stores(
    folder: Path, clips: list[Clip], crops: list[bytes], meshes: np.ndarray
) -> dict[str, Source]:
    """Write the stores that the stage reads."""
    number = len(crops)
    facts = {
        "source_index": np.arange(number),
        "time": np.arange(number) / 25,
        "valid": np.ones(number, bool),
    }
    common = [
        frame_list("source_index", "int32"),
        frame_list("time", "float64"),
        frame_list("valid", "bool"),
    ]
    points = frame_array("points", "float32", 68, 2)
    tables: dict[str, tuple[list[pa.Field], dict[str, Any]]] = {
        "faces": ([blobs("crops")], {"crops": crops}),
        "landmarks": (
            [points, frame_array("mesh", "float32", 478, 3)],
            {"points": to_68(meshes, "mesh478"), "mesh": meshes},
        ),
    }
    for name, (fields, values) in tables.items():
        path = folder / f"{name}.parquet"
        with ShardWriter(path, pa.schema([*common, *fields]), {}, images=True) as writer:
            for clip in clips:
                writer.write({"clip_id": clip.id, "status": "ok", **facts, **values})
    return {name: Source(path=folder / f"{name}.parquet") for name in tables}


def run_stage(
    name: str,
    config: ParsingConfig,
    folder: Path,
    clips: list[Clip],
    inputs: dict[str, Source],
    base: float,
) -> None:
    """Time one run of the stage."""
    output = folder / f"{name}.parquet"
    read = {store: inputs[store] for store in config.upstream()}
    job = Job(STAGE, config, clips, folder, read, output, {})
    seconds, _ = cpu(lambda: run(job))
    line(name, seconds / len(clips), output.stat().st_size / len(clips), base)


def segformer(folder: Path, settings: dict[str, Any]) -> str:
    """Save a SegFormer with random weights and CelebAMask's labels."""
    labels = dict(enumerate(LABELS))
    config = transformers.SegformerConfig(
        id2label=labels, label2id={v: k for k, v in labels.items()}, **settings
    )
    transformers.SegformerForSemanticSegmentation(config).save_pretrained(folder)
    size = {"height": 512, "width": 512}
    transformers.SegformerImageProcessor(size=size).save_pretrained(folder)
    return str(folder)


def cpu(task: Callable[[], Any]) -> tuple[float, Any]:
    """Return CPU seconds of all threads, and the task's result."""
    start = time.process_time()
    result = task()
    return time.process_time() - start, result


def line(name: str, seconds: float, size: float | None, base: float) -> None:
    """Print one row of the table, of CPU seconds and bytes per clip."""
    shown = f"{size * 1000 / 1e6:18.0f}" if size is not None else f"{'':18}"
    print(f"{name:22}{seconds * 1000:20,.0f}{shown}{seconds / base:12.1f}")


if __name__ == "__main__":
    main()
