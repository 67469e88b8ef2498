"""Detectors as a paper's methods section names them."""

from collections.abc import Mapping
from typing import Any

from expressway.core.foreign_text import visible

DETECTORS = {"mediapipe": "MediaPipe", "insightface": "InsightFace (SCRFD)"}


def detector_words(config: Mapping[str, Any]) -> str:
    """Return a detector with the work to cite."""
    name = str(config.get("detector", "the configured detector"))
    cite = f" [{name}]" if name in DETECTORS else ""
    return f"{DETECTORS.get(name, visible(name, 60))}{cite}"
