"""Build the specifications of trainings and predictions from the plan."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from expressway.core.errors import ConfigError
from expressway.core.specs import PredictSpec, TrainSpec
from expressway.language.prompts import class_texts, components
from expressway.planning import paths
from expressway.planning.outputs import Outputs
from expressway.planning.plan import Plan
from expressway.planning.stores import Shard


def train_spec(plan: Plan, model: str, split: str, seed: int) -> TrainSpec:
    """Return what one training run is asked to do.

    Raises:
        ConfigError: the model has no such split.
    """
    outputs = Outputs(plan)
    known = plan.models.splits(model)
    if split not in known:
        raise ConfigError(f"{model} has no split {split!r}; known: {', '.join(known)}")
    start = plan.models.start_folder(model, split, seed)
    config = plan.configuration.model(model)
    data = plan.dataset(config.dataset)
    labels = plan.models.labels(model, split)
    return TrainSpec(
        model=model,
        method=config.method,
        recipe=plan.configuration.recipe(model).model_dump(),
        clips=data.clips,
        parts=plan.models.members(model, split),
        stores=_by_stage(plan.models.shards(model, split)),
        task=config.task,
        labels=labels,
        protocol=config.protocol,
        split=split,
        seed=seed,
        backbone=plan.configuration.backbone(model) or "",
        dataset=config.dataset,
        targets=tuple(config.targets),
        start=Path(start) if start else None,
        prompts=_prompts(plan, config.prompts, _spoken(labels, config.protocol)),
        prompt_set=config.prompts,
        provenance=_provenance(plan, model),
        fingerprint=plan.models.expectation(model, split),
        made_of=outputs.record(outputs.model(model, split, seed)),
    )


def predict_spec(plan: Plan, model: str, evaluation: str, split: str, seed: int) -> PredictSpec:
    """Return what one evaluation of one run is asked to do."""
    config = plan.configuration.evaluation(evaluation)
    data, outputs = plan.dataset(config.dataset), Outputs(plan)
    shards = plan.evaluations.shards(model, evaluation, split)
    labels = plan.evaluations.test_labels(model, evaluation, split)
    spec = PredictSpec(
        evaluation=evaluation,
        protocol=config.protocol,
        dataset=config.dataset,
        task=config.task,
        rows=plan.evaluations.test_rows(model, evaluation, split),
        stores=_by_stage(shards[config.dataset]),
        labels=labels,
        all_labels=tuple(data.config.labels.get(config.task, ())),
        targets=tuple(plan.configuration.model(model).targets),
        prompts=_prompts(plan, config.prompts, _spoken(labels, config.protocol)),
        prompt_set=config.prompts,
        class_vectors=Path("state/class_vectors"),
        made_of=outputs.record(outputs.predictions(model, split, seed, evaluation)),
    )
    return replace(spec, unknown=_unknown(plan, spec, model, split))


def _unknown(plan: Plan, spec: PredictSpec, model: str, split: str) -> PredictSpec | None:
    """Return what is asked of the clips of another data set that play the unknown, if any."""
    config = plan.configuration.evaluation(spec.evaluation).unknown
    if config is None:
        return None
    return replace(
        spec,
        dataset=config.dataset,
        task=config.task,
        rows=plan.evaluations.unknown_rows(model, spec.evaluation, split),
        stores=_by_stage(plan.evaluations.shards(model, spec.evaluation, split)[config.dataset]),
        all_labels=tuple(plan.dataset(config.dataset).config.labels.get(config.task, ())),
    )


def _by_stage(shards: Sequence[Shard]) -> dict[str, list[Path]]:
    """Return stage -> its shard tables."""
    found: dict[str, list[Path]] = {}
    for shard in shards:
        found.setdefault(shard[1], []).append(Path(paths.shard(*shard)))
    return found


def _prompts(plan: Plan, name: str | None, labels: tuple[str, ...]) -> dict[str, tuple[str, ...]]:
    return class_texts(Path(plan.settings.prompts), name, labels) if name else {}


def _spoken(labels: tuple[str, ...], protocol: str) -> tuple[str, ...]:
    """Return the classes that need texts: of joined classes, their components."""
    if protocol != "compound":
        return labels
    return tuple(dict.fromkeys(part for label in labels for part in components(label)))


def _provenance(plan: Plan, model: str) -> dict[str, Any]:
    """Return stage -> variant and configuration of every store above a model."""
    found: dict[str, Any] = {}
    stores = plan.configuration.model(model).stores.items()
    waiting = [(stage, plan.configuration.same_as(stage, variant)) for stage, variant in stores]
    while waiting:
        stage, variant = waiting.pop()
        config = plan.configuration.variant(stage, variant)
        found[stage] = {"variant": variant, **config.model_dump(mode="json")}
        waiting += plan.configuration.upstream(stage, variant).items()
    return found
