"""Captions measured against what the demo world really drew, and what a thousand of them cost.

    python benchmarks/captions.py agree --seed 31 --clips 160   recall and precision per unit
    python benchmarks/captions.py fit --seed 7 --clips 160      how far units shift distances
    python benchmarks/captions.py cost --clips 64               processor seconds per 1000 clips

`cost` is what this program spends itself: measuring and wording for action_units; for a server,
reading crops, encoding them and waiting for a loopback server that answers at once. What a model
behind it takes depends on the model and comes on top.

Clips are rendered, decoded, and their faces found and measured by the real stages. A unit counts
as shown in a clip when its true intensity reaches 0.5 in some frame (blinks, talk and other
distractors included), as absent when it stays below 0.1; what lies between is not counted.
Seeds 7 and 2026 were used to choose the captioner's constants; claims need another one.
"""

import argparse
import json
import os
import tempfile
import time
from collections.abc import Iterator
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from multiprocessing import Pipe, Process
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np

from expressway.core.manifest import Clip
from expressway.core.rows import Job
from expressway.core.runner import run
from expressway.core.stage import Source
from expressway.core.store import ShardReader
from expressway.data.demo import render, world
from expressway.data.demo.units import UNITS
from expressway.faces import geometry
from expressway.faces.agreement import VISIBLE_UNITS, UnitScore, means, score
from expressway.faces.landmarks import to_68
from expressway.stages import captions, faces, frames, landmarks


def make_world(folder: Path, seed: int, count: int) -> tuple[list[Clip], Path]:
    """Render a world; return its clips and the table of true intensities."""
    ids = [world.clip_id(number) for number in range(count)]
    truth = folder / "truth.parquet"
    render.render_clips(ids, seed, folder, truth)
    clips = [
        Clip(id=name, path=render.default_path(name), kind="video", video=name) for name in ids
    ]
    return clips, truth


def prepare(folder: Path, clips: list[Clip], cores: int) -> Path:
    """Run frames, faces and landmarks; return the landmarks store."""
    stages = [
        (frames.STAGE, frames.FramesConfig(), {}),
        (faces.STAGE, faces.FacesConfig(detector="mediapipe"), {"frames": "frames"}),
        (landmarks.STAGE, landmarks.LandmarksConfig(detector="mediapipe"), {"faces": "faces"}),
    ]
    for stage, config, reads in stages:
        inputs = {name: Source(path=folder / f"{above}.parquet") for name, above in reads.items()}
        output = folder / f"{stage.name}.parquet"
        run(Job(stage, config, clips, folder, inputs, output, {}, cores=cores))
    return folder / "landmarks.parquet"


def describe(
    folder: Path, clips: list[Clip], store: Path, config: captions.CaptionsConfig
) -> tuple[ShardReader, float]:
    """Run the captions stage; return its store and the processor seconds that it took."""
    inputs = {stage: Source(path=store) for stage in config.upstream()}
    output = folder / "captions.parquet"
    start = time.process_time()
    run(Job(captions.STAGE, config, clips, folder, inputs, output, {}))
    return ShardReader(output), time.process_time() - start


class Ready(BaseHTTPRequestHandler):
    """A chat server that has its answer ready."""

    answer = json.dumps({"choices": [{"message": {"content": "The brows go up."}}]}).encode()

    def do_POST(self) -> None:
        """Read the request and answer it."""
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200)
        self.send_header("Content-Length", str(len(self.answer)))
        self.end_headers()
        self.wfile.write(self.answer)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


def serve(pipe: Connection) -> None:
    """Run the server in a process of its own; tell its port."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Ready)
    pipe.send(server.server_port)
    server.serve_forever()


def served(folder: Path, clips: list[Clip]) -> float:
    """Return the processor seconds of captioning through a server, without the server's own."""
    here, there = Pipe()
    process = Process(target=serve, args=[there], daemon=True)
    process.start()
    options = {"base_url": f"http://127.0.0.1:{here.recv()}/v1", "model": "ready"}
    config = captions.CaptionsConfig.model_validate({"captioner": "openai", "openai": options})
    try:
        return describe(folder, clips, folder / "faces.parquet", config)[1]
    finally:
        process.terminate()


