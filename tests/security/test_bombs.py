"""Files that are small on disk and huge in memory, and arrays that would run code."""

from pathlib import Path

import numpy as np
import official_layouts
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from expressway.core import text_tables
from expressway.core.config import MAX_YAML_DEPTH, read_yaml
from expressway.core.errors import ConfigError, ManifestError
from expressway.data.importers import affectnet

TEN = ",".join(["x"] * 10)
LAUGHS = f"a0: &a0 [{TEN}]\n" + "".join(
    f"a{i}: &a{i} [{','.join([f'*a{i - 1}'] * 10)}]\n" for i in range(1, 9)
)


@pytest.mark.parametrize(
    "text",
    [LAUGHS, "a: &a [*a]\n", "[" * 100_000, "- " * 100_000 + "x", "a: " * 3 + "{b: " * 99_999],
    ids=["aliases", "itself", "lists", "blocks", "mappings"],
)
def test_yaml_that_multiplies_or_nests_without_end_is_refused(tmp_path: Path, text: str) -> None:
    """Deep nests would end the process, not only the reading: PyYAML's loader is recursive C."""
    (tmp_path / "c.yaml").write_text(text)
    with pytest.raises(ConfigError, match=r"c\.yaml: "):
        read_yaml(tmp_path / "c.yaml")


def test_honest_anchors_and_nests_are_read(tmp_path: Path) -> None:
    nest = "[" * (MAX_YAML_DEPTH - 1) + "]" * (MAX_YAML_DEPTH - 1)
    (tmp_path / "c.yaml").write_text(f"a: &a {{x: 1, y: [1, 2]}}\nb: *a\nc: [*a, *a]\nd: {nest}\n")
    found = read_yaml(tmp_path / "c.yaml")
    assert found["c"] == [{"x": 1, "y": [1, 2]}] * 2


def test_parquet_that_unfolds_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(text_tables, "MAX_TABLE_BYTES", 1 << 20)
    path = tmp_path / "manifest.parquet"
    pq.write_table(pa.table({"id": ["a" * 1000] * 20_000}), path)
    assert path.stat().st_size < 20_000
    with pytest.raises(ManifestError, match=r"manifest\.parquet: larger than"):
        text_tables.read_records(path)
    pq.write_table(pa.table({"id": ["a", "b"], "start": [0.5, None]}), path)
    header, rows = text_tables.read_records(path)
    assert header == ["id", "start"]
    assert rows == [(2, {"id": "a", "start": "0.5"}), (3, {"id": "b", "start": ""})]


def test_text_named_parquet_is_told_by_its_name(tmp_path: Path) -> None:
    (tmp_path / "m.parquet").write_text("id,path\n")
    with pytest.raises(ManifestError, match=r"m\.parquet: not readable as Parquet"):
        text_tables.read_records(tmp_path / "m.parquet")


class Payload:
    def __reduce__(self):
        return (Path.touch, (Path("code-was-run"),))


@pytest.mark.parametrize("kind", ["pickle", "many", "short", "text"])
def test_annotations_are_numbers_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    monkeypatch.chdir(tmp_path)
    root = tmp_path / "affectnet"
    official_layouts.affectnet(root)
    assert affectnet.scan(root).rows
    path = root / "val_set/annotations/0_exp.npy"
    if kind == "pickle":
        np.save(path, np.array(Payload(), dtype=object), allow_pickle=True)
    elif kind == "many":
        np.save(path, np.zeros(3))
    elif kind == "short":
        # a header that promises a terabyte
        with path.open("wb") as file:
            header = {"descr": "<f8", "fortran_order": False, "shape": (1 << 37,)}
            np.lib.format.write_array_header_1_0(file, header)
    else:
        path.write_text("7")
    with pytest.raises(ManifestError, match=r"0_exp\.npy: expected one number"):
        affectnet.scan(root)
    assert not Path("code-was-run").exists()
