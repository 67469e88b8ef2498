"""The fixture of UAR and WAR in FineCLIPER's specification, beside scikit-learn's own."""

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, balanced_accuracy_score

from expressway.models.evaluation.metrics import recalls

SHARES = [0.21, 0.16, 0.23, 0.19, 0.12, 0.01, 0.08]
PRECISION = {"rel": 0, "abs": 1e-6}  # the specification prints six decimals of percentages


def test_recalls_of_two_hundred_clips() -> None:
    random = np.random.RandomState(0)
    truth = random.choice(7, 200, p=SHARES)
    guess = np.where(random.rand(200) < 0.6, truth, random.randint(0, 7, 200))
    rows = recalls.count_rows(truth, [(truth == guess).astype(float)], 7)
    totals, hits = np.split(rows.sum(0), 2)
    found = [100 * float(measure(totals, hits)) for measure in recalls.METRICS.values()]
    assert list(recalls.METRICS) == ["unweighted_average_recall", "weighted_average_recall"]
    assert found == pytest.approx([71.642364, 68.0], **PRECISION)
    theirs = [balanced_accuracy_score(truth, guess), accuracy_score(truth, guess)]
    assert found == pytest.approx([100 * value for value in theirs], **PRECISION)