def intensities(path: Path) -> Iterator[np.ndarray]:
    """Yield the true intensities (frames, 17) of each clip."""
    import pyarrow.parquet as pq

    for flat in pq.read_table(path).column("intensities"):
        yield np.array(flat.as_py(), np.float64).reshape(-1, len(UNITS))


def agreement(store: ShardReader, truth: Path) -> list[UnitScore]:
    """Return the scores of all units over the clips that have measurements."""
    rows = ((store.row(index), course) for index, course in enumerate(intensities(truth)))
    return score(((r["measurements"], true) for r, true in rows if r["measurements"]), UNITS)


def print_agreement(found: list[UnitScore]) -> None:
    """Print a table, the visible units first."""
    print("unit  shown absent recall precision correlation")
    for row in sorted(found, key=lambda each: (each.unit not in VISIBLE_UNITS, each.unit)):
        print(
            f"AU{row.unit:02d}  {row.shown:5d} {row.absent:6d} {_two(row.recall):>6} "
            f"{_two(row.precision):>9} {_two(row.correlation):>11}"
        )
    recall, precision = means(found)
    units = ", ".join(map(str, VISIBLE_UNITS))
    print(f"mean over AU {units}: recall {_two(recall)}, precision {_two(precision)}")


def _two(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"


def print_fit(store: Path, truth: Path) -> None:
    """Print how far a full unit shifts each distance, and how far distances stray."""
    reader, moved, caused = ShardReader(store), [], []
    for index, course in enumerate(intensities(truth)):
        row = reader.row(index)
        if row["points"] is None or len(row["points"]) != len(course):
            continue
        found = geometry.measure(row["points"], row["mesh"], partial(_points, layout="mesh478"))
        values = np.stack(list(found.distances.values()), axis=1)
        moved.append(values - np.median(values[:4], axis=0))
        caused.append(course - np.median(course[:4], axis=0))
        names = list(found.distances)
    shifts, causes = np.concatenate(moved), np.concatenate(caused)
    pattern = np.linalg.lstsq(causes, shifts, rcond=None)[0]
    strays = (shifts - causes @ pattern).std(axis=0)
    print(f"{'':22s}" + "".join(f"{unit:7d}" for unit in UNITS) + "  strays")
    for column, name in enumerate(names):
        shown = "".join(f"{value:7.3f}" for value in pattern[:, column])
        print(f"{name:22s}{shown} {strays[column]:7.3f}")


def _points(mesh: np.ndarray, layout: str) -> np.ndarray:
    return to_68(mesh.astype(np.float32), layout)


def main() -> None:
    """Read the command line and print what was measured."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=["agree", "fit", "cost"], nargs="?", default="cost")
    parser.add_argument("--seed", type=int, default=31)
    parser.add_argument("--clips", type=int, default=160)
    parser.add_argument("--cores", type=int, default=1)
    parser.add_argument("--keep", type=Path, help="folder to work in, and to keep")
    options = parser.parse_args()
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.keep or Path(temporary)
        clips, truth = make_world(folder, options.seed, options.clips)
        store = prepare(folder, clips, options.cores)
        show(options.what, folder, clips, store, truth)


def show(what: str, folder: Path, clips: list[Clip], store: Path, truth: Path) -> None:
    """Print one of the three measurements."""
    if what == "fit":
        print_fit(store, truth)
        return
    found, seconds = describe(folder, clips, store, captions.CaptionsConfig())
    if what == "cost":
        for name, spent in (("action_units", seconds), ("openai", served(folder, clips))):
            print(f"{name}: {spent / len(clips) * 1000:.1f} processor seconds per 1000 clips")
        return
    print_agreement(agreement(found, truth))
    for index in range(3):
        print(found.row(index, ["raw"])["raw"])


if __name__ == "__main__":
    main()
