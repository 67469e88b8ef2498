"""Numbers from predictions, with numpy and scikit-learn only: no torch, no GPU, no models."""

from expressway.models.evaluation.kinds import compare, evaluate

__all__ = ["compare", "evaluate"]
