"""Protocol leave_one_out: recall of a class that training never saw.

All classes can be answered. The number of interest is the recall of the held-out one; the recalls
of the seen classes tell what it cost.
"""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from expressway.core.errors import StoreError
from expressway.models.evaluation import bootstrap
from expressway.models.evaluation.bootstrap import Array, Group
from expressway.models.evaluation.metrics import recalls
from expressway.models.evaluation.protocols import classes
from expressway.models.evaluation.protocols.classes import Outcomes

METRICS = ("held_out_recall", "seen_unweighted_average_recall")


def read(predictions: Path) -> Outcomes:
    """Return what a predictions table says.

    Raises:
        StoreError: the table is damaged, has no labelled clip, or no class was held out.
    """
    found = classes.read(predictions)
    if not held_out(found):
        raise StoreError(
            f"{predictions}: no class of {', '.join(found.labels)} was held out of the training of "
            f"{found.facts.get('model')}; train it on a class scheme that leaves one out"
        )
    return found


def held_out(found: Outcomes) -> list[int]:
    """Return the indices of the classes that training did not see."""
    names = found.facts.get("held_out") or []
    return [index for index, label in enumerate(found.labels) if label in names]


def parts(found: list[tuple[str, Outcomes]]) -> list[Outcomes]:
    """Return what is measured apart and averaged: every model left out a class of its own."""
    return [one for _, one in found]


def group(found: Outcomes, metric: str) -> Group:
    """Return the predicted clips with the number that a metric computes of them."""
    seen = found.only(found.predicted)
    unseen = np.isin(np.arange(len(found.labels)), held_out(found))
    counted = unseen if metric == "held_out_recall" else ~unseen
    one_hot = np.eye(len(found.labels))[seen.truth][:, counted]
    hits = one_hot * seen.hits[:, None]

    def measure(times: Array) -> Array:
        return recalls.unweighted_average_recall(times @ one_hot, times @ hits)

    return Group(seen.ids, seen.subjects, measure)


def measure(found: Outcomes) -> dict[str, Any]:
    """Return the content of ``metrics.json``."""
    unseen = ", ".join(found.labels[index] for index in held_out(found))
    reasons = {
        "held_out_recall": f"no clip of {unseen} has a prediction",
        "seen_unweighted_average_recall": "no clip of a seen class has a prediction",
    }
    estimates = {name: bootstrap.estimate([group(found, name)]) for name in METRICS}
    return {
        **classes.measure(found),
        "metrics": {
            name: one if one["value"] is not None else classes.undefined(reasons[name])
            for name, one in estimates.items()
        },
        "missing_counted_as_wrong": strict(found),
    }


def strict(found: Outcomes) -> dict[str, float] | None:
    """Return the numbers with every clip without a prediction counted as an error."""
    if found.predicted.all():
        return None
    everyone = replace(found, predicted=np.ones_like(found.predicted))
    return {name: group(everyone, name).value for name in METRICS}
