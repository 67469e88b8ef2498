"""Running MediaPipe's graphs: its models without what its ready-made solutions put around them.

The solutions run one thread per core, take a minimum confidence and drop it, track from image to
image, and spend a quarter of the time on turning landmarks into Python objects.
"""

import os
import sys
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from expressway.faces.align import FloatArray, Image

DETECTION = """
input_stream: "image"
output_stream: "found"
num_threads: 1
node {{
  calculator: "{model}"
  input_stream: "IMAGE:image"
  output_stream: "DETECTIONS:found"
  options {{
    [mediapipe.FaceDetectionOptions.ext] {{ min_score_thresh: {minimum_score} }}
  }}
}}
"""

MESH = """
input_stream: "image"
input_stream: "region"
input_side_packet: "with_attention"
output_stream: "found"
num_threads: 1
node {
  calculator: "FaceLandmarkCpu"
  input_stream: "IMAGE:image"
  input_stream: "ROI:region"
  input_side_packet: "WITH_ATTENTION:with_attention"
  output_stream: "LANDMARKS:landmarks"
}
node {
  calculator: "ImagePropertiesCalculator"
  input_stream: "IMAGE:image"
  output_stream: "SIZE:size"
}
node {
  calculator: "LandmarksToMatrixCalculator"
  input_stream: "LANDMARKS:landmarks"
  input_stream: "IMAGE_SIZE:size"
  output_stream: "LANDMARKS_MATRIX:found"
  options {
    [mediapipe.LandmarksToMatrixCalculatorOptions.ext] { object_normalization: false }
  }
}
"""


class Graph:
    """A graph with an image stream, perhaps more inputs, and the output stream ``found``."""

    def __init__(self, text: str, **side_inputs: bool) -> None:
        """Load the graph's models; ``side_inputs`` are constants of the graph."""
        import mediapipe as mp
        from google.protobuf import text_format
        from mediapipe.framework import calculator_pb2
        from mediapipe.python._framework_bindings import resource_util

        # Graphs name their model files relative to the folder that holds the package.
        resource_util.set_resource_dir(str(Path(mp.__file__).parent.parent))
        _register_options()
        config = text_format.Parse(text, calculator_pb2.CalculatorGraphConfig())
        self._create = mp.packet_creator
        self._rgb = mp.ImageFormat.SRGB
        self._packet: Any = None
        self._timestamp = 0
        self._graph = mp.CalculatorGraph(graph_config=config)
        self._graph.observe_output_stream("found", self._take)
        self._graph.start_run(
            {name: self._create.create_bool(value) for name, value in side_inputs.items()}
        )

    def _take(self, stream: str, packet: Any) -> None:
        self._packet = packet

    def __call__(self, image: Image, **messages: Any) -> Any:
        """Return the output packet for an RGB image, or None where the graph gives nothing."""
        self._packet = None
        self._timestamp += 1
        pixels = np.ascontiguousarray(image)
        frame = self._create.create_image_frame(image_format=self._rgb, data=pixels)
        self._send("image", frame)
        for name, message in messages.items():
            self._send(name, self._create.create_proto(message))
        self._graph.wait_until_idle()
        return self._packet

    def _send(self, stream: str, packet: Any) -> None:
        self._graph.add_packet_to_input_stream(stream, packet.at(self._timestamp))


def _register_options() -> None:
    # The parser knows the options of a node only when their types have been imported.
    import mediapipe.modules.face_detection.face_detection_pb2
    import mediapipe.tasks.cc.vision.gesture_recognizer.calculators.landmarks_to_matrix_calculator_pb2  # noqa: E501, F401


def matrix(packet: Any) -> FloatArray:
    """Return the matrix in a packet."""
    import mediapipe as mp

    return np.array(mp.packet_getter.get_matrix(packet), np.float32)


def messages(packet: Any) -> list[Any]:
    """Return the list of protocol messages in a packet."""
    import mediapipe as mp

    return list(mp.packet_getter.get_proto_list(packet))


@contextmanager
def quiet() -> Iterator[None]:
    """Hold back what C++ libraries write to stderr; show it if the block fails."""
    # MediaPipe 0.10.14 calls protobuf's old API on every result; Python would say so each time.
    warnings.filterwarnings("ignore", r"SymbolDatabase\.GetPrototype", UserWarning)
    sys.stderr.flush()
    saved = os.dup(2)
    with tempfile.TemporaryFile() as held:
        os.dup2(held.fileno(), 2)
        try:
            yield
        except BaseException:
            held.seek(0)
            os.write(saved, held.read())
            raise
        finally:
            os.dup2(saved, 2)
            os.close(saved)
