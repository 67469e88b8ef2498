"""``expressway show`` prints what a shard table holds and what made it."""

import numpy as np
import pyarrow as pa
import pytest

from expressway.commands.show import describe
from expressway.core import columns, store
from expressway.core.errors import StoreError


def test_status_footer_columns_and_rows(tmp_path):
    fields = pa.schema([columns.frame_array("points", "float32", 5, 2), columns.blobs("crops")])
    footer = {"stage": "faces", "fingerprint": "abc", "config": {"size": 224}}
    with store.ShardWriter(tmp_path / "a.parquet", fields, footer) as writer:
        row = {"points": np.ones((3, 5, 2)), "crops": [b"xx"] * 3}
        writer.write({"clip_id": "a", "status": "ok", **row})
        writer.write({"clip_id": "b", "status": "no_face", "error_message": "none in 9 frames"})
    text = describe(tmp_path / "a.parquet")
    for expected in (
        "2 rows",
        "no_face: 1",
        "fingerprint: abc",
        "size: 224",
        "float32 3x5x2",
        "3 images, 6 bytes",
        "none in 9 frames",
    ):
        assert expected in text


def test_another_file_is_named(tmp_path):
    (tmp_path / "x.parquet").write_text("no")
    with pytest.raises(StoreError, match="x.parquet"):
        describe(tmp_path / "x.parquet")
