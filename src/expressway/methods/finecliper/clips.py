"""Inputs of FineCLIPER: image streams and a caption (docs/methods/finecliper.md, 4)."""

import logging
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from expressway.core.errors import ConfigError
from expressway.data.clips import ClipStores, Rows
from expressway.data.pictures import image_streams
from expressway.data.sampling import Indices, segment_frames
from expressway.data.segments import random_segments
from expressway.data.transforms import Augmentation, View
from expressway.methods.finecliper.recipe import IMAGES, caption_source, needs
from expressway.networks.backbones import Backbone

log = logging.getLogger(__name__)


def check(recipe: Any, backbone: Backbone, stores: ClipStores, captions: bool) -> None:
    """Refuse modalities without a store, and cues of other crops than those that are read.

    Without ``captions`` their store may be missing.
    How many clips lack a modality is logged: they are used without it. So is how many captions
    are longer than the text tower reads: they are cut.

    Raises:
        ConfigError: names the store.
    """
    there = {need.stage for need in stores.needs}
    for need in needs(recipe, set()):
        if need.stage not in there and (captions or need.stage != caption_source(recipe)[0]):
            raise ConfigError(
                f"finecliper reads the store {need.stage} for its modalities "
                f"{', '.join(recipe.modalities)}; name a variant of it under the model's stores:, "
                "or take the modality out"
            )
    for stage in there & {"parsing", "landmarks"}:
        crops = stores.footer("faces").get("variant")
        made_of = stores.footer(stage).get("config", {}).get("faces", crops)
        if crops and made_of != crops:
            raise ConfigError(
                f"{stage} was made of faces/{made_of}, but the model reads faces/{crops}; "
                "choose variants that belong together"
            )
    for need in stores.needs:
        if need.optional and (lost := stores.lacking(need.stage)):
            log.warning("%d clips are used without %s", lost, need.stage)
    if "captions" in recipe.modalities and caption_source(recipe)[0] in there:
        _tell_cut(backbone, stores.each(*caption_source(recipe)))


def _tell_cut(backbone: Backbone, found: Iterable[Any]) -> None:
    texts = [text for value in found for text in _listed(value)]
    if cut := sum(backbone.truncated(texts)):
        log.warning(
            "%d of %d captions are longer than %d tokens: their ends are not read",
            *(cut, len(texts), backbone.context_length),
        )


def _listed(value: Any) -> list[str]:
    """Return a clip's captions, of which a column holds one, several or none."""
    return [value] if isinstance(value, str) and value else list(value or ())


def pictures(
    recipe: Any, backbone: Backbone, rows: Rows, random: np.random.Generator, training: bool
) -> dict[str, Tensor]:
    """Return image streams as uint8 (frames, 3, height, width); one without data is left out."""
    positions = chosen(rows["faces"]["valid"], recipe.frames, random, training)
    streams = image_streams(rows, positions, recipe.pictures)
    height, width = next(iter(streams.values())).shape[-2:]
    view = View.whole((height, width))
    if training:
        # section 4.3: one draw for the clip, after parsing and landmarks are drawn
        view = Augmentation(recipe.crop_area, recipe.crop_ratio, recipe.flip, recipe.rotation).draw(
            (height, width), random
        )
    size, mode = backbone.preprocess.size, backbone.preprocess.interpolation
    return {name: view.apply(images, size, mode) for name, images in streams.items()}


def chosen(valid: Any, length: int, random: np.random.Generator, training: bool) -> Indices:
    """Return the frames of a clip (section 4.2), of those with a face where it has any."""
    shown = np.flatnonzero(valid)
    kept = shown if len(shown) else np.arange(len(valid))
    if training:
        return kept[random_segments(len(kept), length, random)]
    return kept[segment_frames(len(kept), length)]


def caption(
    recipe: Any, backbone: Backbone, rows: Rows, random: np.random.Generator, training: bool
) -> Tensor | None:
    """Return token ids (context,) of one of a clip's captions, at test the first; None without.

    What is longer than the text tower reads is cut.
    """
    stage, column = caption_source(recipe)
    row: Mapping[str, Any] = rows.get(stage, {})
    texts = _listed(row.get(column))
    if not texts:
        return None
    text = texts[int(random.integers(len(texts))) if training else 0]
    return backbone.tokenize([text])[0]


def sample(
    recipe: Any, backbone: Backbone, rows: Rows, random: np.random.Generator, training: bool
) -> dict[str, Tensor]:
    """Return a tensor per modality and ``present`` (modalities,); what is missing is zero."""
    found: dict[str, Tensor] = {}
    if recipe.pictures:
        found |= pictures(recipe, backbone, rows, random, training)
    tokens = caption(recipe, backbone, rows, random, training)
    if tokens is not None and "captions" in recipe.modalities:
        found["captions"] = tokens
    present = torch.tensor([name in found for name in recipe.modalities])
    images = torch.zeros(recipe.frames, 3, *backbone.preprocess.size, dtype=torch.uint8)
    blank = dict.fromkeys(IMAGES, images) | {"captions": backbone.tokenize([""])[0]}
    filled = {name: found.get(name, blank[name]) for name in recipe.modalities}
    return {**filled, "present": present}
