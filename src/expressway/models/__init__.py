"""The life of a model: training, prediction, evaluation."""
