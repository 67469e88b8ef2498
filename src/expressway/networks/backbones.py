"""CLIP backbones known to open_clip: right activation, encoding, fast preprocessing.

A backbone is named by a string: ``ViT-B-32/openai`` (architecture and pretrained set),
``hf-hub:OWNER/REPOSITORY`` or ``local-dir:FOLDER`` (open_clip's own folder layout).
"""

from __future__ import annotations

import importlib.util
import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from expressway.core.config import nearest
from expressway.core.errors import ConfigError, SystemicError
from expressway.core.fast_imports import uncollected
from expressway.networks.precision import Precision, check_device
from expressway.networks.preprocessing import Preprocess

if TYPE_CHECKING:
    from torch import Tensor, nn

CONFIG_NAME = "open_clip_config.json"
WEIGHT_SUFFIXES = (".safetensors", ".bin", ".pth", ".pt")
PATCH_TOKENS_MISSING = (
    "patch tokens exist only for vision transformers; choose a ViT backbone such as ViT-B-16/openai"
)


@dataclass(frozen=True)
class Reference:
    """A parsed backbone string: where the architecture and the weights come from."""

    kind: Literal["tag", "hub", "folder"]
    location: str
    tag: str = ""

    @property
    def open_clip_name(self) -> str:
        """The name under which open_clip builds it (without the pretrained set)."""
        prefix = {"tag": "", "hub": "hf-hub:", "folder": "local-dir:"}[self.kind]
        return prefix + self.location


def parse(model: str) -> Reference:
    """Return what a backbone string means; nothing is imported or read.

    Raises:
        ConfigError: the string has none of the three forms.
    """
    for prefix, kind in (("hf-hub:", "hub"), ("local-dir:", "folder")):
        if model.startswith(prefix) and len(model) > len(prefix):
            return Reference(kind, model.removeprefix(prefix))  # type: ignore[arg-type]
    architecture, slash, tag = model.rpartition("/")
    if not (architecture and slash and tag) or ":" in model:
        raise ConfigError(
            f"backbone {model!r}: expected ARCHITECTURE/PRETRAINED (ViT-B-32/openai), "
            "hf-hub:OWNER/REPOSITORY or local-dir:FOLDER"
        )
    # OpenAI writes ViT-B/32, open_clip ViT-B-32
    return Reference("tag", architecture.replace("/", "-"), tag)


def description(model: str) -> dict[str, Any]:
    """Return open_clip's JSON description (``model_cfg``, …) without loading weights or torch.

    Raises:
        ConfigError: folder, description or architecture is unknown.
        SystemicError: a hub description is neither in the local cache nor reachable.
    """
    reference = parse(model)
    if reference.kind == "tag":
        return {"model_cfg": _architecture(reference.location)}
    path = _hub_description(model) if reference.kind == "hub" else _folder_description(model)
    try:
        read = json.loads(path.read_text("utf-8"))
    except ValueError as error:
        raise ConfigError(f"{path}: not JSON ({error}); save the backbone folder again") from error
    if "model_cfg" not in read:
        raise ConfigError(f"{path}: has no model_cfg; expected open_clip's folder layout")
    return dict(read)


def _folder_description(model: str) -> Path:
    path = Path(parse(model).location) / CONFIG_NAME
    if not path.is_file():
        raise ConfigError(
            f"backbone {model}: {path} does not exist; expected a folder with {CONFIG_NAME} "
            "and open_clip_model.safetensors (docs/backbones.md)"
        )
    return path


def _hub_description(model: str) -> Path:
    from huggingface_hub import hf_hub_download

    try:
        return Path(hf_hub_download(parse(model).location, CONFIG_NAME))
    except Exception as error:
        raise SystemicError(_unreachable(model, error)) from error


def _architecture(name: str) -> dict[str, Any]:
    # read beside the package, since importing open_clip imports torch and torchvision
    spec = importlib.util.find_spec("open_clip")
    places = spec.submodule_search_locations if spec else None
    path = Path(places[0] if places else "") / "model_configs" / f"{name}.json"
    if path.is_file():
        return dict(json.loads(path.read_text("utf-8")))
    return _registered(name)


def _registered(name: str) -> dict[str, Any]:
    """Return an architecture that was added to open_clip by ``add_model_config``."""
    import open_clip

    found = open_clip.get_model_config(name)
    if found is None:
        known = open_clip.list_models()
        raise ConfigError(
            f"backbone: open_clip knows no architecture {name!r}{nearest(name, known)}"
        )
    return dict(found)


def embedding_width(model: str) -> int:
    """Return D, the width of a backbone's image and text embeddings, without its weights."""
    return int(description(model)["model_cfg"]["embed_dim"])


