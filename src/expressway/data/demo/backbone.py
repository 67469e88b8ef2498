"""Train the demo's tiny CLIP from scratch and save it in open_clip's own folder layout.

Contrastive training alone learns hair and skin first and movement late. Two things help: patch
embeddings that start as whitened principal components, so that edges count as much as colours,
and a second loss that asks both towers for the action units, alone at first.
"""

import csv
import json
import math
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from expressway.core import files
from expressway.data.demo.lessons import FRAMES_PER_PERSON, IMAGE, Lessons, make_lessons
from expressway.data.demo.units import EMOTIONS, UNIT_NAMES

if TYPE_CHECKING:
    import torch

PEOPLE = 4500
EPOCHS = 3
BATCH = 64
PEAK_RATE = 1e-3
WARM_UP = 30
WEIGHT_DECAY = 0.02
UNITS_WEIGHT = 2.0
TEXT_WEIGHT = 0.5
# Share of the steps in which only the units are learned.
HEAD_START = 0.4
# Length of embeddings before the units are read off: a unit vector would read too faintly.
REACH = 8.0
MODEL: dict[str, Any] = {
    "embed_dim": 64,
    "vision_cfg": {
        "image_size": IMAGE,
        "patch_size": 8,
        "width": 96,
        "layers": 4,
        "head_width": 32,
    },
    "text_cfg": {
        "context_length": 48,
        "vocab_size": 49408,
        "width": 64,
        "heads": 2,
        "layers": 2,
    },
}
MEAN = (0.48145466, 0.4578275, 0.40821073)
STD = (0.26862954, 0.26130258, 0.27577711)


def train_backbone(out: Path, seed: int, people: int = PEOPLE, epochs: int = EPOCHS) -> None:
    """Render lessons, train, and write the folder that `local-dir:OUT` loads.

    Args:
        out: folder for `open_clip_config.json`, `open_clip_model.safetensors` (fp16),
            `README.md` and `training.csv`.
        seed: decides the people, the sentences, the initial weights and the order.
        people: how many people the lessons show, four crops each.
        epochs: passes over the lessons.
    """
    import torch

    started = time.monotonic()
    cores = os.cpu_count() or 1
    lessons = make_lessons(seed, people, cores)
    torch.manual_seed(seed)
    model, tokens = _fresh_model(), _tokenise(lessons.texts)
    log = _train(model, lessons, tokens, seed, epochs)
    minutes = (time.monotonic() - started) / 60.0
    save(model, out)
    _write_log(out / "training.csv", log)
    card = _CARD.format(
        seed=seed,
        people=people,
        images=people * FRAMES_PER_PERSON,
        epochs=epochs,
        batch=BATCH,
        steps=len(log),
        minutes=minutes,
        named=_named(lessons.texts),
        loss=log[-1]["contrastive"],
    )
    (out / "README.md").write_text(card, encoding="utf-8")


def _named(texts: list[str]) -> int:
    """How many sentences name an emotion."""
    return sum(any(name in text for name in EMOTIONS) for text in texts)


def _fresh_model() -> "torch.nn.Module":
    from open_clip.model import CLIP

    return CLIP(**MODEL)


def _tokenise(texts: list[str]) -> "torch.Tensor":
    from open_clip import SimpleTokenizer

    return SimpleTokenizer(context_length=MODEL["text_cfg"]["context_length"])(texts)


def _train(
    model: Any, lessons: Lessons, tokens: "torch.Tensor", seed: int, epochs: int
) -> list[dict[str, float]]:
    import torch

    head = torch.nn.Linear(MODEL["embed_dim"], len(UNIT_NAMES))
    optimiser = _optimiser(model, head)
    images, units = torch.from_numpy(lessons.images), torch.from_numpy(lessons.units)
    units = (units - units.mean(0)) / units.std(0)
    moving = torch.from_numpy(lessons.moving)
    _whiten_patches(model.visual, images[::40])
    per_epoch = len(images) // BATCH
    steps = epochs * per_epoch
    schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda step: _rate(step, steps))
    order = torch.Generator().manual_seed(seed)
    log: list[dict[str, float]] = []
    model.train()
    for epoch in range(epochs):
        shuffled = torch.randperm(len(images), generator=order)
        for batch in shuffled[: per_epoch * BATCH].split(BATCH):
            pixels = _mirror(normalised(images[batch]), order)
            losses = _losses(model, head, pixels, tokens[batch], units[batch], moving[batch])
            if len(log) < HEAD_START * steps:
                losses["contrastive"] = 0.0 * losses["contrastive"]
            optimiser.zero_grad(set_to_none=True)
            torch.stack(list(losses.values())).sum().backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimiser.step()
            schedule.step()
            with torch.no_grad():
                model.logit_scale.clamp_(0.0, math.log(100.0))
            values = {name: round(loss.item(), 5) for name, loss in losses.items()}
            log.append({"step": len(log) + 1, "epoch": epoch + 1, **values})
    return log


