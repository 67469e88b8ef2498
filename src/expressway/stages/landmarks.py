"""68 landmarks per face crop, and the dense mesh where the detector has one."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa
from pydantic import Field

from expressway.core.columns import frame_array, frame_list
from expressway.core.errors import RowFailure
from expressway.core.stage import Outcome, Row, RowFunction, Runtime, Stage
from expressway.faces import align
from expressway.faces.align import FloatArray
from expressway.faces.detectors import DetectorConfig, open_detector
from expressway.faces.detectors.base import Detector
from expressway.faces.detectors.words import detector_words
from expressway.faces.landmarks import to_68
from expressway.faces.pictures import decode
from expressway.faces.track import coverage, fill

MESH_POINTS = 478


class LandmarksConfig(DetectorConfig):
    """Which detector places the landmarks."""

    faces: str = Field("default", description="variant of faces to read")
    minimum_valid: float = Field(
        0.5, ge=0, le=1, description="share of frames with landmarks below which it is degraded"
    )
    timeout_seconds: float = Field(300, gt=0, description="seconds for one clip")

    def upstream(self) -> dict[str, str]:
        """Return the faces variant."""
        return {"faces": self.faces}


def schema(config: LandmarksConfig) -> pa.Schema:
    """Columns per frame, in pixels of the crop; ``mesh`` has no frames where there is none."""
    return pa.schema(
        [
            frame_list("source_index", "int32"),
            frame_list("time", "float64"),
            frame_list("valid", "bool"),
            frame_array("points", "float32", 68, 2),
            frame_array("mesh", "float32", MESH_POINTS, 3),
        ]
    )


def open_landmarks(config: LandmarksConfig, runtime: Runtime) -> RowFunction:
    """Load the detector and return the row function."""
    import cv2

    cv2.setNumThreads(runtime.threads)
    detector = open_detector(config, runtime.device, runtime.threads)
    return lambda rows: [placed(row, config, detector) for row in rows]


def placed(row: Row, config: LandmarksConfig, detector: Detector) -> Outcome:
    """Return the landmarks of a clip; frames without them are interpolated and not valid.

    Raises:
        RowFailure: ``no_face``: not one crop has landmarks.
    """
    faces = row.inputs["faces"]
    times = np.asarray(faces["time"], np.float64)
    dense = {
        frame: found
        for frame in np.flatnonzero(faces["valid"]).tolist()
        if (found := _dense(faces, frame, detector)) is not None
    }
    if not dense:
        raise RowFailure(
            "no_face", f"no landmarks in {len(times)} crops of the face ({config.detector})"
        )
    valid = np.zeros(len(times), bool)
    valid[list(dense)] = True
    filled = fill(np.stack(list(dense.values())), list(dense), times, "interpolate")
    return {
        "source_index": faces["source_index"],
        "time": times,
        "valid": valid,
        "points": to_68(filled, detector.layout),
        "mesh": filled if detector.layout == "mesh478" else np.zeros((0, MESH_POINTS, 3)),
        **coverage(len(dense), len(times), config.minimum_valid, "landmarks are"),
    }


def _dense(faces: Any, frame: int, detector: Detector) -> FloatArray | None:
    crop = decode(faces["crops"][frame], frame)
    points = faces["points"][frame]
    # Crops that were taken as they are come without points: the face is searched for.
    known = align.apply(faces["transform"][frame], points) if np.any(points) else None
    return detector.landmarks(crop, known)


def sentence(config: Mapping[str, Any]) -> str:
    """Return what the stage did, for a paper's methods section; ``config`` as in the footer."""
    return f"Sixty-eight landmarks per frame were located with {detector_words(config)}."


STAGE = Stage(
    name="landmarks",
    summary="Place 68 points (and the dense mesh) on every aligned face.",
    config=LandmarksConfig,
    schema=schema,
    open=open_landmarks,
    parallel="processes",
    packages=("mediapipe", "insightface", "onnxruntime", "opencv-python", "numpy"),
    environment="faces",
    memory_mb=2000,
    minutes=120,
    every_core=True,
    order=30,
    sentence=sentence,
)