def local_files(model: str) -> tuple[str, ...]:
    """Return the files of a ``local-dir:`` backbone that decide its output, else nothing."""
    reference = parse(model)
    if reference.kind != "folder":
        return ()
    suffixes = (*WEIGHT_SUFFIXES, ".json", ".txt", ".model")
    found = sorted(p for p in Path(reference.location).glob("*") if p.suffix in suffixes)
    return tuple(path.as_posix() for path in found) or (
        (Path(reference.location) / CONFIG_NAME).as_posix(),
    )


@dataclass(frozen=True)
class Backbone:
    """A loaded CLIP: frozen, in eval mode, on its device. ``logit_scale`` is the logarithm."""

    name: str
    model: Any
    tokenizer: Any
    preprocess: Preprocess
    weights: Path
    dim: int
    text_width: int
    context_length: int
    logit_scale: float
    device: str
    precision: Precision

    @property
    def image_size(self) -> int:
        """Side of the input in pixels (the height where it is not square)."""
        return self.preprocess.size[0]

    @cached_property
    def sha256(self) -> str:
        """The sha256 of the weights file, 64 hexadecimal digits; computed once when asked."""
        from expressway.core.fingerprints import file_digest

        return file_digest(self.weights)

    def tokenize(self, texts: Sequence[str]) -> Tensor:
        """Return token ids ``(n, context_length)``; longer texts are cut, the end token kept."""
        return self.tokenizer(list(texts))

    def truncated(self, texts: Sequence[str]) -> list[bool]:
        """Return for each text whether it is longer than ``context_length`` tokens."""
        inner = getattr(self.tokenizer, "tokenizer", None)
        if inner is not None:
            return [len(inner(text)["input_ids"]) > self.context_length for text in texts]
        # start and end tokens come on top of what the byte-pair encoder returns
        encode = self.tokenizer.encode
        return [len(encode(text)) + 2 > self.context_length for text in texts]

    def encode_images(self, images: Tensor) -> Tensor:
        """Embed preprocessed images ``(n, 3, h, w)`` as un-normalised float32 ``(n, D)``."""
        return self._frozen(self.model.encode_image, images)

    def encode_texts(self, texts: Sequence[str], batch_size: int = 256) -> Tensor:
        """Embed texts as un-normalised float32 ``(n, D)``."""
        import torch

        parts = [
            self._frozen(self.model.encode_text, self.tokenize(texts[i : i + batch_size]))
            for i in range(0, len(texts), batch_size)
        ]
        return torch.cat(parts) if parts else torch.zeros(0, self.dim, device=self.device)

    def patch_tokens(self, images: Tensor) -> Tensor:
        """Return the last layer's normalised patch tokens ``(n, patches, width)``, float32.

        Class tokens are left out; the projection to D is not applied.

        Raises:
            ConfigError: the image tower is no vision transformer.
        """
        return self._frozen(lambda batch: _patch_tokens(self.model.visual, batch), images)

    def _frozen(self, function: Callable[[Tensor], Tensor], batch: Tensor) -> Tensor:
        """Run without gradients (no inference mode: methods train on what comes out)."""
        import torch

        kind = torch.device(self.device).type
        lower = self.precision == "bf16"
        with torch.no_grad(), torch.autocast(kind, torch.bfloat16, enabled=lower):
            return function(batch.to(self.device)).float()


def _patch_tokens(visual: Any, images: Tensor) -> Tensor:
    if not hasattr(visual, "conv1") and hasattr(visual, "trunk"):
        prefix = getattr(visual.trunk, "num_prefix_tokens", None)
        tokens = visual.trunk.forward_features(images) if prefix is not None else None
        if tokens is None or tokens.ndim != 3:
            raise ConfigError(PATCH_TOKENS_MISSING)
        return tokens[:, prefix:]  # type: ignore[no-any-return]
    if not hasattr(visual, "class_embedding"):
        raise ConfigError(PATCH_TOKENS_MISSING)
    found = visual.forward_intermediates(
        images,
        indices=1,
        normalize_intermediates=True,
        intermediates_only=True,
        output_fmt="NLC",
    )
    return found["image_intermediates"][-1]  # type: ignore[no-any-return]


def load(model: str, device: str = "cpu", precision: Precision = "fp32") -> Backbone:
    """Load a CLIP with the activation that its weights were trained with.

    Raises:
        ConfigError: the name is unknown, or activation and weights do not belong together.
        SystemicError: weights or device are not there.
    """
    with uncollected():
        import open_clip

    reference = parse(model)
    check_device(device)
    expected = expected_quick_gelu(model)
    weights = _weights(model)
    network = _build(model, force_quick_gelu=bool(expected) and reference.kind == "tag")
    check_activation(network, expected, model)
    network = network.eval().requires_grad_(False).to(device)
    text = getattr(network, "text", network)
    return Backbone(
        name=model,
        model=network,
        tokenizer=open_clip.get_tokenizer(reference.open_clip_name),
        preprocess=Preprocess.of(network.visual.preprocess_cfg),
        weights=weights,
        dim=embedding_width(model),
        text_width=_text_width(text),
        context_length=int(text.context_length),
        logit_scale=network.logit_scale.item(),
        device=device,
        precision=precision,
    )


