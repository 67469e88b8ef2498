"""A disk that is really full: a small tmpfs. The error names path and cause; nothing half stays."""

import os
import shutil
import subprocess
from pathlib import Path

import feature_world
import numpy as np
import pyarrow as pa
import pytest

from expressway.core.columns import blobs
from expressway.core.errors import SystemicError
from expressway.core.files import write_json
from expressway.core.store import ShardReader, ShardWriter
from expressway.models import training

SIZE = 1 << 20


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 1 MiB, mounted as root (or by a sudo that asks nothing)."""
    folder = tmp_path / "disk"
    folder.mkdir()
    become = [] if os.getuid() == 0 else ["sudo", "-n"]
    mount = [*become, "mount", "-t", "tmpfs", "-o", f"size={SIZE},mode=1777", "none", str(folder)]
    if not shutil.which("mount") or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("a tmpfs cannot be mounted here")
    yield folder
    subprocess.run([*become, "umount", str(folder)], check=True)


def write_shard(path: Path, clips: int) -> None:
    noise = np.random.default_rng(0)
    with ShardWriter(path, pa.schema([blobs("images")]), {}, images=True) as writer:
        for number in range(clips):
            image = noise.bytes(50_000)
            writer.write({"clip_id": f"c{number}", "status": "ok", "images": [image]})


def test_a_shard(small_disk):
    write_shard(small_disk / "00000.parquet", 4)
    with pytest.raises(SystemicError, match=r"00001\.parquet: cannot be written.*space"):
        write_shard(small_disk / "00001.parquet", 40)
    assert [path.name for path in small_disk.iterdir()] == ["00000.parquet"]
    assert len(ShardReader(small_disk / "00000.parquet")) == 4


def test_a_table_of_text(small_disk):
    with pytest.raises(SystemicError, match=r"metrics\.json: cannot be written.*space"):
        write_json(small_disk / "metrics.json", ["x" * 100] * 20_000)
    assert list(small_disk.iterdir()) == []


@pytest.mark.parametrize("full", ["state", "out"])
def test_a_training(small_disk, tmp_path, full):
    """Checkpoints and weights are written by torch and safetensors, with errors of their own."""
    world = feature_world.make(tmp_path / "world")
    spec = world.train_spec("linear", "supervised", recipe=feature_world.SMALL["linear"])
    ballast = small_disk / "ballast"
    ballast.write_bytes(bytes(SIZE))
    places = {"out": tmp_path / "out", "state": tmp_path / "state"} | {full: small_disk / full}
    with pytest.raises(SystemicError, match=f"{full}.*cannot be written"):
        training.train(spec, places["out"], places["state"])
    assert not (places["out"] / "model.json").exists()
    assert [path for path in small_disk.rglob("*") if path.is_file()] == [ballast]
    ballast.unlink()
    training.train(spec, places["out"], places["state"])
    assert (places["out"] / "model.json").exists()
