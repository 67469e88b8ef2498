"""Scores of a trained model for test clips: one table, with a row for every clip asked for."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import pyarrow as pa
import torch
from safetensors.torch import load_file

from expressway import methods
from expressway.core.errors import ConfigError
from expressway.core.manifest import Clip
from expressway.core.model_card import WEIGHTS, ModelCard
from expressway.core.specs import PredictSpec
from expressway.core.store import write_table
from expressway.data.clips import ClipDataset, ClipStores, collate
from expressway.data.sampling import TEST_EPOCH
from expressway.language.class_vectors import KeptTexts, TextEncoder
from expressway.methods.base import Context, Method
from expressway.networks.backbones import Backbone, check_device
from expressway.networks.backbones import load as load_backbone
from expressway.networks.precision import Chunks

SCHEMA = pa.schema(
    [
        pa.field("clip_id", pa.string(), nullable=False),
        pa.field("subject", pa.string()),
        pa.field("split", pa.string()),
        pa.field("label", pa.string()),
        pa.field("prediction", pa.string()),
        pa.field("scores", pa.list_(pa.float32())),
        pa.field("known_score", pa.float32()),
        pa.field("targets", pa.list_(pa.float32())),
        pa.field("status", pa.string(), nullable=False),
    ]
)

OTHER_RECORDINGS = (
    "the unknown clips come from {}: how its recordings look tells them from the known, too"
)


@dataclass(frozen=True)
class Scored:
    """Scores of a clip: one per class, and the confidence of the known classes."""

    scores: list[float]
    known: float

    @property
    def best(self) -> int:
        """Index of the largest score; the first of equal ones."""
        return max(range(len(self.scores)), key=self.scores.__getitem__)


def predict(
    model: Path, spec: PredictSpec, out: Path, device: str = "cpu", threads: int = 1
) -> Path:
    """Write ``predictions.parquet`` for the clips of ``spec``; return ``out``.

    A clip without usable store rows appears with its status and null scores.

    Raises:
        ConfigError: model, protocol, labels, prompts or stores do not fit together.
    """
    check_device(device)
    torch.set_num_threads(threads)
    card = ModelCard.read(model)
    method = load(model, card, spec, device)
    rows = _rows(method, spec, card, device)
    if spec.unknown is not None:
        rows += [_foreign(row, spec.unknown) for row in _rows(method, spec.unknown, card, device)]
    footer = _footer(card, spec, method.context.labels)
    write_table(out, pa.Table.from_pylist(rows, SCHEMA), footer)
    return out


def _rows(
    method: Method[Any], spec: PredictSpec, card: ModelCard, device: str
) -> list[dict[str, Any]]:
    """Return a row for every clip asked for, scored or not."""
    stores = ClipStores(spec.stores, method.stores(method.recipe, spec.protocol, "predict"))
    _check_features(stores, card)
    method.check_stores(stores)
    clips = list({clip.id: clip for clip, _ in spec.rows}.values())
    states = {clip.id: stores.why_not(clip.id) for clip in clips}
    scored = scores(method, stores, [c for c in clips if states[c.id] is None], card, spec, device)
    labels = method.context.labels
    return [_row(clip, split, states[clip.id], scored, labels, spec) for clip, split in spec.rows]


def _foreign(row: dict[str, Any], spec: PredictSpec) -> dict[str, Any]:
    """Return a row of another data set, in which ids and subjects may be those of this one."""
    named = {key: f"{spec.dataset}/{row[key]}" for key in ("clip_id", "subject") if row[key]}
    return {**row, **named}


def load(model: Path, card: ModelCard, spec: PredictSpec, device: str = "cpu") -> Method[Any]:
    """Return a trained method in eval mode, its class texts encoded.

    Raises:
        ConfigError: the classes or the backbone are not the model's.
    """
    chosen = methods.get(card.method)
    chosen.check_protocol(spec.protocol)
    if not (chosen.class_texts or card.labels or card.targets):
        raise ConfigError(
            f"{model}: released weights with no last layer, which predict nothing; train a model "
            "that has start_from: with this folder"
        )
    labels = card.targets or spec.labels or card.labels
    if not labels:
        raise ConfigError(f"{model}: this model has no classes of its own; name the labels")
    if not chosen.class_texts and not card.targets and tuple(labels) != card.labels:
        raise ConfigError(
            f"{model}: trained for the classes {', '.join(card.labels)} in this order; asked for "
            f"{', '.join(labels)}"
        )
    recipe = methods.recipe(card.method, card.recipe, f"{model}: recipe")
    backbone = _same_backbone(card, device) if chosen.needs_backbone(recipe) else None
    context = Context(
        dim=card.backbone["dim"],
        labels=tuple(labels),
        protocol=spec.protocol,
        prompts=dict((chosen.class_texts and spec.prompts) or card.prompts),
        logit_scale=card.backbone["logit_scale"],
        backbone=backbone,
    )
    method = chosen(recipe, context)
    method.load_state_dict(load_file(model / WEIGHTS))
    if chosen.class_texts:
        method.read_prompts(backbone or _class_texts(card, spec, device))
    return method.eval().to(device)


def _class_texts(card: ModelCard, spec: PredictSpec, device: str) -> TextEncoder:
    """Return what reads class texts: vectors kept from before, else the model's backbone."""
    weights = card.backbone.get("sha256")
    if spec.class_vectors is None or not weights:
        return _same_backbone(card, device)
    return KeptTexts(spec.class_vectors, weights, lambda: _same_backbone(card, device))


