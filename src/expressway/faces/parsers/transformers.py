"""Parsing by any semantic-segmentation model of transformers, such as a SegFormer for faces."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from expressway.core.config import nearest
from expressway.core.errors import ConfigError
from expressway.faces.parsing import CLASSES, INDEX, Mask, Portrait, frames_of
from expressway.faces.pictures import decode
from expressway.networks.precision import Chunks, Precision, check_device
from expressway.networks.pretrained import source

if TYPE_CHECKING:
    from torch import Tensor

# A SegFormer-B5 needs hundreds of MB for an image of 512 px. A CPU gains nothing from batches.
FRAMES_PER_BATCH = {"cpu": 1, "cuda": 16}

# CelebAMask-HQ's labels, and other spellings of them. Glasses lie on the face: skin. What belongs
# to no class is background. FaceXFormer learned from LaPa, which leaves ears and neck out as well.
SPELLINGS: Mapping[str, str] = {
    "background": "background bg cloth clothing clothes hat neck neck_l necklace ear_r earring "
    "l_ear r_ear left_ear right_ear",
    "skin": "skin face eye_g eyeglass eyeglasses glasses",
    "left_brow": "l_brow left_brow left_eyebrow",
    "right_brow": "r_brow right_brow right_eyebrow",
    "left_eye": "l_eye left_eye",
    "right_eye": "r_eye right_eye",
    "nose": "nose",
    "upper_lip": "u_lip upper_lip",
    "inner_mouth": "mouth inner_mouth imouth",
    "lower_lip": "l_lip lower_lip",
    "hair": "hair",
}
CELEBAMASK: Mapping[str, str] = {
    label: name for name, labels in SPELLINGS.items() for label in labels.split()
}


class TransformersParser:
    """A frozen segmentation model with its own image processor and our eleven classes."""

    def __init__(
        self,
        model: str,
        classes: Mapping[str, str] | None = None,
        device: str = "cpu",
        precision: Precision = "fp32",
    ) -> None:
        """Load a model; code that comes with it is never run.

        Args:
            model: a folder that ``save_pretrained`` wrote, or a hub id.
            classes: label of the model -> one of the eleven classes, beyond ``CELEBAMASK``.
            device: ``cpu`` or ``cuda``.
            precision: of the network; label maps hardly depend on it.

        Raises:
            ConfigError: a label has no place among the eleven classes, or the processor cuts.
            SystemicError: model or device are not there.
        """
        check_device(device)
        self.model = model
        self.device = device
        self._network, self._processor = _loaded(model, precision)
        self._network.to(device).eval().requires_grad_(False)
        self._table = class_table(model, self._network.config.id2label, classes or {})
        given = set(self._table.tolist())
        self.missing_classes = tuple(name for name in CLASSES if INDEX[name] not in given)
        self._size = FRAMES_PER_BATCH["cpu" if device == "cpu" else "cuda"]
        self._chunks = Chunks(self._size, "frames")

    def masks(self, portraits: Sequence[Portrait]) -> Iterator[Mask]:
        """Yield the label map ``(height, width)`` of every frame of every portrait, in order.

        Raises:
            RowFailure: ``unreadable``: a crop cannot be decoded.
            SystemicError: one frame does not fit into GPU memory.
        """
        frames = list(frames_of(portraits))
        for start in range(0, len(frames), self._size):
            part = frames[start : start + self._size]
            images = [decode(portrait.crops[frame], frame) for portrait, frame in part]
            for masks in self._chunks.run(self._segment, images):
                yield from masks

    def _segment(self, images: Sequence[np.ndarray]) -> list[Mask]:
        import torch

        pixels = self._processor(images=list(images), return_tensors="pt")["pixel_values"]
        with torch.no_grad():
            moved = pixels.to(self.device, self._network.dtype)
            logits = self._network(pixel_values=moved).logits.float()
        return [
            self._table[self._labels(one, image.shape[:2])]
            for one, image in zip(logits, images, strict=True)
        ]

    def _labels(self, logits: Tensor, size: tuple[int, int]) -> np.ndarray:
        """Return the model's own labels ``(height, width)`` of logits ``(labels, h, w)``."""
        import torch

        fitted = torch.nn.functional.interpolate(
            logits[None], size, mode="bilinear", align_corners=False
        )
        return fitted[0].argmax(0).cpu().numpy()


def class_table(
    model: str, labels: Mapping[int, str], classes: Mapping[str, str]
) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """Return ``(labels,)``: for each label of a model the index of one of the eleven classes.

    Raises:
        ConfigError: all labels without a class, and all unknown classes, at once.
    """
    wanted = {**CELEBAMASK, **{_plain(label): name for label, name in classes.items()}}
    known = {_plain(label) for label in labels.values()}
    homeless = [label for label in labels.values() if _plain(label) not in wanted]
    problems = [f"label {label!r} has no class; add it under classes" for label in homeless]
    problems += [
        f"{name!r} is no class{nearest(name, CLASSES)}"
        for name in sorted(set(classes.values()) - set(CLASSES))
    ]
    problems += [
        f"the model has no label {label!r}{nearest(label, labels.values())}"
        for label in classes
        if _plain(label) not in known
    ]
    if problems:
        listed = "; ".join(problems)
        raise ConfigError(f"parsing model {model}: {listed}; classes: {', '.join(CLASSES)}")
    table = [INDEX[wanted[_plain(labels[index])]] for index in range(len(labels))]
    return np.array(table, np.uint8)


def _plain(label: str) -> str:
    return label.strip().lower().replace(" ", "_").replace("-", "_")


def _loaded(model: str, precision: Precision) -> tuple[Any, Any]:
    import torch
    from transformers import AutoImageProcessor, AutoModelForSemanticSegmentation

    dtype = torch.bfloat16 if precision == "bf16" else torch.float32
    with source("parsing model", model) as where:
        processor = AutoImageProcessor.from_pretrained(**where)
        network = AutoModelForSemanticSegmentation.from_pretrained(**where, dtype=dtype)
    if getattr(processor, "do_center_crop", False) or getattr(processor, "do_pad", False):
        raise ConfigError(
            f"parsing model {model}: its image processor cuts or pads images, so that its label "
            "maps do not fit the crops; set do_center_crop and do_pad to false in its "
            "preprocessor_config.json"
        )
    return network, processor
