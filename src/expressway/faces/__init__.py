"""Faces in frames: finding them, following one, aligning it, placing its landmarks."""
