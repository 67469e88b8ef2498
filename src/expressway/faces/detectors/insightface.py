"""InsightFace's FaceAnalysis packs: SCRFD detection and 106 landmarks, weights in a folder.

The library is MIT; its pretrained models are for non-commercial research only, so nothing is
downloaded unless the configuration asks for it.
"""

import fcntl
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic import Field

from expressway.core.config import StrictModel
from expressway.core.errors import SystemicError
from expressway.faces.align import TEMPLATE, FloatArray, Image, apply, similarity
from expressway.faces.detectors.base import Face, Layout, ordered

if TYPE_CHECKING:
    from insightface.app import FaceAnalysis

MODULES = ["detection", "landmark_2d_106"]
CUDA = "CUDAExecutionProvider"

# A face's box in units of the 112 px alignment template; the landmark model wants a box.
TEMPLATE_BOX = np.array([[14.0, 16.0], [98.0, 120.0]], np.float32)


class InsightFaceOptions(StrictModel):
    """Options of the InsightFace detector."""

    root: str = Field(
        default="~/.insightface", description="weights stand in root/models/NAME/*.onnx"
    )
    model: str = Field(
        default="buffalo_l", description="name of the pack (NAME)", pattern=r"^[\w.-]+$"
    )
    download: bool = Field(
        default=False,
        description="let InsightFace fetch a missing pack; its pretrained models are for "
        "non-commercial research only",
    )
    detection_size: int = Field(
        default=640, ge=64, multiple_of=32, description="side in pixels of the detector's input"
    )

    def folder(self) -> Path:
        """Return the folder that holds the pack's ONNX files."""
        return Path(self.root).expanduser() / "models" / self.model


class InsightFaceDetector:
    """SCRFD with five points, and ``2d106`` landmarks."""

    layout: Layout = "points106"

    def __init__(
        self,
        options: InsightFaceOptions,
        minimum_score: float = 0.5,
        device: str = "cpu",
        threads: int = 1,
    ) -> None:
        """Load a pack.

        Raises:
            SystemicError: the weights or the device are missing, or the pack lacks a part.
        """
        providers = choose_providers(device)
        check_weights(options)
        if not options.folder().exists():
            fetch_pack(options)
        self._app = _open_pack(options, providers, threads)
        check_pack(self._app, options, providers)
        size = (options.detection_size, options.detection_size)
        self._app.prepare(0 if device == "cuda" else -1, det_thresh=minimum_score, det_size=size)

    def detect(self, image: Image) -> list[Face]:
        """Return the faces of an RGB image ``(height, width, 3)``, the most certain first."""
        boxes, points = self._app.det_model.detect(_as_bgr(image))
        return ordered(
            [
                Face(box[:4].astype(np.float32), float(box[4]), five.astype(np.float32))
                for box, five in zip(boxes, points, strict=True)
            ]
        )

    def landmarks(self, image: Image, points: FloatArray | None = None) -> FloatArray | None:
        """Return ``(106, 2)`` points in pixels; the model always gives some, so never None."""
        from insightface.app.common import Face as Found

        found = Found(bbox=self._box(image, points))
        dense = self._app.models["landmark_2d_106"].get(_as_bgr(image), found)
        return np.asarray(dense, np.float32)

    def _box(self, image: Image, points: FloatArray | None) -> FloatArray:
        if points is not None:
            return apply(similarity(TEMPLATE, points), TEMPLATE_BOX).reshape(4)
        faces = self.detect(image)
        height, width = image.shape[:2]
        return faces[0].box if faces else np.array([0, 0, width, height], np.float32)


def choose_providers(device: str) -> list[str]:
    """Return ONNX Runtime's execution providers for ``cpu`` or ``cuda``.

    Raises:
        SystemicError: ``cuda`` is asked for and ONNX Runtime cannot use it.
    """
    import onnxruntime

    if device != "cuda":
        return ["CPUExecutionProvider"]
    available = onnxruntime.get_available_providers()
    if CUDA not in available:
        raise SystemicError(
            f"device cuda asked for, but onnxruntime {onnxruntime.__version__} offers only "
            f"{', '.join(available)}; expected {CUDA}: install onnxruntime-gpu in place of "
            "onnxruntime, or run on the cpu"
        )
    return [CUDA, "CPUExecutionProvider"]


