"""From stores to batches: which clips, which of their frames, in which order."""
