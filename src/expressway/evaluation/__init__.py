"""Numbers from predictions, with numpy and scikit-learn only: no torch, no GPU, no models."""

from expressway.evaluation.protocols import compare, evaluate

__all__ = ["compare", "evaluate"]
