"""Predictions tables as arrays: what every protocol reads of them, and notes on what is lost."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from expressway.core.errors import StoreError
from expressway.core.store import read_footer, read_table

COLUMNS = ("clip_id", "subject", "split", "label", "prediction", "status")
Row = dict[str, Any]


@dataclass(frozen=True)
class Table:
    """The clips of a predictions table whose truth is known.

    Attributes:
        facts: the table's footer: model, method, split, labels, parameters and so on.
        predicted: (clips,) whether there is a prediction.
        unlabelled: clips left out since they have no usable truth.
        statuses: how many clips have no prediction, by status.
    """

    facts: dict[str, Any]
    ids: tuple[str, ...]
    subjects: tuple[str | None, ...]
    splits: tuple[str, ...]
    predicted: NDArray[np.bool_]
    unlabelled: int
    statuses: dict[str, int]

    NOT_PER_CLIP: ClassVar = ("facts", "unlabelled", "statuses", "labels", "targets")

    @property
    def keys(self) -> list[tuple[str, str]]:
        """What tells rows apart: a clip, and the split that it is tested in."""
        return list(zip(self.ids, self.splits, strict=True))

    def only(self, kept: NDArray[np.bool_]) -> Self:
        """Return the rows where ``kept`` (clips,) is true."""
        return self.take(np.flatnonzero(kept))

    def take(self, rows: NDArray[np.int64]) -> Self:
        """Return the rows at these positions, in this order."""
        return replace(self, **{name: _taken(getattr(self, name), rows) for name in self._rows()})

    def followed_by(self, others: Sequence[Self]) -> Self:
        """Return one table with the rows of others, of the same columns, below."""
        parts = [self, *others]
        joined = {name: _joined([getattr(one, name) for one in parts]) for name in self._rows()}
        return replace(self, **joined)

    def _rows(self) -> list[str]:
        return [one.name for one in fields(self) if one.name not in self.NOT_PER_CLIP]


def _taken(values: Any, rows: NDArray[np.int64]) -> Any:
    return tuple(values[row] for row in rows) if isinstance(values, tuple) else values[rows]


def _joined(parts: Sequence[Any]) -> Any:
    if isinstance(parts[0], tuple):
        return tuple(value for part in parts for value in part)
    return np.concatenate(parts)


def read_rows(predictions: Path, *more: str) -> tuple[dict[str, Any], list[Row]]:
    """Return the footer of a predictions table, and its rows with ``COLUMNS`` and ``more``.

    Raises:
        StoreError: the table is damaged, or counts a clip twice.
    """
    rows = read_table(predictions, (*COLUMNS, *more)).to_pylist()
    for row in rows:
        row["split"] = row["split"] or ""
    counts = Counter((row["clip_id"], row["split"]) for row in rows)
    twice = [key for key, number in counts.items() if number > 1]
    if twice:
        raise StoreError(
            f"{predictions}: clip {twice[0][0]} of split {twice[0][1]!r} has more than one row; "
            "every clip counts once: predict again"
        )
    return read_footer(predictions), rows


def shared(
    facts: dict[str, Any], kept: Sequence[Row], rows: Sequence[Row], predicted: Iterable[bool]
) -> dict[str, Any]:
    """Return the fields of ``Table`` for the ``kept`` ones among ``rows``."""
    seen = np.array(list(predicted), dtype=np.bool_)
    lost = [row["status"] for row, has in zip(kept, seen, strict=True) if not has]
    return {
        "facts": facts,
        "ids": tuple(row["clip_id"] for row in kept),
        "subjects": tuple(row["subject"] for row in kept),
        "splits": tuple(row["split"] for row in kept),
        "predicted": seen,
        "unlabelled": len(rows) - len(kept),
        "statuses": dict(Counter(lost)),
    }


def counts(found: Table) -> dict[str, Any]:
    """Return how many clips and subjects were measured, and how many were not."""
    return {
        "clips": len(found.ids),
        "missing": int((~found.predicted).sum()),
        "missing_by_status": found.statuses,
        "unlabelled": found.unlabelled,
        "subjects": len({s for s in found.subjects if s is not None}),
    }


def notes(found: Table, without: str = "without a label among the classes") -> list[str]:
    """Return what a reader must know about the clips, one sentence each."""
    told = list(found.facts.get("notes", []))
    missing = int((~found.predicted).sum())
    if missing:
        by_status = ", ".join(f"{n} {status}" for status, n in sorted(found.statuses.items()))
        told.append(f"{missing} clips without a prediction ({by_status}) are left out")
    if found.unlabelled:
        told.append(f"{found.unlabelled} clips {without} are left out")
    if len({s for s in found.subjects if s is not None}) < 2:
        told.append("fewer than two known subjects: no interval over subjects")
    return told


def by_split(tables: Sequence[Table]) -> list[tuple[str, Table]]:
    """Return (split, its rows) of every table; the run's name tells equal splits apart."""
    return [
        (_part(table, split), table.only(np.array([s == split for s in table.splits])))
        for table in tables
        for split in dict.fromkeys(table.splits)
    ]


def _part(table: Table, split: str) -> str:
    """A class split (open-03) trained other classes: on another data set its name must show."""
    own = table.facts.get("split")
    by_class = table.facts.get("unknown_labels") or table.facts.get("held_out")
    return f"{own} {split}".strip() if by_class and own not in (None, split) else split
