"""Print a shard table."""

from collections import Counter
from pathlib import Path
from typing import Annotated, Any

import typer
import yaml

from expressway.core.store import ShardReader

WIDTH = 100


def describe(path: Path, rows: int = 10) -> str:
    """Return rows by status, footer, columns and the first rows of a shard table.

    Raises:
        StoreError: the file is no shard table of ours.
    """
    reader = ShardReader(path)
    counts = Counter(state["status"] for state in reader.states)
    facts = {key: value for key, value in reader.footer.items() if key != "config"}
    lines = [
        f"{path}: {len(reader)} rows",
        "",
        "status:",
        *(f"  {status}: {number}" for status, number in counts.most_common()),
        "",
        "made of:",
        _indented(facts),
        "config:",
        _indented(reader.footer.get("config", {})),
        "columns:",
        *(f"  {field.name}: {field.type}" for field in reader.schema),
        "",
        f"first {min(rows, len(reader))} rows:",
    ]
    for index in range(min(rows, len(reader))):
        lines += _row(reader.row(index))
    return "\n".join(lines)


def _indented(value: Any) -> str:
    text = yaml.safe_dump(value, sort_keys=False, allow_unicode=True)
    return "\n".join(f"  {line}" for line in text.splitlines())


def _row(row: dict[str, Any]) -> list[str]:
    shown = [f"  {row['clip_id']} ({row['status']})"]
    if row["error_message"]:
        shown.append(f"    {row['error_type']}: {row['error_message']}")
    values = {k: v for k, v in row.items() if k not in ("clip_id", "status") and v is not None}
    return shown + [
        f"    {name}: {_short(value)}"
        for name, value in values.items()
        if not name.startswith("error_")
    ]


def _short(value: Any) -> str:
    if hasattr(value, "shape"):
        head = f"{value.dtype} {'x'.join(map(str, value.shape))}"
        return f"{head} {value.ravel()[:6].tolist()}{' …' if value.size > 6 else ''}"
    if isinstance(value, list) and value and isinstance(value[0], bytes):
        return f"{len(value)} images, {sum(map(len, value)):,} bytes"
    text = repr(value)
    return text if len(text) <= WIDTH else f"{text[:WIDTH]} …"


def command(
    file: Annotated[Path, typer.Argument(help="a shard table")],
    rows: Annotated[int, typer.Option(help="rows to list")] = 10,
) -> None:
    """Print a shard table: rows by status, configuration, fingerprint, columns, first rows."""
    print(describe(file, rows))
