"""Shard tables: what goes in comes out, and a file is whole or absent."""

import multiprocessing
import os
import signal
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from expressway.core import columns, files, store
from expressway.core.errors import StoreError, SystemicError

FIELDS = pa.schema(
    [
        columns.frame_array("points", "float32", 68, 2),
        columns.clip_array("vector", "float16", 4),
        columns.frame_list("index", "int32"),
        columns.frame_list("valid", "bool"),
        columns.blobs("images"),
        pa.field("codec", pa.string()),
    ]
)


def rows(count):
    random = np.random.default_rng(0)
    for i in range(count):
        yield {
            "clip_id": f"c{i}",
            "status": "ok",
            "points": random.random((i + 1, 68, 2), dtype=np.float32),
            "vector": random.random(4).astype(np.float16),
            "index": np.arange(i + 1, dtype=np.int32),
            "valid": np.arange(i + 1) % 2 == 0,
            "images": [bytes([i]) * (i + 1)] * (i + 1),
            "codec": "h264",
        }


def write(path, images=False, count=5):
    with store.ShardWriter(path, FIELDS, {"stage": "frames"}, images=images) as writer:
        for row in rows(count):
            writer.write(row)
        writer.write({"clip_id": "bad", "status": "no_face", "error_message": "none"})


@pytest.mark.parametrize("images", [True, False])
def test_round_trip(tmp_path, images):
    path = tmp_path / "00000.parquet"
    write(path, images)
    reader = store.ShardReader(path)
    assert reader.footer["stage"] == "frames"
    for expected in rows(5):
        found = reader.by_id(expected["clip_id"])
        for name, value in expected.items():
            if isinstance(value, np.ndarray):
                assert found[name].dtype == value.dtype
                np.testing.assert_array_equal(found[name], value)
            else:
                assert found[name] == value
    bad = reader.by_id("bad")
    assert bad["points"] is None
    assert bad["vector"] is None
    assert bad["error_message"] == "none"


def test_image_stores_hold_one_clip_per_row_group(tmp_path):
    write(tmp_path / "a.parquet", images=True)
    metadata = pq.ParquetFile(tmp_path / "a.parquet").metadata
    assert metadata.num_row_groups == 6
    column = metadata.row_group(0).column(0)
    assert column.compression == "UNCOMPRESSED"
    assert "PLAIN_DICTIONARY" not in column.encodings


def test_same_rows_give_the_same_bytes(tmp_path):
    write(tmp_path / "a.parquet")
    write(tmp_path / "b.parquet")
    assert (tmp_path / "a.parquet").read_bytes() == (tmp_path / "b.parquet").read_bytes()


def test_an_error_leaves_the_old_file_and_no_temporary_one(tmp_path):
    path = tmp_path / "00000.parquet"
    write(path)
    before = path.read_bytes()
    with (
        pytest.raises(RuntimeError, match="boom"),
        store.ShardWriter(path, FIELDS, {}) as writer,
    ):
        writer.write({"clip_id": "x", "status": "ok"})
        raise RuntimeError("boom")
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def _write_and_hang(path):
    with store.ShardWriter(path, FIELDS, {}) as writer:
        writer.write({"clip_id": "x", "status": "ok"})
        time.sleep(60)


def test_a_killed_writer_leaves_nothing_under_the_name_and_is_swept(tmp_path):
    path = tmp_path / "00000.parquet"
    process = multiprocessing.get_context("fork").Process(target=_write_and_hang, args=(path,))
    process.start()
    while not list(tmp_path.iterdir()):
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    assert not path.exists()
    assert len(list(tmp_path.iterdir())) == 1
    write(path)
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("damage", ["truncate", "text", "foreign", "missing", "version"])
def test_damaged_files_are_named(tmp_path, damage):
    path = tmp_path / "00000.parquet"
    write(path)
    if damage == "truncate":
        path.write_bytes(path.read_bytes()[:-20])
    elif damage == "text":
        path.write_text("hello")
    elif damage == "foreign":
        pq.write_table(pa.table({"a": [1]}), path)
    elif damage == "version":
        with store.ShardWriter(path, FIELDS, {"schema_version": 99}):
            pass
    else:
        path.unlink()
    with pytest.raises(StoreError, match="snakemake") as caught:
        store.ShardReader(path)
    assert str(path) in str(caught.value)


def test_full_disk_is_a_systemic_error_that_names_the_path(tmp_path):
    full = Path("/dev/full")
    with pytest.raises(SystemicError, match="out.json"), files.atomic_path(tmp_path / "out.json"):
        full.write_text("x" * 100_000)
    assert list(tmp_path.iterdir()) == []


def test_value_that_does_not_fit_names_its_column(tmp_path):
    with (
        pytest.raises(StoreError, match="points"),
        store.ShardWriter(tmp_path / "a.parquet", FIELDS, {}) as writer,
    ):
        writer.write({"clip_id": "x", "status": "ok", "points": np.zeros((2, 5))})
    assert list(tmp_path.iterdir()) == []


def test_store_addresses_clips_over_shards(tmp_path):
    write(tmp_path / "a.parquet", count=2)
    with store.ShardWriter(tmp_path / "b.parquet", FIELDS, {}) as writer:
        writer.write({"clip_id": "z", "status": "degraded", "codec": "vp9"})
    found = store.Store([tmp_path / "a.parquet", tmp_path / "b.parquet"])
    assert found.ids == ["c0", "c1", "bad", "z"]
    assert found.row("z", ["codec"]) == {"codec": "vp9"}
    assert found.usable("z")
    assert not found.usable("bad")
    with pytest.raises(StoreError, match="nobody"):
        found.row("nobody")
