"""The metrics: of classes, of open sets, of numbers."""
