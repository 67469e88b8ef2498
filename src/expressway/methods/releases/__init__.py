"""Checkpoints of the methods' authors, into model folders."""
