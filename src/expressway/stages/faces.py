"""Faces: one person per clip, detected in every frame, tracked, and cut out aligned.

What comes of odd clips (each is tested):

- several faces: each is followed; ``policy`` chooses one, ``track`` and ``tracks`` tell which;
- no face: the row fails as ``no_face`` with the numbers;
- a face that appears late, leaves, or is missed: frames without it are filled by ``gap`` and not
  ``valid``; with less than ``minimum_valid`` of them valid the row is ``degraded``;
- a scene cut: no overlap, so the face behind the cut is another track, and chosen or not as one.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pydantic import Field

from expressway.core.columns import blobs, frame_array, frame_list
from expressway.core.errors import RowFailure
from expressway.core.stage import Outcome, Row, RowFunction, Runtime, Stage
from expressway.faces import align
from expressway.faces.align import MARGIN, FloatArray, Image
from expressway.faces.detectors import DetectorConfig, open_detector
from expressway.faces.detectors.base import Detector, Face
from expressway.faces.detectors.words import detector_words
from expressway.faces.landmarks import to_5, to_68
from expressway.faces.pictures import Pictures
from expressway.faces.track import Track, choose, coverage, fill, link
from expressway.media.frames import encode_jpeg

QUALITY = 95
FACES_COMPARED = 3

# Without detection these are all that decides a crop.
AS_IS_KEYS = frozenset({"frames", "align", "size"})


class FacesConfig(DetectorConfig):
    """How faces are found, followed and aligned."""

    frames: str = Field("default", description="variant of frames to read")
    policy: Literal["longest", "largest", "central"] = Field(
        "longest", description="which face to take where there are several"
    )
    gap: Literal["hold", "interpolate", "drop"] = Field(
        "interpolate",
        description="frames without the face: crop where it was last, on the way to where it is "
        "next, or leave the frame out; marked as not valid either way",
    )
    align: Literal["similarity", "box", "as_is"] = Field(
        "similarity",
        description="similarity: turn and scale eyes, nose, mouth into place; box: upright square "
        "around the box; as_is: the images are face crops already, only resize",
    )
    size: int = Field(224, ge=32, le=1024, description="side of the crops in pixels")
    margin: float = Field(
        MARGIN,
        ge=0,
        le=2,
        description="room on each side, as a share of ArcFace's crop (0: exactly that, which "
        "cuts chins) or of the box",
    )
    smoothing: float = Field(
        0.04, ge=0, le=1, description="seconds over which the alignment is smoothed; 0: not"
    )
    refine: bool = Field(
        False, description="align by dense landmarks instead of the detector's points; slower"
    )
    maximum_gap: float = Field(
        0.5, ge=0, description="seconds that a face may be unseen without starting a new track"
    )
    minimum_overlap: float = Field(
        0.3, gt=0, lt=1, description="intersection over union that links boxes of two frames"
    )
    minimum_length: int = Field(
        3, ge=1, description="frames that a track needs; shorter clips need all of theirs"
    )
    minimum_valid: float = Field(
        0.5, ge=0, le=1, description="share of frames with the face below which a clip is degraded"
    )
    timeout_seconds: float = Field(300, gt=0, description="seconds for one clip")

    def upstream(self) -> dict[str, str]:
        """Return the frames variant."""
        return {"frames": self.frames}

    def identity(self) -> dict[str, Any]:
        """Return the values that decide what is computed."""
        full = super().identity()
        return {k: v for k, v in full.items() if k in AS_IS_KEYS or self.align != "as_is"}

    def weights(self) -> tuple[str, ...]:
        """Return the detector's weights, where one is used."""
        return () if self.align == "as_is" else super().weights()


def schema(config: FacesConfig) -> pa.Schema:
    """Columns per frame; places are in pixels of the source frame.

    ``valid`` false: filled; ``faces``: how many were detected; ``transform``: source to crop;
    ``track``: the number of the one chosen among ``tracks``, -1 where nothing was detected
    because the images are crops already (``points`` are then zero).
    """
    return pa.schema(
        [
            frame_list("source_index", "int32"),
            frame_list("time", "float64"),
            frame_list("valid", "bool"),
            frame_array("box", "float32", 4),
            frame_list("score", "float32"),
            frame_array("points", "float32", 5, 2),
            frame_array("transform", "float32", 2, 3),
            pa.field("track", pa.int32()),
            pa.field("tracks", pa.int32()),
            frame_list("faces", "int16"),
            blobs("crops"),
        ]
    )


def open_faces(config: FacesConfig, runtime: Runtime) -> RowFunction:
    """Load the detector and return the row function."""
    import cv2

    cv2.setNumThreads(runtime.threads)
    if config.align == "as_is":
        return lambda rows: [as_they_are(row, config) for row in rows]
    detector = open_detector(config, runtime.device, runtime.threads)
    return lambda rows: [followed(row, config, detector) for row in rows]


def as_they_are(row: Row, config: FacesConfig) -> Outcome:
    """Return images that are face crops already, resized; those of the right size keep their
    bytes."""
    frames = row.inputs["frames"]
    pictures = Pictures(frames["images"])
    count = len(pictures)
    boxes = np.zeros((count, 4), np.float32)
    transforms = np.zeros((count, 2, 3), np.float32)
    crops = []
    for index, image in enumerate(pictures):
        height, width = image.shape[:2]
        boxes[index, 2:] = width, height
        transforms[index] = align.whole(height, width, config.size)
        fits = (height, width) == (config.size, config.size)
        crops.append(pictures.data[index] if fits else _cut(image, transforms[index], config))
    return {
        "source_index": frames["source_index"],
        "time": frames["time"],
        "valid": np.ones(count, bool),
        "box": boxes,
        "score": np.ones(count, np.float32),
        "points": np.zeros((count, 5, 2), np.float32),
        "transform": transforms,
        "track": -1,
        "tracks": 0,
        "faces": np.zeros(count, np.int16),
        "crops": crops,
    }


