"""Captions by any local model that transformers knows as image-and-text to text.

Video-LLaVA, Qwen-VL, LLaVA-OneVision and others: what differs between them (a chat template or
none, videos or lists of images) is read from the processor. Code that comes with a model is never
run, and decoding is greedy, so that the same crops give the same caption.
"""

import io
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from expressway.core.config import StrictModel
from expressway.core.errors import RowFailure
from expressway.language.captioners.base import Description, Pictures, Question
from expressway.networks.precision import Chunks, check_device, precision_for
from expressway.networks.pretrained import source

VIDEO_TEMPLATE = "USER: {media}\n{prompt} ASSISTANT:"


class TransformersOptions(StrictModel):
    """A local model and how it is asked."""

    model: str = Field(
        description="folder or hub id, e.g. LanguageBind/Video-LLaVA-7B-hf (FineCLIPER), "
        "Qwen/Qwen2.5-VL-7B-Instruct, llava-hf/llava-onevision-qwen2-7b-ov-hf"
    )
    revision: str | None = Field(None, description="commit or tag of a hub model; pin it")
    media: Literal["auto", "video", "images"] = Field(
        "auto", description="how frames are given: auto: as a video where the model knows videos"
    )
    template: str = Field(
        VIDEO_TEMPLATE,
        description="what stands around the question where the model brings no chat template; "
        "{media} is the model's own video or image token, {prompt} the question",
    )
    max_new_tokens: int = Field(128, ge=1, description="longest answer (FineCLIPER, ours: 128)")
    precision: Literal["auto", "fp32", "bf16"] = Field(
        "auto", description="auto: bf16 on a GPU, fp32 on a CPU"
    )


class TransformersCaptioner:
    """A loaded model with its processor; see `Captioner`."""

    def __init__(
        self, options: TransformersOptions, question: Question, device: str, batch_size: int
    ) -> None:
        """Load model and processor.

        Raises:
            SystemicError: they are neither local nor reachable, or the device is missing.
        """
        check_device(device)
        self.model = f"{options.model}@{options.revision}" if options.revision else options.model
        self.decoding: Mapping[str, Any] = {
            "strategy": "greedy",
            "max_new_tokens": options.max_new_tokens,
            "precision": precision_for(options.precision, device),
            "media": options.media,
        }
        self._options = options
        self._question = question
        self._device = device
        self._chunks = Chunks(batch_size, "clips")
        self._processor, self._network = _load(options, device)
        self._as_video = _takes_video(self._processor, options)

    def describe(self, clips: Sequence[Pictures]) -> list[Description | RowFailure]:
        """Return one description per clip; a clip whose images cannot be read is a failure."""
        read = [_read(clip) for clip in clips]
        ready = [images for images in read if not isinstance(images, RowFailure)]
        answers = [answer for part in self._chunks.run(self._answers, ready) for answer in part]
        given = iter(answers)
        return [images if isinstance(images, RowFailure) else next(given) for images in read]

    def _answers(self, batch: Sequence[NDArray[np.uint8]]) -> list[Description]:
        import torch

        inputs = self._inputs(batch)
        limit = self._options.max_new_tokens
        with torch.inference_mode():
            tokens = self._network.generate(
                **inputs,
                max_new_tokens=limit,
                do_sample=False,
                num_beams=1,
                temperature=None,
                top_p=None,
                top_k=None,
                pad_token_id=self._processor.tokenizer.pad_token_id,
            )
        if not self._network.config.is_encoder_decoder:
            tokens = tokens[:, inputs["input_ids"].shape[1] :]
        texts = self._processor.tokenizer.batch_decode(tokens, skip_special_tokens=True)
        return [
            Description(text.strip(), ("cut_off",) if self._cut_off(row) else ())
            for text, row in zip(texts, tokens, strict=True)
        ]

    def _inputs(self, batch: Sequence[NDArray[np.uint8]]) -> dict[str, Any]:
        import torch

        texts = [self._prompt(len(images)) for images in batch]
        media: dict[str, Any] = (
            {"videos": list(batch)} if self._as_video else {"images": [list(i) for i in batch]}
        )
        encoded = self._processor(text=texts, padding=True, return_tensors="pt", **media)
        # Some processors give what their model's generate refuses.
        encoded.pop("token_type_ids", None)
        dtype = self._network.dtype
        return {
            name: value.to(self._device, dtype if value.is_floating_point() else None)
            for name, value in encoded.items()
            if isinstance(value, torch.Tensor)
        }

    def _prompt(self, frames: int) -> str:
        if getattr(self._processor, "chat_template", None):
            kinds = ["video"] if self._as_video else ["image"] * frames
            content: list[dict[str, str]] = [{"type": kind} for kind in kinds]
            content.append({"type": "text", "text": self._question.text})
            messages = [{"role": "user", "content": content}]
            return str(
                self._processor.apply_chat_template(
                    messages, add_generation_prompt=True, tokenize=False
                )
            )
        name = "video_token" if self._as_video else "image_token"
        token = getattr(self._processor, name, "<video>" if self._as_video else "<image>")
        media = token if self._as_video else token * frames
        return self._options.template.format(media=media, prompt=self._question.text)

    def _cut_off(self, tokens: Any) -> bool:
        ends = self._network.generation_config.eos_token_id
        known = set(ends if isinstance(ends, list) else [ends])
        known |= {self._processor.tokenizer.eos_token_id, self._processor.tokenizer.pad_token_id}
        return len(tokens) >= self._options.max_new_tokens and int(tokens[-1]) not in known


def _load(options: TransformersOptions, device: str) -> tuple[Any, Any]:
    import torch
    from transformers import AutoModelForImageTextToText, AutoProcessor

    precision = precision_for(options.precision, device)
    dtype = torch.bfloat16 if precision == "bf16" else torch.float32
    with source("captioner", options.model) as where:
        where["revision"] = options.revision
        processor = AutoProcessor.from_pretrained(**where)
        network: Any = AutoModelForImageTextToText.from_pretrained(**where, dtype=dtype)
    tokenizer = processor.tokenizer
    tokenizer.padding_side = "left"
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    return processor, network.to(device).eval().requires_grad_(False)


def _takes_video(processor: Any, options: TransformersOptions) -> bool:
    if options.media != "auto":
        return options.media == "video"
    return getattr(processor, "video_processor", None) is not None


def _read(clip: Pictures) -> NDArray[np.uint8] | RowFailure:
    """Return the images of a clip as RGB ``(frames, height, width, 3)``."""
    from PIL import Image, UnidentifiedImageError

    try:
        return np.stack(
            [np.asarray(Image.open(io.BytesIO(data)).convert("RGB")) for data in clip.images]
        )
    except (UnidentifiedImageError, OSError, ValueError) as error:
        return RowFailure("unreadable", f"{clip.clip_id}: a face crop cannot be read: {error}")
