"""The clips of a run: those it trains on, and those it is judged on while it trains."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from expressway.core.errors import ConfigError
from expressway.core.manifest import Clip
from expressway.core.specs import TrainSpec
from expressway.data.clips import ClipDataset, ClipStores
from expressway.data.sampling import generator
from expressway.data.splits import labelled, part, usable, with_targets
from expressway.methods.base import Method
from expressway.methods.description import Phase
from expressway.models.training.selection import Selection, check


def prepare(
    method: Method[Any], spec: TrainSpec
) -> tuple[ClipDataset, Selection | None, dict[str, int]]:
    """Return the training clips, what chooses the epoch, and how many clips went where.

    Raises:
        ConfigError: nothing to train on, or nothing to choose by.
    """
    clips = _with_truth(part(spec.clips, spec.parts, "train"), spec)
    if method.recipe.selection == "last":
        data, lost = _dataset(method, spec, clips, "train")
        return data, None, {"trained": len(data), **lost}
    check(spec)
    rest, judged, source = divide(clips, spec, method.recipe.validation_fraction)
    data, lost = _dataset(method, spec, rest, "train")
    validation, _ = _dataset(method, spec, judged, "predict")
    counts = {"trained": len(data), "validation": len(validation), **lost}
    return data, Selection(validation, f"{len(validation)} {source}"), counts


def _with_truth(clips: list[Clip], spec: TrainSpec) -> list[Clip]:
    if spec.protocol == "regression":
        return with_targets(clips, spec.targets)
    return clips if spec.protocol == "zero_shot" else labelled(clips, spec.task, spec.labels)


def _dataset(
    method: Method[Any], spec: TrainSpec, clips: Sequence[Clip], phase: Phase
) -> tuple[ClipDataset, dict[str, int]]:
    """Return the usable clips and how many were left out, by status."""
    stores = ClipStores(spec.stores, method.stores(method.recipe, spec.protocol, phase))
    method.check_stores(stores)
    kept, lost = usable(clips, stores.why_not)
    training = phase == "train"
    data = ClipDataset(
        kept, stores, method.sample, spec.task, spec.labels, spec.seed, training, spec.targets
    )
    return data, lost


def divide(
    clips: Sequence[Clip], spec: TrainSpec, fraction: float
) -> tuple[list[Clip], list[Clip], str]:
    """Return the clips to train on, those to choose the epoch by, and where these come from.

    A split's own validation part is taken whole. Otherwise a share of the training part is cut
    off by seed: no subject stands on both sides, and classes are about equally frequent on both.

    Raises:
        ConfigError: no cut leaves every class to train on.
    """
    from sklearn.model_selection import StratifiedGroupKFold

    own = _with_truth(part(spec.clips, spec.parts, "validation"), spec)
    if own:
        return list(clips), own, "clips of the split's validation part"
    labels = [clip.labels[spec.task] for clip in clips]
    groups = [clip.subject or clip.id for clip in clips]
    folds = min(max(2, round(1 / fraction)), len(set(groups)))
    if folds < 2:
        raise ConfigError(f"{_cannot(spec)} its clips show one subject only")
    seed = int(generator(spec.seed, 0, "validation cut").integers(2**31))
    cut = StratifiedGroupKFold(folds, shuffle=True, random_state=seed)
    train, validation = next(iter(cut.split(np.zeros(len(clips)), labels, groups)))
    rest = [clips[index] for index in train]
    lacking = set(labels) - {labels[index] for index in train}
    if lacking or not len(validation):
        shown = ", ".join(sorted(lacking)) or "nothing"
        raise ConfigError(f"{_cannot(spec)} it would leave no training clip of {shown}")
    subjects = {clips[i].subject for i in validation} - {None, ""}
    known = f"of {len(subjects)} subjects " if subjects else ""
    return rest, [clips[i] for i in validation], f"clips {known}cut off the training part"


def _cannot(spec: TrainSpec) -> str:
    return (
        f"models.{spec.model}: no validation clips can be cut off the training part of "
        f"{spec.split} (name them in splits.csv as validation, or set selection: last):"
    )
