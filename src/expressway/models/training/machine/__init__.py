"""The machine side of training: processes, checkpoints, progress; never the weights."""