def _same_backbone(card: ModelCard, device: str) -> Backbone:
    """Load the backbone that the model was trained with, by hash."""
    loaded = load_backbone(card.backbone["model"], device)
    expected = card.backbone.get("sha256")
    if expected and loaded.sha256 != expected:
        raise ConfigError(
            f"backbone {loaded.name} has sha256 {loaded.sha256[:12]}…, model {card.model} was "
            f"trained with {expected[:12]}…; restore that file or train the model again"
        )
    return loaded


def _check_features(stores: ClipStores, card: ModelCard) -> None:
    """Refuse features of another backbone than the model's."""
    for need in stores.needs:
        made_with = stores.footer(need.stage).get("config", {}).get("backbone")
        if need.stage == "visual_features" and made_with not in (None, card.backbone["model"]):
            raise ConfigError(
                f"the visual_features store was made with backbone {made_with}, model {card.model} "
                f"needs {card.backbone['model']}; choose a variant made with it"
            )


def scores(
    method: Method[Any],
    stores: ClipStores,
    clips: Sequence[Clip],
    card: ModelCard,
    spec: PredictSpec,
    device: str,
) -> dict[str, Scored]:
    """Return clip id -> its scores; ``clips`` have usable rows in ``stores``."""
    data = ClipDataset(
        clips, stores, method.sample, spec.task, method.context.labels, card.seed, training=False
    )

    def scored(part: range) -> list[tuple[str, Scored]]:
        batch = collate([data[TEST_EPOCH, index] for index in part])
        values = method.scores(batch.to(device)).float()
        known = method.known_scores(values).tolist()
        return list(zip(batch.ids, map(Scored, values.tolist(), known), strict=True))

    chunks = Chunks(_batch_size(method, stores, spec), "clips")
    with torch.inference_mode():
        return dict(chain.from_iterable(chunks.run(scored, range(len(data)))))


def _batch_size(method: Method[Any], stores: ClipStores, spec: PredictSpec) -> int:
    """Return how many clips to score at once: of clips as images, as many as training held."""
    held = method.recipe.batch_size
    if held is None or not any(need.stream for need in stores.needs):
        return spec.batch_size
    return max(1, min(spec.batch_size, held // method.recipe.accumulate))


def _row(
    clip: Clip,
    split: str,
    lost: str | None,
    scored: Mapping[str, Scored],
    labels: Sequence[str],
    spec: PredictSpec,
) -> dict[str, Any]:
    found = scored.get(clip.id)
    classes = found is not None and not spec.targets
    return {
        "clip_id": clip.id,
        "subject": clip.subject,
        "split": split,
        "label": clip.labels.get(spec.task),
        "prediction": labels[found.best] if found and classes else None,
        "scores": found.scores if found else None,
        "known_score": found.known if found and spec.protocol == "open_set" else None,
        "targets": [clip.targets.get(name) for name in spec.targets] if spec.targets else None,
        "status": lost or "ok",
    }


def _footer(card: ModelCard, spec: PredictSpec, labels: Sequence[str]) -> dict[str, Any]:
    """Return what an evaluation says about itself beside its numbers."""
    other = spec.unknown
    tested = spec.all_labels if other is None else other.all_labels
    unseen = [label for label in tested if label not in card.labels]
    return {
        "model": card.model,
        "method": card.method,
        "split": card.split,
        "seed": card.seed,
        "evaluation": spec.evaluation,
        "protocol": spec.protocol,
        "dataset": spec.dataset,
        "task": spec.task,
        "prompts": spec.prompt_set if spec.prompts else card.prompt_set,
        "labels": list(labels),
        "all_labels": list(dict.fromkeys((*spec.all_labels, *tested))),
        "unknown_labels": unseen if spec.protocol == "open_set" else [],
        "held_out": unseen if spec.protocol == "leave_one_out" else [],
        "targets": list(spec.targets),
        "threshold": card.threshold,
        "parameters": dict(card.parameters),
        "selection": card.selection,
        "trained_on": card.dataset,
        "unknown_from": other.dataset if other else None,
        "notes": [OTHER_RECORDINGS.format(other.dataset)] if other else [],
        "made_of": dict(spec.made_of),
    }
