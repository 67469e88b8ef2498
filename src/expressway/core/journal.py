"""Journal of finished rows of expensive stages, until their shard is published.

A killed or grown shard pays only for rows that the journal does not hold. SQLite makes every row
durable by itself; values are stored as Arrow, never as pickle.
"""

import sqlite3
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa

from expressway.core.columns import from_arrow, to_arrow
from expressway.core.store import shard_schema


class Journal:
    """Rows by key; a key identifies what a row was made of."""

    def __init__(self, path: Path, fields: pa.Schema) -> None:
        self.schema = shard_schema(fields)
        path.parent.mkdir(parents=True, exist_ok=True)
        self._database = sqlite3.connect(path, timeout=60, isolation_level=None)
        self._database.execute("CREATE TABLE IF NOT EXISTS rows (key TEXT PRIMARY KEY, row BLOB)")

    def get(self, key: str) -> dict[str, Any] | None:
        """Return a finished row, or None."""
        found = self._database.execute("SELECT row FROM rows WHERE key = ?", (key,)).fetchone()
        if found is None:
            return None
        table = pa.ipc.open_stream(found[0]).read_all()
        return {field.name: from_arrow(table.column(field.name), 0, field) for field in self.schema}

    def put(self, key: str, row: Mapping[str, Any]) -> None:
        """Keep a finished row; it survives a kill from here on."""
        columns = [to_arrow([row.get(field.name)], field) for field in self.schema]
        table = pa.Table.from_arrays(columns, schema=self.schema)
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, self.schema) as writer:
            writer.write_table(table)
        value = sink.getvalue().to_pybytes()
        self._database.execute("INSERT OR REPLACE INTO rows VALUES (?, ?)", (key, value))

    def forget(self, key: str) -> None:
        """Drop a finished row, so that it is computed again."""
        self._database.execute("DELETE FROM rows WHERE key = ?", (key,))

    def close(self) -> None:
        """Close the file."""
        self._database.close()
