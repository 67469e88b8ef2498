"""Exp-CLIP."""
