"""Teachers for Exp-CLIP: what a language model's encoder makes of a face and an instruction.

BLIP-2 and InstructBLIP with a T5, from transformers: vision -> Q-Former -> projection -> image
tokens, then the instruction's tokens -> T5 encoder -> mean over all positions (Exp-CLIP spec 2.2).
The decoder is never needed; it is dropped before the model moves to its device.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from expressway.core.errors import ConfigError
from expressway.networks.precision import Chunks, Precision, check_device
from expressway.networks.preprocessing import Preprocess
from expressway.networks.pretrained import source

if TYPE_CHECKING:
    from torch import Tensor

# Exp-CLIP's, word for word: the result depends on it.
INSTRUCTION = (
    "Please play the role of a facial action describer. Objectively describe the detailed facial "
    "actions of the person in the image."
)
IMAGES_PER_BATCH = 32
FAMILIES = ("blip-2", "instructblip")


def load(
    model: str,
    device: str = "cpu",
    precision: Precision = "fp32",
    instruction: str = INSTRUCTION,
    published: bool = False,
    dropout: bool = False,
    seed: int = 0,
) -> Blip2Teacher:
    """Load a frozen teacher; code that comes with a model is never run.

    Args:
        model: a folder that ``save_pretrained`` wrote, or a hub id such as
            Salesforce/blip2-flan-t5-xxl.
        device: ``cpu`` or ``cuda``.
        precision: of the whole model.
        instruction: the text behind the image tokens.
        published: pixels in [0, 1] without mean and std, resized bilinearly, as Exp-CLIP had them.
        dropout: dropout of Q-Former and T5 active, as in Exp-CLIP's training.
        seed: of the dropout.

    Raises:
        ConfigError: another kind of model, or one whose language model has no encoder.
        SystemicError: model or device are not there.
    """
    check_device(device)
    network, processor = _loaded(model, precision)
    _drop_decoder(network)
    network.to(device).eval().requires_grad_(False)
    preprocess = _preprocess(processor.image_processor, published)
    tokens = _tokens(processor, instruction)
    return Blip2Teacher(model, network, preprocess, tokens, seed if dropout else None)


class Blip2Teacher:
    """A frozen BLIP-2 or InstructBLIP with one instruction."""

    def __init__(
        self,
        name: str,
        network: Any,
        preprocess: Preprocess,
        tokens: dict[str, Tensor],
        dropout_seed: int | None,
    ) -> None:
        self.name = name
        self.dim = int(network.config.get_text_config().hidden_size)
        self.preprocess = preprocess
        self._network = network
        self._encoder = network.language_model.get_encoder()
        self._tokens = {key: value.to(network.device) for key, value in tokens.items()}
        self._seed = dropout_seed
        self._chunks = Chunks(IMAGES_PER_BATCH, "images")
        if dropout_seed is not None:
            # LAVIS keeps the vision model in eval mode, whatever the wrapper is set to.
            network.qformer.train()
            self._encoder.train()

    def encode_images(self, images: Sequence[np.ndarray], keys: Sequence[str]) -> Tensor:
        """Return un-normalised float32 ``(n, D)`` on the CPU.

        Args:
            images: RGB ``(height, width, 3)`` uint8 of any size.
            keys: one per image; with dropout the noise is a function of seed and key alone, and
                images therefore go through the model one by one.

        Raises:
            SystemicError: a single image does not fit into GPU memory.
        """
        import torch

        if not images:
            return torch.zeros(0, self.dim)
        pixels = torch.stack([self.preprocess.resize(image) for image in images])
        if self._seed is None:
            return torch.cat(self._chunks.run(self._encode, pixels))
        return torch.cat([self._noisy(pixels[i : i + 1], key) for i, key in enumerate(keys)])

    def _noisy(self, pixels: Tensor, key: str) -> Tensor:
        import torch

        entropy = hashlib.sha256(f"{self._seed}/{key}".encode()).digest()
        device = self._network.device
        with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
            torch.manual_seed(int.from_bytes(entropy[:8], "little") >> 1)
            return self._encode(pixels)

    def _encode(self, pixels: Tensor) -> Tensor:
        """Return the mean over all positions, float32 ``(n, D)``, of uint8 ``(n, 3, h, w)``."""
        return self.states(pixels).float().mean(1).cpu()

    def states(self, pixels: Tensor) -> Tensor:
        """Return the encoder's states ``(n, image tokens + text tokens, D)``.

        Args:
            pixels: uint8 ``(n, 3, height, width)``, of the size that the vision model takes.
        """
        import torch

        with torch.no_grad():
            inputs = self._inputs(self.preprocess.normalise(pixels.to(self._network.device)))
            seen: list[Tensor] = []
            # T5 ends with one more dropout, behind the point where Exp-CLIP takes the states.
            with _watching(self._encoder.final_layer_norm, seen.append):
                mask = torch.ones(inputs.shape[:2], dtype=torch.long, device=inputs.device)
                self._encoder(inputs_embeds=inputs, attention_mask=mask)
        return seen[0]

    def _inputs(self, images: Tensor) -> Tensor:
        """Return image tokens and behind them the instruction's, ``(n, tokens, D)``."""
        import torch

        tokens = {key: value.expand(len(images), -1) for key, value in self._tokens.items()}
        text = self._network.get_input_embeddings()(tokens.pop("input_ids"))
        seen = self._network.get_image_features(images.to(self._network.dtype), **tokens)
        return torch.cat([seen.pooler_output.to(text.dtype), text], dim=1)


