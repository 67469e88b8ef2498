"""Section on training: every term of a model's loss by epoch."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from markupsafe import Markup

from expressway.core.foreign_text import MINUS
from expressway.reporting.drawing import planes
from expressway.reporting.drawing.planes import Plane
from expressway.reporting.sections.provenance import Model

Array = npt.NDArray[np.float64]
History = Sequence[Mapping[str, float | None]]
NO_TERMS = frozenset({"epoch", "learning_rate"})


@dataclass(frozen=True)
class Course:
    """One term of one model; ``first`` and ``last`` are means over runs."""

    model: str
    term: str
    runs: int
    first: str
    last: str
    picture: Markup


def courses(models: Sequence[Model]) -> list[Course]:
    """A figure per model and term of its loss; models without training have none."""
    histories: dict[str, list[History]] = {}
    for model in models:
        if model.facts.get("history"):
            histories.setdefault(model.name.split("/")[0], []).append(model.facts["history"])
    return [
        _course(name, term, found)
        for name, found in histories.items()
        for term in dict.fromkeys(key for key in found[0][0] if key not in NO_TERMS)
    ]


def _course(model: str, term: str, histories: Sequence[History]) -> Course:
    runs = [_values(history, term) for history in histories]
    found = np.concatenate(runs)
    found = found[np.isfinite(found)]
    low, high = min([0.0, *found]), max([0.0, *found])
    limits = (low, high + 0.05 * (high - low) if high > low else low + 1.0)
    longest = max(len(run) for run in runs)
    plane = Plane((1, max(2, longest)), limits, "epoch", "", height=planes.LOW)
    title = f"{term.replace('_', ' ')} of {model} by epoch, {len(runs)} runs"
    picture = planes.courses(title, plane, runs)
    return Course(model, term, len(runs), _mean(runs, 0), _mean(runs, -1), picture)


def _values(history: History, term: str) -> Array:
    return np.array([np.nan if (v := row.get(term)) is None else v for row in history], float)


def _mean(runs: Sequence[Array], epoch: int) -> str:
    return f"{np.mean([run[epoch] for run in runs]):.3g}".replace("-", MINUS)
