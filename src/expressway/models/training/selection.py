"""Selection of the epoch: the last, or the best on validation clips.

The validation clips are the split's own validation part or, where it has none, a share of its
training part. Test clips are never looked at.
"""

from typing import Any

import torch

from expressway.core.errors import ConfigError
from expressway.core.specs import TrainSpec
from expressway.data.clips import ClipDataset, in_order
from expressway.data.sampling import TEST_EPOCH
from expressway.methods.base import Method

BATCH_SIZE = 64
# protocols whose training knows classes, so that recall can be measured
WITH_CLASSES = ("supervised", "leave_one_out", "open_set")


class Selection:
    """Keeps the weights of the first epoch with the highest unweighted average recall.

    Attributes:
        data: validation clips, sampled as test clips are.
        source: where they come from, for the record.
        best: ``epoch``, ``recall`` and ``weights``; None before the first epoch.
    """

    def __init__(self, data: ClipDataset, source: str) -> None:
        self.data, self.source = data, source
        self.best: dict[str, Any] | None = None

    def judge(self, method: Method[Any], epoch: int) -> float:
        """Return the recall of a method as it is, and keep its weights if it is the highest."""
        found = recall(method, self.data)
        if self.best is None or found > self.best["recall"]:
            weights = {k: v.detach().cpu().clone() for k, v in method.state_dict().items()}
            self.best = {"epoch": epoch, "recall": found, "weights": weights}
        return found

    def apply(self, method: Method[Any], epochs: int) -> str:
        """Give a method its best weights; return which epoch they are from, and why."""
        assert self.best is not None
        method.load_state_dict(self.best["weights"])
        return (
            f"epoch {self.best['epoch']} of {epochs}: highest unweighted average recall "
            f"({self.best['recall']:.4f}) on {self.source}"
        )


def recall(method: Method[Any], data: ClipDataset) -> float:
    """Return the unweighted average recall over the classes that the clips have."""
    from sklearn.metrics import balanced_accuracy_score

    device = next(method.parameters()).device
    was_training = method.training
    method.eval()
    guesses: list[int] = []
    with torch.no_grad():  # no inference mode: what eval() caches is trained on afterwards
        for batch in in_order(data, BATCH_SIZE, TEST_EPOCH):
            guesses += method.scores(batch.to(device)).argmax(-1).tolist()
    method.train(was_training)
    return float(balanced_accuracy_score(data.labels, guesses))


def check(spec: TrainSpec) -> None:
    """Refuse to choose by recall where training knows no classes.

    Raises:
        ConfigError: the protocol is zero_shot or regression.
    """
    if spec.protocol not in WITH_CLASSES:
        raise ConfigError(
            f"models.{spec.model}.recipe.selection: validation chooses by recall of classes, which "
            f"training under {spec.protocol} does not know; set selection: last"
        )