def followed(row: Row, config: FacesConfig, detector: Detector) -> Outcome:
    """Return the chosen face of a clip in every frame.

    Raises:
        RowFailure: ``no_face``, with the numbers; ``unreadable``: a frame's bytes.
    """
    frames = row.inputs["frames"]
    pictures = Pictures(frames["images"])
    times = np.asarray(frames["time"], np.float64)
    detections = [detector.detect(image) for image in pictures]
    tracks = link(detections, times, config.maximum_gap, config.minimum_overlap)
    track = chosen(tracks, detections, pictures, config, detector)
    if config.refine:
        track.faces = [
            refined(detector, pictures[frame], face)
            for frame, face in zip(track.frames, track.faces, strict=True)
        ]
    columns = _columns(track, times, config)
    columns["source_index"] = np.asarray(frames["source_index"])
    columns["faces"] = np.array([len(faces) for faces in detections], np.int16)
    kept = track.frames if config.gap == "drop" else list(range(len(times)))
    outcome = {name: values[kept] for name, values in columns.items()}
    outcome["crops"] = [
        _cut(pictures[frame], columns["transform"][frame], config) for frame in kept
    ]
    outcome |= {"track": track.number, "tracks": len(tracks)}
    return outcome | coverage(len(track), len(times), config.minimum_valid, "the face is")


def chosen(
    tracks: Sequence[Track],
    detections: Sequence[Sequence[Face]],
    pictures: Pictures,
    config: FacesConfig,
    detector: Detector,
) -> Track:
    """Return the track that the policy takes among those that are long enough and a face.

    Raises:
        RowFailure: ``no_face``: there is none.
    """
    needed = max(min(config.minimum_length, len(detections)), 1)
    left = [track for track in tracks if len(track) >= needed]
    while left:
        best = choose(left, config.policy, pictures.sizes)
        if is_face(best, pictures, detector):
            return best
        left = [track for track in left if track.number != best.number]
    seen = sum(map(bool, detections))
    longest = max(map(len, tracks), default=0)
    raise RowFailure(
        "no_face",
        f"something like a face in {seen} of {len(detections)} frames, the same in {longest} at "
        f"most ({needed} needed), none that has landmarks "
        f"({config.detector}, minimum_score {config.minimum_score:g})",
    )


def is_face(track: Track, pictures: Pictures, detector: Detector) -> bool:
    """Return whether the landmark model agrees in most of a track's most certain frames.

    Detectors take folds, bark and clouds for faces, now and then for some frames on end; the
    landmark model, which looks closely, does not.
    """
    order = sorted(range(len(track)), key=lambda i: -track.faces[i].score)[:FACES_COMPARED]
    votes = [
        detector.landmarks(pictures[track.frames[i]], track.faces[i].points) is not None
        for i in order
    ]
    return 2 * sum(votes) > len(votes)


def refined(detector: Detector, image: Image, face: Face) -> Face:
    """Return a face with the five points of its dense landmarks, where it has any."""
    dense = detector.landmarks(image, face.points)
    if dense is None:
        return face
    return Face(face.box, face.score, to_5(to_68(dense, detector.layout)))


def _columns(track: Track, times: NDArray[np.float64], config: FacesConfig) -> dict[str, Any]:
    valid = np.zeros(len(times), bool)
    valid[track.frames] = True
    score = np.zeros(len(times), np.float32)
    score[track.frames] = [face.score for face in track.faces]
    points = np.stack([face.points for face in track.faces])
    box = fill(track.boxes, track.frames, times, config.gap)
    points = fill(points, track.frames, times, config.gap)
    return {
        "time": times,
        "valid": valid,
        "box": box,
        "score": score,
        "points": points,
        "transform": _transforms(box, points, times, config),
    }


def _transforms(
    box: FloatArray, points: FloatArray, times: NDArray[np.float64], config: FacesConfig
) -> FloatArray:
    if config.align == "box":
        steady = align.smoothed(box, times, config.smoothing)
        return align.square(steady, config.size, config.margin)
    steady = align.smoothed(points, times, config.smoothing)
    return align.similarity(steady, align.template(config.size, config.margin))


def _cut(image: Image, transform: FloatArray, config: FacesConfig) -> bytes:
    return encode_jpeg(align.crop(image, transform, config.size), QUALITY)


def sentence(config: Mapping[str, Any]) -> str:
    """Return what the stage did, for a paper's methods section; ``config`` as in the footer."""
    size = config.get("size", 224)
    if config.get("align") == "as_is":
        return f"The images are face crops already and were resized to {size} by {size} pixels."
    policy = {
        "longest": "the one seen longest was kept",
        "largest": "the largest was kept",
        "central": "the most central was kept",
    }.get(str(config.get("policy")), "one was kept")
    way = "a square around its box" if config.get("align") == "box" else "a similarity transform"
    return (
        f"Faces were detected with {detector_words(config)} and followed over frames; of several "
        f"faces {policy}, and it was brought to {size} by {size} pixels by {way}."
    )


STAGE = Stage(
    name="faces",
    summary="Find, track and align one face per clip.",
    config=FacesConfig,
    schema=schema,
    open=open_faces,
    parallel="processes",
    images=True,
    packages=("mediapipe", "insightface", "onnxruntime", "opencv-python", "numpy"),
    environment="faces",
    memory_mb=2000,
    every_core=True,
    order=20,
    sentence=sentence,
    versioned=False,
)
