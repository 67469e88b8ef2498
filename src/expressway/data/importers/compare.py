"""Counts of an imported copy beside the published ones."""

from collections import Counter
from collections.abc import Mapping

from expressway.core.manifest import split_title
from expressway.data.importers.facts import Part, Published
from expressway.data.importers.write import Found


def differences(found: Found, published: Published) -> list[str]:
    """Return one line per part of a split and per label column that differs, and the source."""
    label = {row["id"]: row for row in found.rows}
    present = {(row["scheme"], row["split"], row["part"]) for row in found.splits}
    schemes = {scheme for scheme, _, _ in present}
    members: dict[tuple[str, str, str], list[Mapping[str, str]]] = {key: [] for key in present}
    for row in found.splits:
        members[row["scheme"], row["split"], row["part"]].append(label[row["clip_id"]])
    lines = [
        line
        for part in published.parts
        if part.scheme in schemes
        for line in _part(part, members.get((part.scheme, part.split, part.part), []))
    ]
    lines += [line for task in published.classes for line in _column(task, found, published)]
    return [*lines, f"published numbers: {published.source}"] if lines else []


def _part(part: Part, rows: list[Mapping[str, str]]) -> list[str]:
    counts = Counter(row.get(part.task, "") for row in rows)
    where = f"{split_title(part.scheme, part.split)} {part.part}"
    return _lines(where, len(rows), part.clips, counts, part.classes)


def _column(task: str, found: Found, published: Published) -> list[str]:
    if task not in found.labels:
        return []
    counts = Counter(row[task] for row in found.rows if row.get(task))
    total = counts.total()
    expected = published.labelled.get(task, total)
    return _lines(f"{task}, all clips", total, expected, counts, published.classes[task])


def _lines(
    where: str, clips: int, expected: int, counts: Mapping[str, int], classes: Mapping[str, int]
) -> list[str]:
    lines = [f"{where}: {clips} clips, published {expected}"] if clips != expected else []
    others = [
        f"{name} {counts.get(name, 0)} (published {number})"
        for name, number in classes.items()
        if counts.get(name, 0) != number
    ]
    return [*lines, f"{where}: {', '.join(others)}"] if others else lines
