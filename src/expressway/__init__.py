"""Expressway."""
