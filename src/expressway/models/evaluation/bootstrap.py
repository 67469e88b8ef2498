"""Bootstraps of numbers that are no ratio of sums: areas under curves, correlations.

A number is a function of how often each clip is drawn. The same draw of clips, or of subjects
with all their clips, goes to every group: to the splits that are averaged, and to both sides of a
comparison, so that what is hard for all of them cancels.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

DRAWS = 2000
SEED = 20231016
LEVEL = 0.95

Array = NDArray[np.float64]
Interval = tuple[float, float]

AT_ONCE = 2_000_000  # numbers held per group: memory stays bounded for large test sets
Measure = Callable[[Array], Array]


@dataclass(frozen=True)
class Group:
    """Clips that are measured together.

    Attributes:
        measure: times each clip is drawn (draws, clips) -> values (draws,), NaN for undefined.
    """

    ids: tuple[str, ...]
    subjects: tuple[str | None, ...]
    measure: Measure

    @property
    def value(self) -> float:
        """The number with every clip drawn once; NaN where it is undefined."""
        return float(self.measure(np.ones((1, len(self.ids))))[0])


def mean_value(groups: Sequence[Group]) -> float | None:
    """Return the mean over the groups whose number is defined; None where none is."""
    defined = [group.value for group in groups if np.isfinite(group.value)]
    return float(np.mean(defined)) if defined else None


def estimate(groups: Sequence[Group]) -> dict[str, Any]:
    """Return ``value``, the mean over groups, with ``interval_clips`` and ``interval_subjects``.

    Groups whose number is undefined are left out; without any other all three are None.
    """
    defined = [group for group in groups if np.isfinite(group.value)]
    return _combined("value", defined, [1 / len(defined)] * len(defined) if defined else [])


def difference(first: Sequence[Group], second: Sequence[Group]) -> dict[str, Any]:
    """Return ``difference``, the first groups' mean minus the second's, with its intervals."""
    if not all(np.isfinite(group.value) for group in (*first, *second)) or not (first and second):
        return _combined("difference", [], [])
    shares = [1 / len(first)] * len(first) + [-1 / len(second)] * len(second)
    return _combined("difference", [*first, *second], shares)


def _combined(name: str, groups: Sequence[Group], shares: Sequence[float]) -> dict[str, Any]:
    if not groups:
        return {name: None, "interval_clips": None, "interval_subjects": None}
    value = sum(share * group.value for share, group in zip(shares, groups, strict=True))
    people = {subject for group in groups for subject in group.subjects if subject is not None}
    return {
        name: float(value),
        "interval_clips": interval(_draws(groups, shares, [group.ids for group in groups])),
        "interval_subjects": interval(_draws(groups, shares, [_people(g) for g in groups]))
        if len(people) > 1
        else None,
    }


def _people(group: Group) -> list[str]:
    """Whose each clip is; a clip of nobody known stands alone."""
    pairs = zip(group.ids, group.subjects, strict=True)
    return [f"clip {one}" if who is None else f"subject {who}" for one, who in pairs]


def _draws(
    groups: Sequence[Group], shares: Sequence[float], owners: Sequence[Sequence[str]]
) -> Array:
    """Return (draws,) values, with the distinct ``owners`` of rows drawn with replacement."""
    units = sorted({owner for one in owners for owner in one})
    place = {unit: index for index, unit in enumerate(units)}
    columns = [np.array([place[owner] for owner in one], dtype=np.int64) for one in owners]
    widest = max(len(units), *(len(one) for one in columns))
    return np.concatenate(
        [
            sum(
                share * group.measure(times[:, column])
                for share, group, column in zip(shares, groups, columns, strict=True)
            )
            for times in _multiplicities(len(units), max(1, AT_ONCE // widest))
        ]
    )


def _multiplicities(units: int, rows: int) -> Iterator[Array]:
    """Yield (rows, units): how often each unit is drawn, ``DRAWS`` rows in all."""
    random = np.random.default_rng(SEED)
    for start in range(0, DRAWS, rows):
        drawn: NDArray[np.int64] = random.multinomial(
            units, np.full(units, 1 / units), size=min(rows, DRAWS - start)
        )
        yield drawn.astype(np.float64)


def interval(values: Array) -> Interval | None:
    """Return the central 95 % of resampled values; None when there is none."""
    finite = values[np.isfinite(values)]
    if not len(finite):
        return None
    low, high = np.quantile(finite, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)