def _optimiser(model: Any, head: Any) -> "torch.optim.Optimizer":
    import torch

    named = [*model.named_parameters(), *head.named_parameters()]
    decayed = [p for name, p in named if p.ndim > 1 and "embedding" not in name]
    free = [p for name, p in named if p.ndim <= 1 or "embedding" in name]
    groups: list[dict[str, Any]] = [
        {"params": decayed, "weight_decay": WEIGHT_DECAY},
        {"params": free},
    ]
    return torch.optim.AdamW(groups, lr=PEAK_RATE, betas=(0.9, 0.98), weight_decay=0.0)


def _rate(step: int, steps: int) -> float:
    """Share of the peak learning rate: linear warm-up, then half a cosine."""
    if step < WARM_UP:
        return (step + 1) / WARM_UP
    return 0.5 * (1.0 + math.cos(math.pi * (step - WARM_UP) / max(1, steps - WARM_UP)))


def normalised(images: "torch.Tensor") -> "torch.Tensor":
    """Bytes (batch, 64, 64, 3) to normalised floats (batch, 3, 64, 64)."""
    import torch

    scaled = images.permute(0, 3, 1, 2).float() / 255.0
    mean, std = (torch.tensor(values).view(1, 3, 1, 1) for values in (MEAN, STD))
    return (scaled - mean) / std


def _mirror(pixels: "torch.Tensor", order: "torch.Generator") -> "torch.Tensor":
    """Half of the images seen in a mirror; no sentence says left or right."""
    import torch

    turned = torch.rand(len(pixels), 1, 1, 1, generator=order) < 0.5
    return torch.where(turned, pixels.flip(3), pixels)


def _whiten_patches(tower: Any, images: "torch.Tensor") -> None:
    """Start the patch embedding as whitened principal components of patches, in place."""
    import torch
    from torch.nn import functional

    width, side = tower.conv1.out_channels, MODEL["vision_cfg"]["patch_size"]
    columns = functional.unfold(normalised(images), side, stride=side)
    patches = columns.transpose(1, 2).flatten(0, 1)
    values, vectors = torch.linalg.eigh(torch.cov(patches.T))
    whitened = vectors[:, -width:] / (values[-width:] + _PATCH_NOISE).sqrt()
    mixing, _ = torch.linalg.qr(torch.randn(width, width))
    with torch.no_grad():
        tower.conv1.weight.copy_((whitened @ mixing).T.reshape(tower.conv1.weight.shape))
        tower.positional_embedding.normal_(0.0, _PLACE_SPREAD)


# Variance below which a component of a patch counts as noise; spread of positions at the start,
# of the order of the whitened patches, so that attention can go by place from the first step.
_PATCH_NOISE = 0.01
_PLACE_SPREAD = 0.7


def _losses(
    model: Any,
    head: Any,
    pixels: "torch.Tensor",
    tokens: "torch.Tensor",
    units: "torch.Tensor",
    moving: "torch.Tensor",
) -> dict[str, "torch.Tensor"]:
    """CLIP's contrastive loss, and squared errors of standardised units read from both towers."""
    import torch
    from torch.nn import functional

    seen = functional.normalize(model.encode_image(pixels), dim=-1)
    told = functional.normalize(model.encode_text(tokens), dim=-1)
    logits = model.logit_scale.exp() * seen @ told.T
    own = torch.arange(len(logits))
    contrastive = functional.cross_entropy(logits, own) + functional.cross_entropy(logits.T, own)
    read = functional.mse_loss(head(REACH * told[moving]), units[moving])
    return {
        "contrastive": 0.5 * contrastive,
        "units": UNITS_WEIGHT * functional.mse_loss(head(REACH * seen), units),
        "units_of_text": TEXT_WEIGHT * read,
    }


def save(model: Any, out: Path) -> None:
    """Write configuration and fp16 weights so that open_clip's `local-dir:` loads them."""
    import safetensors.torch

    out.mkdir(parents=True, exist_ok=True)
    preprocess = {
        "size": [IMAGE, IMAGE],
        "mode": "RGB",
        "mean": list(MEAN),
        "std": list(STD),
        "interpolation": "bicubic",
        "resize_mode": "shortest",
        "fill_color": 0,
    }
    config = {"model_cfg": MODEL, "preprocess_cfg": preprocess}
    (out / "open_clip_config.json").write_text(json.dumps(config, indent=2) + "\n", "utf-8")
    weights = {name: value.half().contiguous() for name, value in model.state_dict().items()}
    with files.atomic_path(out / "open_clip_model.safetensors") as temporary:
        safetensors.torch.save_file(weights, temporary)


def _write_log(path: Path, log: list[dict[str, float]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(log[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(log)


_CARD = """# Demo backbone

A tiny CLIP (ViT, 64 px, patch 8; 64 dimensions) for Expressway's demo world. It knows drawn faces
and nothing else: use it for the demo and for tests only.

- **Made by** `expressway demo train-backbone --seed {seed}`; log in `training.csv`.
- **Seen**: {images} crops of {people} drawn people, none of whom occurs in any demo clip or still,
  with sentences about movements and looks; {named} sentences name an emotion.
- **Trained** {epochs} epochs of batches of {batch} ({steps} steps), contrastive loss plus action
  unit regression, {minutes:.1f} minutes; last contrastive loss {loss:.2f}.
- **Load**: `open_clip.create_model_and_transforms("local-dir:data/demo/backbone")`.
- Weights are fp16; licence Apache-2.0, like the package.
"""
