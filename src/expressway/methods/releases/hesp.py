"""Checkpoints of HESP's release as a model folder.

Sections are those of the method's page; checkpoints are in section 9.

Training with the authors' code leaves two state dicts: one of the network, with the whole CLIP,
and one of the criterion, ``*_criterion.pth`` beside it. Their names are documented for few tensors
only, so the others are known by their shapes. Neither says where the patch was, nor in words which
classes there are: the names are read back from the token vectors behind the contexts.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from expressway.core.errors import ConfigError
from expressway.methods.blocks.prompts import token_embedding
from expressway.methods.releases.files import publish, read_state, some, write_backbone
from expressway.networks import backbones
from expressway.networks.backbones import Backbone

EYE = "visual.conv1.weight"
# what their classes are called, in the order of their numbers -> our label
CLASSES = {
    "angry": "anger",
    "disgust": "disgust",
    "fear": "fear",
    "happy": "happiness",
    "neutral": "neutral",
    "sad": "sadness",
    "surprise": "surprise",
    "contempt": "contempt",
    "anxiety": "anxiety",
    "helplessness": "helplessness",
    "disappointment": "disappointment",
}
# parts of the release that no score depends on
UNUSED = ("fc.weight", "fc.bias", "unknown_p_t", "Dist.centers", "token_prefix", "attn_mask")
CLIP_EXTRAS = ("input_resolution", "context_length", "vocab_size")


@dataclass(frozen=True)
class Release:
    """The tensors of a release: K classes, n context tokens, images of side S.

    Attributes:
        contexts: (K, n, W); ``names``: (K, length, W) token vectors behind them.
        patch: (3, S / 4, S / 4); ``negative_images``: (K, 3, S, S); ``radius``: ().
        tower: the CLIP in OpenAI's names.
    """

    contexts: Tensor
    names: Tensor
    patch: Tensor
    negative_images: Tensor
    radius: Tensor
    tower: Mapping[str, Tensor]

    def state(self, size: int) -> dict[str, Tensor]:
        """Return the method's state dict; the patch is put into the middle."""
        return {
            "contexts.context": self.contexts.float(),
            "patch": self.patch.float(),
            "negative_images": self.negative_images.float(),
            "radius": self.radius.float(),
            "position": torch.full((2,), size // 2),
        }


def import_release(file: Path, out: Path, backbone: str | None = None) -> Path:
    """Write a release as a model folder; return the folder.

    The recipe is ``published``. The CLIP inside is written beside it as ``backbone/``, unless
    ``backbone`` names one to use instead.

    Args:
        file: the network's state dict, with ``*_criterion.pth`` beside it, or both in one file.

    Raises:
        ConfigError: the file is no such checkpoint; names what is missing and unexpected.
    """
    release = parse(_read(file), str(file))
    weights = None if backbone else write_backbone(release.tower, out / "backbone", str(file))
    loaded = backbones.load(backbone or f"local-dir:{(out / 'backbone').as_posix()}")
    names = class_names(release.names, loaded, str(file))
    state = release.state(loaded.image_size)
    trainable = sum(
        v.numel() for k, v in state.items() if k not in ("position", "contexts.context")
    )
    return publish(
        out,
        state,
        file,
        source={"position": "not in the release; the patch is in the middle"},
        model="hesp-release",
        method="hesp",
        recipe={"published": True, "context_tokens": release.contexts.shape[1]},
        backbone={
            "model": loaded.name,
            "sha256": loaded.sha256 if weights else None,
            "dim": loaded.dim,
            "logit_scale": loaded.logit_scale,
        },
        labels=tuple(sorted(names, key=list(CLASSES.values()).index)),
        prompts={label: (name,) for label, name in names.items()},
        protocol="open_set",
        parameters={
            "trainable": trainable,
            "total": trainable
            + release.contexts.numel()
            + sum(p.numel() for p in loaded.model.parameters()),
        },
    )


def _read(file: Path) -> dict[str, Tensor]:
    state = read_state(file, "a HESP checkpoint")
    beside = file.with_name(f"{file.stem}_criterion{file.suffix}")
    return {**state, **(read_state(beside, "a criterion") if beside.is_file() else {})}


def parse(state: Mapping[str, Tensor], where: str) -> Release:
    """Find the parts of a release among its tensors.

    Raises:
        ConfigError: a part is missing or there twice, or a tensor belongs to no part.
    """
    tower = _tower(state)
    rest = {k: v for k, v in state.items() if k not in tower and not k.endswith(UNUSED)}
    contexts = _found(rest, lambda name, v: name.endswith("ctx") and v.ndim == 3)
    length = sum(len(state[k]) for k, name in tower.items() if name == "positional_embedding")
    parts = {"ctx": contexts, **_shaped(rest, contexts, length)}
    missing = [name for name, keys in parts.items() if len(keys) != 1]
    unexpected = sorted(set(rest) - {key for keys in parts.values() for key in keys})
    if missing or unexpected:
        raise ConfigError(
            f"{where}: not a HESP checkpoint; missing, or there twice: {some(missing)}; "
            f"unexpected: {some(unexpected)}; expected the whole CLIP, ctx (K x n x width), the "
            "token vectors behind it and a patch (3 x S/4 x S/4), and in the file "
            "*_criterion.pth beside it negative images (K x 3 x S x S) and radius"
        )
    found = {name: rest[keys[0]] for name, keys in parts.items()}
    return Release(
        contexts=found["ctx"],
        names=found["token vectors"],
        patch=found["patch"],
        negative_images=found["negative images"],
        radius=found["radius"].reshape(()),
        tower={name: state[key] for key, name in tower.items()},
    )


def _tower(state: Mapping[str, Tensor]) -> dict[str, str]:
    """Return key -> OpenAI's name of what belongs to the CLIP."""
    prefixes = [key.removesuffix(EYE) for key in state if key.endswith(EYE)]
    if not prefixes:
        return {}
    prefix = min(prefixes, key=len)
    owned = ("visual.", "transformer.", "token_embedding.", "ln_final.")
    single = ("positional_embedding", "text_projection", "logit_scale", *CLIP_EXTRAS)
    inside = {key: key.removeprefix(prefix) for key in state if key.startswith(prefix)}
    return {k: name for k, name in inside.items() if name.startswith(owned) or name in single}


def _found(state: Mapping[str, Tensor], fits: Any) -> list[str]:
    return [name for name, value in state.items() if fits(name, value)]


def _shaped(state: Mapping[str, Tensor], contexts: list[str], length: int) -> dict[str, list[str]]:
    """Return part -> the keys whose shapes fit it; ``length``: tokens that the CLIP reads."""
    classes, tokens, width = state[contexts[0]].shape if len(contexts) == 1 else (0, 0, 0)
    images = _found(state, lambda _, v: v.ndim == 4 and v.shape[:2] == (classes, 3))
    side = state[images[0]].shape[-1] // 4 if images else 0
    behind = (classes, length - 1 - tokens, width)
    return {
        "token vectors": _found(state, lambda _, v: v.shape == behind),
        "patch": _found(state, lambda _, v: v.shape == (3, side, side)),
        "negative images": images,
        "radius": _found(state, lambda name, v: name.endswith("radius") and v.numel() == 1),
    }


def class_names(vectors: Tensor, backbone: Backbone, where: str) -> dict[str, str]:
    """Return our label -> the release's class name, in the order of the texts.

    Args:
        vectors: (K, length, W) of name, full stop, end token and padding.

    Raises:
        ConfigError: the vectors are no words of this CLIP, or no classes of the release, or not
            in the order in which the release sorts them.
    """
    with torch.no_grad():
        [table] = (p.float() for p in token_embedding(backbone.model).parameters())
        ids = torch.cdist(vectors.float(), table).argmin(-1)
        # stored in half precision on a GPU
        exact = torch.allclose(table[ids], vectors.float(), rtol=2**-9, atol=1e-4)
    [stop] = backbone.tokenizer.encode(".")
    names = [_words(row.tolist(), stop, backbone) for row in ids]
    labels = [CLASSES.get(name, "") for name in names]
    if not exact or "" in labels or labels != sorted(set(labels)):
        raise ConfigError(
            f"{where}: the class names read back from it are {', '.join(names)}; expected names "
            f"of the release in alphabetical order ({', '.join(sorted(CLASSES))}) and the CLIP "
            f"that it was trained with, not another than {backbone.name}"
        )
    return dict(zip(labels, names, strict=True))


def _words(ids: list[int], stop: int, backbone: Backbone) -> str:
    return str(backbone.tokenizer.decode(ids[: ids.index(stop)] if stop in ids else ids)).strip()
