"""Predictions of trained models: for the test clips of an evaluation, for single files."""
