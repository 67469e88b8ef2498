"""Make a CUDA-built torchvision importable beside a CPU-only torch; see README.md."""

import sys
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType
from typing import Any

NMS_SCHEMA = "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"
PILLOW_MODES = {"GRAY": "L", "GRAY_ALPHA": "LA", "RGB": "RGB", "RGB_ALPHA": "RGBA", "RGBA": "RGBA"}


def declare_operators() -> None:
    """Declare the schemas that torchvision's extension declares where it loads."""
    import torch
    from torchvision.extension import _has_ops

    if not _has_ops():
        for operator in ("nms", "qnms"):
            torch.library.define(f"torchvision::{operator}", NMS_SCHEMA)


def decode_with_pillow(module: ModuleType) -> None:
    """Give ``torchvision.io.decode_image`` a body where its extension is missing."""
    import torch

    try:
        torch.ops.image.decode_image  # noqa: B018
        return
    except (AttributeError, RuntimeError):
        pass

    def decode_image(
        input: Any, mode: Any = module.ImageReadMode.UNCHANGED, apply_exif_orientation: bool = False
    ) -> torch.Tensor:
        import io

        import numpy as np
        from PIL import Image, ImageOps

        data = io.BytesIO(input.numpy().tobytes()) if torch.is_tensor(input) else input
        image: Image.Image = Image.open(data)
        if apply_exif_orientation:
            image = ImageOps.exif_transpose(image)
        name = mode if isinstance(mode, str) else mode.name
        if name in PILLOW_MODES:
            image = image.convert(PILLOW_MODES[name])
        pixels = np.array(image)
        planes = pixels[None] if pixels.ndim == 2 else pixels.transpose(2, 0, 1)
        return torch.from_numpy(planes.copy())

    module.decode_image = decode_image  # type: ignore[attr-defined]


BEFORE = {"torchvision._meta_registrations": declare_operators}
AFTER = {"torchvision.io.image": decode_with_pillow}


class Finder:
    """Wraps the import of the two modules that need help and of no other."""

    @staticmethod
    def find_spec(name: str, path: Any = None, target: Any = None) -> ModuleSpec | None:
        """Return the ordinary spec with its execution wrapped, or None for other modules."""
        if name not in BEFORE and name not in AFTER:
            return None
        spec = PathFinder.find_spec(name, path, target)
        if spec is None or spec.loader is None:
            return None
        execute = spec.loader.exec_module

        def exec_module(module: ModuleType) -> None:
            if name in BEFORE:
                BEFORE[name]()
            execute(module)
            if name in AFTER:
                AFTER[name](module)

        spec.loader.exec_module = exec_module  # type: ignore[method-assign]
        return spec


sys.meta_path.insert(0, Finder)