class _watching:
    """Hands on what a module returns while the block lasts."""

    def __init__(self, module: Any, receive: Callable[[Tensor], None]) -> None:
        self._handle = module.register_forward_hook(lambda _, __, output: receive(output))

    def __enter__(self) -> None:
        return None

    def __exit__(self, *_: object) -> None:
        self._handle.remove()


def _loaded(model: str, precision: Precision) -> tuple[Any, Any]:
    import torch
    import transformers

    dtype = torch.bfloat16 if precision == "bf16" else torch.float32
    with source("teacher", model) as where:
        config = transformers.AutoConfig.from_pretrained(**where)
        _check_kind(model, config)
        blip2 = config.model_type == "blip-2"
        loader = (
            transformers.Blip2ForConditionalGeneration
            if blip2
            else transformers.InstructBlipForConditionalGeneration
        )
        processor = transformers.AutoProcessor.from_pretrained(**where)
        return loader.from_pretrained(**where, dtype=dtype), processor


def _check_kind(model: str, config: Any) -> None:
    language = config.get_text_config().model_type if config.model_type in FAMILIES else ""
    if language != "t5":
        found = f"{config.model_type} with {language}" if language else config.model_type
        raise ConfigError(
            f"teacher {model}: a {found} model; expected BLIP-2 or InstructBLIP with a T5, such as "
            "Salesforce/blip2-flan-t5-xxl (its encoder is what Exp-CLIP learns from)"
        )


def _drop_decoder(network: Any) -> None:
    """Free what only generation needs: half of the language model."""
    network.language_model.decoder = None
    network.language_model.lm_head = None


def _preprocess(processor: Any, published: bool) -> Preprocess:
    found = Preprocess(
        size=(int(processor.size["height"]), int(processor.size["width"])),
        mean=tuple(processor.image_mean),
        std=tuple(processor.image_std),
        interpolation="bilinear" if published else "bicubic",
        resize_mode="squash",
    )
    return found.unnormalised() if published else found


def _tokens(processor: Any, instruction: str) -> dict[str, Tensor]:
    """Return ``input_ids`` ``(1, n)`` with end token; InstructBLIP's Q-Former reads them too."""
    tokens = {"input_ids": processor.tokenizer(instruction, return_tensors="pt")["input_ids"]}
    reader = getattr(processor, "qformer_tokenizer", None)
    if reader is not None:
        tokens["qformer_input_ids"] = reader(instruction, return_tensors="pt")["input_ids"]
    return tokens