def check_weights(options: InsightFaceOptions) -> None:
    """Look for the weights before the library does, since it would go to the network.

    Raises:
        SystemicError: they are missing and downloading is not allowed.
    """
    folder = options.folder()
    has_weights = folder.is_dir() and any(folder.glob("*.onnx"))
    if has_weights or (options.download and not folder.exists()):
        return
    remedy = (
        "delete the folder, so that it is fetched again"
        if options.download
        else "unpack the model pack there, or set insightface.download: true"
    )
    raise SystemicError(
        f"{folder}: no InsightFace weights (*.onnx) there; {remedy}. InsightFace's pretrained "
        "models are for non-commercial research only; detector: mediapipe needs no weights"
    )


def fetch_pack(options: InsightFaceOptions) -> None:
    """Let InsightFace fetch a pack; its folder appears when all of it is unpacked.

    Left alone, InsightFace would keep what it unpacked of a damaged archive and load it the next
    time, and workers that start together would write into each other's archive.

    Raises:
        SystemicError: the archive came damaged twice, or cannot be had.
    """
    folder = options.folder()
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with folder.with_name(f".{folder.name}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not folder.exists():
                _fetch_alone(options)
    except Exception as error:  # errors of requests, zipfile and the disk
        raise SystemicError(
            f"{folder}: InsightFace's pack could not be fetched whole, also at the second attempt "
            f"({error}); try later, or unpack {options.model}.zip there"
        ) from error


def _fetch_alone(options: InsightFaceOptions) -> None:
    from insightface.utils import ensure_available

    folder = options.folder()
    temporary = folder.with_name(f".{folder.name}.incomplete")
    for last in (False, True):
        shutil.rmtree(temporary, ignore_errors=True)
        try:
            # a member of the archive is held to its CRC-32 as it is unpacked
            Path(ensure_available("models", options.model, root=str(temporary))).rename(folder)
            return
        except Exception:
            if last:
                raise
        finally:
            shutil.rmtree(temporary, ignore_errors=True)


def check_pack(app: "FaceAnalysis", options: InsightFaceOptions, providers: list[str]) -> None:
    """Refuse a pack without five points or landmarks, and a silent fall-back to the CPU.

    Raises:
        SystemicError: naming the folder and what is missing.
    """
    folder = options.folder()
    if not getattr(app.det_model, "use_kps", False):
        raise SystemicError(f"{folder}: its detector gives no five points; use one that does")
    if "landmark_2d_106" not in app.models:
        raise SystemicError(f"{folder}: no 106-point landmark model (2d106det.onnx) in the pack")
    active = app.det_model.session.get_providers()
    if providers[0] not in active:
        import onnxruntime

        raise SystemicError(
            f"device cuda asked for, but onnxruntime {onnxruntime.__version__} runs on "
            f"{', '.join(active)}: its CUDA or cuDNN libraries do not load; "
            "check onnxruntime.get_available_providers() and the driver"
        )


def _open_pack(options: InsightFaceOptions, providers: list[str], threads: int) -> "FaceAnalysis":
    import onnxruntime
    from insightface.app import FaceAnalysis

    session = onnxruntime.SessionOptions()
    session.intra_op_num_threads = threads
    session.inter_op_num_threads = 1
    root = str(Path(options.root).expanduser())
    try:
        return FaceAnalysis(
            name=options.model,
            root=root,
            allowed_modules=MODULES,
            providers=providers,
            sess_options=session,
        )
    except Exception as error:  # ONNX Runtime's own errors share no base class
        raise SystemicError(
            f"{options.folder()}: InsightFace cannot load this pack ({error or 'no detector'}); "
            "expected one SCRFD detector and one 106-point landmark model"
        ) from error


def _as_bgr(image: Image) -> Any:
    return np.ascontiguousarray(image[..., ::-1])
