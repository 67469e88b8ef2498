"""Face detectors by name: ``mediapipe`` (models in its wheel) and ``insightface`` (own weights)."""

from typing import Any, Literal

from pydantic import Field

from expressway.core.stage import StageConfig
from expressway.faces.detectors.base import Detector
from expressway.faces.detectors.insightface import InsightFaceOptions
from expressway.faces.detectors.mediapipe import MediaPipeOptions

OPTION_SECTIONS = frozenset({"mediapipe", "insightface"})


class DetectorConfig(StageConfig):
    """The part of a stage's configuration that chooses the face detector."""

    detector: Literal["mediapipe", "insightface"] = Field(
        "mediapipe",
        description="face detector: mediapipe needs no download; insightface is usual for real "
        "data, its pretrained models are for non-commercial research only",
    )
    minimum_score: float = Field(
        0.5, ge=0, le=1, description="detections below this confidence do not count"
    )
    mediapipe: MediaPipeOptions = Field(
        MediaPipeOptions(), description="used by detector: mediapipe"
    )
    insightface: InsightFaceOptions = Field(
        InsightFaceOptions(), description="used by detector: insightface"
    )

    def identity(self) -> dict[str, Any]:
        """Return the values that decide what is computed; the other detector's do not."""
        unused = OPTION_SECTIONS - {self.detector}
        return {key: value for key, value in super().identity().items() if key not in unused}

    def weights(self) -> tuple[str, ...]:
        """Return the folder of the detector's weights; MediaPipe's are part of its wheel."""
        return (str(self.insightface.folder()),) if self.detector == "insightface" else ()

    def imports(self) -> tuple[str, ...]:
        """Return the detector's package, of the same name."""
        return ("cv2", self.detector)


def open_detector(config: DetectorConfig, device: str = "cpu", threads: int = 1) -> Detector:
    """Load the detector that a configuration names.

    Args:
        config: the choice and its options.
        device: ``cpu`` or ``cuda``; MediaPipe's wheel has no GPU build and runs on the CPU.
        threads: threads of one detector.

    Raises:
        SystemicError: weights are missing, or the device is not there.
    """
    if config.detector == "insightface":
        from expressway.faces.detectors.insightface import InsightFaceDetector

        return InsightFaceDetector(config.insightface, config.minimum_score, device, threads)
    from expressway.faces.detectors.mediapipe import MediaPipeDetector

    return MediaPipeDetector(config.mediapipe, config.minimum_score)
