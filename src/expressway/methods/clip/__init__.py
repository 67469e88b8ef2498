"""CLIP, zero-shot."""
