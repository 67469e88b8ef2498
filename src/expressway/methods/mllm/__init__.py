"""Multimodal language model, zero-shot."""
