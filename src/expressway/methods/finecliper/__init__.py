"""FineCLIPER."""
