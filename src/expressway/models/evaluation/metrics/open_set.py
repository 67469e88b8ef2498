"""Numbers of open-set recognition: known clips should score higher than unknown ones.

docs/evaluation.md explains each; (K,) are the scores of known test clips, (U,) those of unknown
ones. Equal scores count half in ours. ``ties="upstream"`` is the rule of ARPL's and HESP's
releases: of equal scores the known one counts as the lower.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Ties = Literal["half", "upstream"]


@dataclass(frozen=True)
class Curve:
    """What is still accepted as the threshold rises: from everything to nothing.

    Attributes:
        known: (thresholds,) accepted known clips, falling; ``unknown`` likewise.
    """

    known: Array
    unknown: Array

    @property
    def tpr(self) -> Array:
        """(thresholds,) share of the known clips that are accepted."""
        return self.known / self.known[0]

    @property
    def fpr(self) -> Array:
        """(thresholds,) share of the unknown clips that are accepted."""
        return self.unknown / self.unknown[0]


def curve(known: Array, unknown: Array, ties: Ties = "half") -> Curve:
    """Return what is accepted at every threshold; both kinds must have a clip."""
    scores = np.concatenate([known, unknown])
    strange = np.repeat([0.0, 1.0], [len(known), len(unknown)])
    order = np.lexsort((strange, scores))
    strange, scores = strange[order], scores[order]
    accepted_known = np.concatenate([[0.0], np.cumsum(1 - strange)])
    accepted_unknown = np.concatenate([[0.0], np.cumsum(strange)])
    if ties == "half":
        # one step for all clips of a score
        kept = np.concatenate([[True], scores[1:] > scores[:-1], [True]])
        accepted_known, accepted_unknown = accepted_known[kept], accepted_unknown[kept]
    return Curve(len(known) - accepted_known, len(unknown) - accepted_unknown)


def auroc(found: Curve) -> float:
    """Return the chance that a known clip scores higher than an unknown one."""
    return _area(1 - found.fpr[::-1], found.tpr[::-1])


def tnr_at_tpr95(found: Curve) -> float:
    """Return the share of unknown clips rejected where the TPR is nearest to 0.95."""
    return float(1 - found.fpr[np.abs(found.tpr - 0.95).argmin()])


def dtacc(found: Curve) -> float:
    """Return the detection accuracy: the largest mean of TPR and TNR over thresholds."""
    return float((found.tpr + 1 - found.fpr).max() / 2)


def auin(found: Curve) -> float:
    """Return the area under precision and recall with the known clips as positive."""
    return _precision_area(found.known, found.unknown)


def auout(found: Curve) -> float:
    """Return the same with the unknown clips as positive."""
    rejected = [found.unknown[0] - found.unknown, found.known[0] - found.known]
    return _precision_area(rejected[0][::-1], rejected[1][::-1])


def _precision_area(hits: Array, errors: Array) -> float:
    """Integrate precision over recall; from recall 1 with precision 1/2 down to (0, 0).

    Args:
        hits: (thresholds,) retrieved positives, falling from all to none; ``errors`` likewise.
    """
    retrieved = hits + errors
    some = retrieved > 0
    precision = np.concatenate([[0.5], hits[some] / retrieved[some], [0.0]])
    recall = np.concatenate([[1.0], hits[some] / hits[0], [0.0]])
    return _area(precision[::-1], recall[::-1])


def _area(heights: Array, places: Array) -> float:
    return float(np.trapezoid(heights, places))


DETECTION = {
    "auroc": auroc,
    "tnr_at_tpr95": tnr_at_tpr95,
    "dtacc": dtacc,
    "auin": auin,
    "auout": auout,
}


def oscr(known: Array, right: Array, unknown: Array) -> float:
    """Return the area under the correct classification rate against the false positive rate.

    The mean over pairs of a known clip i and an unknown one j of right_i · [s_i > s_j], where
    s_i = s_j counts half.

    Args:
        right: (K,) 1 where the known clip's class is right, else 0.
    """
    ladder = np.sort(unknown)
    above = np.searchsorted(ladder, known, "left") + np.searchsorted(ladder, known, "right")
    return float((right * above / 2).sum() / (len(known) * len(unknown)))


def oscr_upstream(
    known: Array, right: Array, unknown: Array, order: NDArray[np.int64] | None = None
) -> float:
    """Return OSCR by the rule of the releases, slightly lower than the clean one.

    At rank k of the rising scores, correct known clips count from rank k + 1 and unknown ones
    from k.

    Args:
        order: rising order of known then unknown scores, which decides between equal scores.
            Theirs is whatever numpy's unstable sort gives, which depends on the processor; the
            default puts known clips first, and right ones first among these.
    """
    strange = np.repeat([0.0, 1.0], [len(known), len(unknown)])
    correct = np.concatenate([right, np.zeros(len(unknown))])
    if order is None:
        order = np.lexsort((-correct, strange, np.concatenate([known, unknown])))
    correct = correct[order]
    ccr = (correct.sum() - np.cumsum(correct))[:-1] / len(known)
    fpr = (strange.sum() - np.cumsum(strange[order]) + strange[order])[:-1] / len(unknown)
    ccr, fpr = np.concatenate([[0.0, 1.0], ccr]), np.concatenate([[0.0, 1.0], fpr])
    rising = np.lexsort((ccr, fpr))
    return _area(ccr[rising], fpr[rising])


def openness(known: int, total: int) -> float:
    """Return 1 - sqrt(2K / (K + C)) for K known of C classes at test."""
    return float(1 - np.sqrt(2 * known / (known + total)))


def openness_by_share(known: int, total: int) -> float:
    """Return the other definition in use: 1 - sqrt(K / C)."""
    return float(1 - np.sqrt(known / total))