def _text_width(text: Any) -> int:
    embedding = getattr(text, "token_embedding", None)
    return int(text.config.hidden_size if embedding is None else embedding.embedding_dim)


def _build(model: str, force_quick_gelu: bool) -> Any:
    import open_clip

    reference = parse(model)
    try:
        return open_clip.create_model(
            reference.open_clip_name,
            pretrained=reference.tag or None,
            force_quick_gelu=force_quick_gelu,
            require_pretrained=True,
        )
    except Exception as error:
        raise SystemicError(
            f"backbone {model}: weights and description do not fit or cannot be read: {error}"
        ) from error


def _weights(model: str) -> Path:
    """Return the weights file, downloading it where the name points to the network."""
    import open_clip
    from open_clip.factory import _find_checkpoint_in_dir
    from open_clip.pretrained import download_pretrained_from_hf

    reference = parse(model)
    try:
        if reference.kind == "folder":
            found = _find_checkpoint_in_dir(Path(reference.location))
        elif reference.kind == "hub":
            found = download_pretrained_from_hf(reference.location)
        else:
            facts = open_clip.get_pretrained_cfg(reference.location, reference.tag)
            found = open_clip.download_pretrained(facts)
    except Exception as error:
        raise SystemicError(_unreachable(model, error)) from error
    if not found:
        raise SystemicError(f"backbone {model}: no weights file ({', '.join(WEIGHT_SUFFIXES)})")
    return Path(found)


def _unreachable(model: str, error: Exception) -> str:
    reason = str(error).splitlines()[0] if str(error) else type(error).__name__
    return (
        f"backbone {model}: its files are not on this machine and could not be fetched ({reason}). "
        "Load it once on a machine with network access and copy its cache (HF_HOME), or put its "
        f"{CONFIG_NAME} and weights into a folder and name it local-dir:FOLDER (docs/backbones.md)"
    )


def expected_quick_gelu(model: str) -> bool | None:
    """Return whether a backbone's weights were trained with QuickGELU; None when nothing says so.

    Raises:
        ConfigError: the architecture has no such pretrained set.
    """
    import open_clip

    reference = parse(model)
    if reference.kind != "tag":
        return _declared_quick_gelu(model)
    _architecture(reference.location)
    facts = open_clip.get_pretrained_cfg(reference.location, reference.tag)
    if not facts:
        raise ConfigError(_unknown_tag(model))
    return bool(facts.get("quick_gelu", False))


def _unknown_tag(model: str) -> str:
    import open_clip

    reference = parse(model)
    plain = reference.location.removesuffix("-quickgelu")
    if plain != reference.location and open_clip.get_pretrained_cfg(plain, reference.tag):
        return (
            f"backbone {model}: {reference.tag} was not trained with QuickGELU; "
            f"use {plain}/{reference.tag}"
        )
    known = open_clip.list_pretrained_tags_by_model(reference.location)
    hint = nearest(reference.tag, known)
    return f"backbone {model}: no such pretrained set{hint}; known: {', '.join(known) or 'none'}"


def _declared_quick_gelu(model: str) -> bool | None:
    """Look up the pretrained set that a folder or repository says it comes from."""
    from open_clip.pretrained import _PRETRAINED

    declared = _declared_source(model)
    flags = {
        bool(sets[declared].get("quick_gelu", False))
        for sets in _PRETRAINED.values()
        if declared in sets
    }
    return flags.pop() if len(flags) == 1 else None


def _declared_source(model: str) -> str:
    """Return the pretrained set's name: ``openai`` out of ``ViT-B-32/openai`` and the like."""
    reference = parse(model)
    facts = description(model)
    named = facts.get("pretrained") or (reference.location if reference.kind == "hub" else "")
    card = Path(reference.location) / "config.json"
    if not named and reference.kind == "folder" and card.is_file():
        named = json.loads(card.read_text("utf-8")).get("pretrained_cfg", {}).get("tag", "")
    return re.split(r"[/:.]", str(named))[-1].lower().replace("-", "_")


def check_activation(network: nn.Module, expected: bool | None, model: str) -> None:
    """Compare the network's activation with the one that its weights were trained with.

    Raises:
        ConfigError: they differ, which would spoil every feature without any other sign.
    """
    from open_clip.transformer import QuickGELU

    built = any(isinstance(module, QuickGELU) for module in network.modules())
    if expected is None or built == expected:
        return
    trained, found = ("QuickGELU", "GELU") if expected else ("GELU", "QuickGELU")
    raise ConfigError(
        f"backbone {model}: its weights were trained with {trained}, but it is built with {found}; "
        f'set "quick_gelu": {str(expected).lower()} in the model_cfg of {CONFIG_NAME}'
    )
