"""Below which score a clip counts as unknown: set on training clips, never on test clips."""

from typing import Any

import numpy as np
import torch

from expressway.data.clips import ClipDataset, in_order
from expressway.data.sampling import TEST_EPOCH
from expressway.methods.base import Method

ACCEPTED_PERCENT = 95.0
BATCH_SIZE = 64


def threshold(method: Method[Any], data: ClipDataset, device: str) -> float:
    """Return the confidence of the known classes that 95 % of the training clips reach.

    Args:
        data: the training clips, sampled as test clips are.
    """
    was_training = method.training
    method.eval().to(device)
    found: list[float] = []
    with torch.inference_mode():
        for batch in in_order(data, BATCH_SIZE, TEST_EPOCH):
            scores = method.scores(batch.to(device)).float()
            found += method.known_scores(scores).tolist()
    method.train(was_training)
    return float(np.percentile(found, 100 - ACCEPTED_PERCENT))
