"""Agreement of measured movements with the action units that were drawn."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from expressway.faces.movements import NEAREST_UNIT

SHOWN, ABSENT = 0.5, 0.1
# Units whose movement landmarks show well; what the others give is reported, not promised.
VISIBLE_UNITS = (1, 2, 5, 12, 15, 20, 25, 26, 43)


@dataclass(frozen=True)
class UnitScore:
    """One unit over all clips; clips with a true intensity between absent and shown are left out.

    Attributes:
        shown: clips with a true intensity of 0.5 or more in some frame.
        absent: clips where it stays at 0.1 or less.
        recall: share of the shown that were found, None when none shows it.
        precision: share of the found (among shown and absent) that are shown, None without any.
        correlation: of the largest strength with the largest true intensity, over all clips.
    """

    unit: int
    shown: int
    absent: int
    recall: float | None
    precision: float | None
    correlation: float | None


def score(
    clips: Iterable[tuple[str, NDArray[np.floating]]], units: Sequence[int]
) -> list[UnitScore]:
    """Score the structured fields of captions against true intensities.

    Args:
        clips: per clip the ``measurements`` of its captions row and the truth
            ``(frames, len(units))``, distractors included.
        units: which action unit each column of the truth is.
    """
    found, strengths, truths = [], [], []
    for measurements, truth in clips:
        told = json.loads(measurements)
        names = {movement["name"] for movement in told["movements"]}
        by_unit = {NEAREST_UNIT[name]: name for name in told["strengths"]}
        found.append([by_unit.get(unit) in names for unit in units])
        strengths.append([told["strengths"].get(by_unit.get(unit), 0.0) for unit in units])
        truths.append(np.asarray(truth).max(axis=0))
    said, strong, true = (np.array(rows) for rows in (found, strengths, truths))
    return [
        _unit(unit, said[:, column], strong[:, column], true[:, column])
        for column, unit in enumerate(units)
        if len(said)
    ]


def _unit(
    unit: int, said: NDArray[np.bool_], strong: NDArray[np.float64], true: NDArray[np.floating]
) -> UnitScore:
    shown, absent = true >= SHOWN, true <= ABSENT
    hits, false = int((said & shown).sum()), int((said & absent).sum())
    varied = len(true) > 1 and strong.std() > 0 and true.std() > 0
    return UnitScore(
        unit=unit,
        shown=int(shown.sum()),
        absent=int(absent.sum()),
        recall=_share(hits, int(shown.sum())),
        precision=_share(hits, hits + false),
        correlation=float(np.corrcoef(strong, true)[0, 1]) if varied else None,
    )


def _share(part: int, whole: int) -> float | None:
    return part / whole if whole else None


def means(scores: Sequence[UnitScore]) -> tuple[float | None, float | None]:
    """Return mean recall and mean precision over the visible units that occur."""
    visible = [score for score in scores if score.unit in VISIBLE_UNITS]
    recalls = [score.recall for score in visible if score.recall is not None]
    precisions = [score.precision for score in visible if score.precision is not None]
    return (
        float(np.mean(recalls)) if recalls else None,
        float(np.mean(precisions)) if precisions else None,
    )
