"""ARPL."""
