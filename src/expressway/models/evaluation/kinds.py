"""From predictions to metrics, and from two sets of predictions to a paired comparison.

A protocol decides what a predictions table is measured by: recalls of classes, the confidence
of the known classes, the recall of a held-out class, or errors and correlations of numbers.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from expressway.core.files import write_json
from expressway.core.store import read_footer
from expressway.models.evaluation import comparison
from expressway.models.evaluation.bootstrap import Group
from expressway.models.evaluation.metrics.recalls import METRICS as RECALLS
from expressway.models.evaluation.protocols import classes as metrics
from expressway.models.evaluation.protocols import leave_one_out, open_set, regression


@dataclass(frozen=True)
class Kind:
    """How the results of a protocol are measured.

    Attributes:
        name: ``classes``, ``open_set``, ``leave_one_out`` or ``regression``.
        read: predictions file -> table; ``measure``: table -> content of ``metrics.json``.
        metrics: those with intervals; ``compared``: those of a paired comparison.
        parts: (split, table) pairs -> tables that are measured apart and averaged.
        group: table, metric -> what the bootstrap draws from; None for recalls of classes, which
            are ratios of sums and have a bootstrap of their own (``statistics``).
    """

    name: str
    read: Callable[[Path], Any]
    measure: Callable[[Any], dict[str, Any]]
    metrics: tuple[str, ...]
    compared: tuple[str, ...]
    parts: Callable[[Any], list[Any]] | None = None
    group: Callable[[Any, str], Group] | None = None


CLASSES = Kind(
    "classes", metrics.read, metrics.measure, tuple(RECALLS), ("unweighted_average_recall",)
)
KINDS = {
    "open_set": Kind(
        "open_set",
        open_set.read,
        open_set.measure,
        open_set.METRICS,
        ("auroc", "oscr"),
        open_set.parts,
        open_set.group,
    ),
    "leave_one_out": Kind(
        "leave_one_out",
        leave_one_out.read,
        leave_one_out.measure,
        leave_one_out.METRICS,
        leave_one_out.METRICS,
        leave_one_out.parts,
        leave_one_out.group,
    ),
    "regression": Kind(
        "regression",
        regression.read,
        regression.measure,
        regression.METRICS,
        ("concordance_correlation", "pearson_correlation"),
        regression.parts,
        regression.group,
    ),
}


def kind(protocol: str | None) -> Kind:
    """Return how a protocol's results are measured."""
    return KINDS.get(protocol or "", CLASSES)


def evaluate(predictions: Path, out: Path) -> dict[str, Any]:
    """Measure a predictions table, write ``metrics.json`` to ``out``, return its content.

    Intervals are central 95 % of 2000 resamples, over clips and over subjects, with a fixed seed.

    Raises:
        StoreError: the table is damaged, or has no clip with a truth.
    """
    measured = kind(read_footer(predictions).get("protocol"))
    found = measured.measure(measured.read(predictions))
    write_json(out, found)
    return found


def compare(
    a: Sequence[Path], b: Sequence[Path], out: Path, names: Sequence[str] = ()
) -> list[dict[str, Any]]:
    """Write the paired differences a - b over the clips that both predicted; return them.

    Recalls and regression pool the test parts of all splits; open_set and leave_one_out average
    over splits, since each has classes of its own. Where a side has several seeds, they count
    by their mean.

    Args:
        names: metrics to compare; default: those of the protocol.

    Raises:
        ConfigError: the sides have different protocols, classes or truths, or no common clip.
    """
    protocols = [read_footer(path).get("protocol") for path in (*a, *b)]
    measured = [kind(protocol) for protocol in protocols]
    comparison.same_kind(a, b, [one.name for one in measured])
    chosen = measured[0]
    sides = [[chosen.read(path) for path in side] for side in (a, b)]
    found = [
        comparison.recalls(sides[0], sides[1], name)
        if chosen.group is None or chosen.parts is None
        else comparison.groups(sides[0], sides[1], name, chosen.parts, chosen.group)
        for name in names or chosen.compared
    ]
    write_json(out, found)
    return found
