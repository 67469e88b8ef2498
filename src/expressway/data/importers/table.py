"""``expressway import table``: a CSV file that names clips, labels, captions and parts."""

from pathlib import Path

from expressway.core.errors import ManifestError
from expressway.core.manifest import CAPTION_PATTERN, CHINESE, COLUMNS
from expressway.core.text_tables import read_csv
from expressway.data.importers.folder import clip_id, segments
from expressway.data.importers.write import Found

DELIMITERS = ",;\t"
SPLIT_COLUMNS = ("scheme", "split", "part")


def scan(
    file: Path,
    root: Path | None = None,
    labels: list[str] | None = None,
    targets: list[str] | None = None,
    segment: float | None = None,
) -> Found:
    """Return a manifest row per row of a CSV file with a header (comma, semicolon or tab).

    ``path`` is required and relative to ``root`` (default: the file's folder). Columns of the
    manifest are taken over; ``part`` (with ``scheme`` and ``split``, if given) becomes a split
    row; ``labels`` and ``targets`` name further columns; other columns are refused.

    Raises:
        ManifestError: the file cannot be read, or a column is missing or unknown.
    """
    labels, targets = labels or [], targets or []
    header, numbered = read_csv(file, DELIMITERS)
    records = [record for _, record in numbered]
    _check_header(file, header, [*labels, *targets])
    base = root or file.resolve().parent
    rows = [_row(record) for record in records]
    splits = [_split(row, record) for row, record in zip(rows, records, strict=True)]
    if segment is not None:
        return Found(
            base.resolve(),
            [part for row in rows for part in segments(row, base, segment)],
            labels=_names(rows, labels),
            targets=targets,
        )
    found = [split for split in splits if split is not None]
    return Found(base.resolve(), rows, found, _names(rows, labels), targets)


def _check_header(file: Path, header: list[str], named: list[str]) -> None:
    known = {*COLUMNS, CHINESE, *SPLIT_COLUMNS, *named}
    strange = [n for n in header if n not in known and not CAPTION_PATTERN.fullmatch(n)]
    missing = [name for name in ("path", *named) if name not in header]
    if missing or strange:
        lines = [f"{file}: column {name!r} is required and missing" for name in missing]
        lines += [
            f"{file}: unknown column {name!r}; name it with --label {name} or --target {name}, "
            "or leave it out"
            for name in strange
        ]
        raise ManifestError("\n".join(lines))


def _row(record: dict[str, str]) -> dict[str, str]:
    row = {name: value for name, value in record.items() if name not in SPLIT_COLUMNS}
    row["id"] = row.get("id") or clip_id(Path(row["path"]))
    row["kind"] = row.get("kind") or "video"
    row["video"] = row.get("video") or row["path"]
    return row


def _split(row: dict[str, str], record: dict[str, str]) -> dict[str, str] | None:
    if not record.get("part"):
        return None
    scheme = record.get("scheme") or "official"
    split = record.get("split") or scheme
    return {"clip_id": row["id"], "scheme": scheme, "split": split, "part": record["part"]}


def _names(rows: list[dict[str, str]], labels: list[str]) -> dict[str, list[str]]:
    return {task: sorted({row[task] for row in rows if row[task]}) for task in labels}
