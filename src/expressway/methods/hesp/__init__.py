"""HESP."""
