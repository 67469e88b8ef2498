"""Captioners: from a clip's faces to a sentence about what they do."""
