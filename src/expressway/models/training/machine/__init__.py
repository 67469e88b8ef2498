"""How a training is run: processes, checkpoints, progress. The weights are the same however."""
