"""A real face (NASA's portrait of Eileen Collins, public domain, inside scikit-image's wheel)
and ONNX files that have the signature of InsightFace's."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

STRIDES = (8, 16, 32)
ANCHORS = 2


@pytest.fixture(scope="session")
def astronaut() -> np.ndarray:
    from skimage import data

    return np.ascontiguousarray(data.astronaut())


@pytest.fixture(scope="session")
def cat() -> np.ndarray:
    from skimage import data

    return np.ascontiguousarray(data.chelsea())


@pytest.fixture(scope="session")
def mediapipe_detector() -> Any:
    from expressway.faces.detectors import DetectorConfig, open_detector

    return open_detector(DetectorConfig())


@pytest.fixture
def make_pack(tmp_path: Path) -> Callable[..., Path]:
    """Write ``ROOT/models/NAME/*.onnx`` and return ROOT."""

    def make(name: str = "tiny", points: bool = True, landmarks: bool = True) -> Path:
        folder = tmp_path / "insightface" / "models" / name
        folder.mkdir(parents=True)
        save_detector(folder / "det.onnx", points)
        if landmarks:
            save_landmarks(folder / "2d106det.onnx")
        return folder.parent.parent

    return make


# What the dummy detector says of a white 32 px cell: distances from the cell's corner to the
# box's sides, and offsets of the five points, in units of the stride.
BOX = (0.5, 0.75, 1.5, 1.75)
POINTS = ((0.2, 0.1), (0.8, 0.1), (0.5, 0.5), (0.3, 0.9), (0.7, 0.9))
SHAPE = np.stack([np.linspace(-0.5, 0.5, 106), np.linspace(0.25, -0.25, 106)], -1)


def save_detector(path: Path, points: bool = True) -> None:
    """Write a network that takes every all-white 32 px cell for a face."""
    from onnx import TensorProto, helper

    nodes: list[Any] = []
    constants: list[Any] = []
    outputs: dict[str, int] = {}
    for stride in STRIDES:
        nodes.append(
            helper.make_node(
                "AveragePool",
                ["x"],
                [f"pool{stride}"],
                kernel_shape=[stride] * 2,
                strides=[stride] * 2,
            )
        )
        # White is +1 and black -1 after InsightFace's normalisation; finer strides stay silent.
        gain, bias = (20.0, -50.0) if stride == 32 else (0.0, -10.0)
        heads = {"score": ([bias], gain), "box": (BOX, 0.0)}
        if points:
            heads["points"] = (tuple(np.ravel(POINTS)), 0.0)
        for head, (values, weight) in heads.items():
            outputs[f"{head}{stride}"] = len(values)
            nodes += _head(f"{head}{stride}", f"pool{stride}", values, weight, constants)
    kinds = ("score", "box", "points") if points else ("score", "box")
    names = [f"{kind}{stride}" for kind in kinds for stride in STRIDES]
    results = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, [f"n_{name}", outputs[name]])
        for name in names
    ]
    _save(path, nodes, constants, ["h", "w"], results)


def _head(name: str, pool: str, values: Any, weight: float, constants: list[Any]) -> list[Any]:
    from onnx import helper, numpy_helper

    channels = len(values) * ANCHORS
    weights = np.full((channels, 3, 1, 1), weight, np.float32)
    # Both anchors of a cell say the same: the non-maximum suppression has to merge them.
    bias = np.tile(np.asarray(values, np.float32), ANCHORS)
    shape = np.array([-1, len(values)], np.int64)
    for suffix, array in (("w", weights), ("b", bias), ("s", shape)):
        constants.append(numpy_helper.from_array(array, f"{name}_{suffix}"))
    last = f"{name}_t"
    nodes = [
        helper.make_node("Conv", [pool, f"{name}_w", f"{name}_b"], [f"{name}_c"]),
        helper.make_node("Transpose", [f"{name}_c"], [last], perm=[2, 3, 0, 1]),
    ]
    if name.startswith("score"):
        nodes.append(helper.make_node("Sigmoid", [last], [f"{name}_p"]))
        last = f"{name}_p"
    return [*nodes, helper.make_node("Reshape", [last, f"{name}_s"], [name])]


def save_landmarks(path: Path) -> None:
    """Write a network whose 106 points lie at ``SHAPE`` in its input, whatever it sees."""
    from onnx import TensorProto, helper, numpy_helper

    constants = [
        numpy_helper.from_array(np.zeros((212, 3, 1, 1), np.float32), "weight"),
        numpy_helper.from_array(SHAPE.astype(np.float32).ravel(), "bias"),
    ]
    nodes = [
        helper.make_node("GlobalAveragePool", ["x"], ["pool"]),
        helper.make_node("Conv", ["pool", "weight", "bias"], ["conv"]),
        helper.make_node("Flatten", ["conv"], ["fc1"]),
    ]
    results = [helper.make_tensor_value_info("fc1", TensorProto.FLOAT, [1, 212])]
    _save(path, nodes, constants, [192, 192], results)


def _save(path: Path, nodes: Any, constants: Any, size: list[Any], results: Any) -> None:
    import onnx
    from onnx import TensorProto, helper

    image = helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 3, *size])
    graph = helper.make_graph(nodes, "dummy", [image], results, initializer=constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    onnx.checker.check_model(model)
    onnx.save(model, str(path))
