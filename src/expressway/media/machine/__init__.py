"""Shared runs of ffmpeg: speed only, the frames are the same."""
