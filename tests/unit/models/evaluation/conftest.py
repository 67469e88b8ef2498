"""Predictions tables as prediction writes them."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from expressway.core.store import write_table
from expressway.models.prediction.scores import SCHEMA

FOOTER = {
    "model": "m", "method": "clip", "split": "all", "seed": 0, "evaluation": "e",
    "protocol": "zero_shot", "dataset": "demo", "task": "emotion", "prompts": None,
    "labels": [], "all_labels": [], "unknown_labels": [], "held_out": [], "targets": [],
    "threshold": None, "parameters": {"trainable": 0, "total": 10}, "selection": "last epoch",
}  # fmt: skip


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Path]:
    """Write rows (dicts; what is missing is null, the status ok) and footer; return the path."""

    def writer(name: str, rows: list[dict[str, Any]], **footer: Any) -> Path:
        defaults = {"split": footer.get("split", "all"), "status": "ok"}
        table = pa.Table.from_pylist([{**defaults, **row} for row in rows], SCHEMA)
        write_table(tmp_path / f"{name}.parquet", table, {**FOOTER, **footer})
        return tmp_path / f"{name}.parquet"

    return writer
