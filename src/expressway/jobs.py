"""What the workflow's jobs do: names of the configuration in, files out."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from expressway import stages
from expressway.core import coverage, devices
from expressway.core.errors import ConfigError
from expressway.core.fast_imports import uncollected
from expressway.core.fingerprints import package_versions
from expressway.core.rows import Job
from expressway.core.runner import run
from expressway.core.stage import Runtime
from expressway.planning import paths
from expressway.planning.outputs import Outputs
from expressway.planning.plan import Plan
from expressway.planning.records import MADE_OF, note
from expressway.planning.stores import Shard

OWN_PACKAGES = ("expressway", "numpy", "pyarrow")


def run_stage(
    plan: Plan,
    dataset: str,
    stage: str,
    variant: str,
    shard: str,
    cores: int,
    gpus: int,
    expect: str = "",
) -> Counter[str]:
    """Compute one shard of a store; return rows per status.

    Raises:
        ConfigError: code, configuration or manifest are no longer what the caller planned for.
    """
    if expect and expect != plan.stores.expectation(dataset, stage, variant, shard):
        raise ConfigError(
            f"{stage}/{variant} of {dataset}, shard {shard}: code, configuration or manifest "
            "changed after this run was planned; run snakemake again"
        )
    with devices.claim(gpus) as device:
        return run(stage_job(plan, (dataset, stage, variant, shard), cores, device))


def stage_job(plan: Plan, name: tuple[str, str, str, str], cores: int, device: str) -> Job:
    """Return the job that makes one shard; ``name``: data set, stage, variant, shard."""
    dataset, stage, variant, shard = name
    data, outputs = plan.dataset(dataset), Outputs(plan)
    return Job(
        stage=stages.get(stage),
        config=plan.configuration.variant(stage, variant),
        clips=data.rows(shard),
        root=data.root,
        inputs=plan.stores.sources(*name),
        output=Path(paths.shard(*name)),
        footer={
            "dataset": dataset,
            "variant": variant,
            "shard": shard,
            "fingerprint": plan.stores.fingerprint(dataset, stage, variant),
            "own": plan.stores.own(dataset, stage, variant),
            MADE_OF: outputs.record(outputs.shard(*name)),
            "device": device,
            "program": package_versions(OWN_PACKAGES),
        },
        cores=cores,
        runtime=Runtime(device=device, threads=cores),
        follow_symlinks=data.config.follow_symlinks,
        journal=Path(paths.journal(*name)),
        keys=plan.stores.row_keys(*name),
        store=_neighbours(plan, *name),
    )


def _neighbours(plan: Plan, dataset: str, stage: str, variant: str, shard: str) -> list[Path]:
    """Return the other shards of a store, the nearest first: a row may have stood in one."""
    shards = plan.dataset(dataset).shards
    others = sorted(shards, key=lambda each: abs(int(each) - int(shard)))[1:]
    return [Path(paths.shard(dataset, stage, variant, each)) for each in others]


def cover(plan: Plan, dataset: str, stage: str, variant: str) -> str:
    """Write a store's coverage; return a line that says what was found."""
    outputs = Outputs(plan)
    output = outputs.coverage(dataset, stage, variant)
    allowed = plan.dataset(dataset).config.max_failed_fraction
    key = f"max_failed_fraction in {plan.settings.dataset_folder}/{dataset}.yaml"
    shards = [Path(path) for path in plan.stores.paths(dataset, stage, variant)]
    made_of = outputs.record(output)
    found = coverage.write(
        shards, Path(output.path), allowed, key, paths.store(dataset, stage, variant)
    )
    note(output.path, made_of)
    return f"{output.path}: {found['usable']} of {found['clips']} clips usable"


def render(plan: Plan, dataset: str, shard: str, cores: int) -> None:
    """Render the clips of one shard of a demo world.

    Raises:
        ConfigError: the data set is not rendered by us.
    """
    from expressway.data import demo

    data, outputs = plan.dataset(dataset), Outputs(plan)
    if data.config.demo_seed is None:
        raise ConfigError(f"{dataset} has no demo_seed: its clips are files of yours")
    output = outputs.clips(dataset, shard)
    made_of = {MADE_OF: outputs.record(output)}
    clips, seed = data.rows(shard), data.config.demo_seed
    demo.render_clips(clips, seed, data.root, Path(output.path), cores, made_of)


def train(
    plan: Plan,
    model: str,
    split: str,
    seed: int,
    gpus: int,
    cores: int,
    processes: int = 1,
    nodes: int = 1,
    precision: str = "32-true",
    workers: int | None = None,
) -> Path:
    """Train one model on one split with one seed; return its folder.

    Args:
        gpus: cards of each machine, one process each; 0: ``processes`` on the CPU.
        nodes: machines, on each of which srun or torchrun started the processes.
        workers: of each process, for reading clips; None: what the cores leave over.

    Raises:
        ConfigError: the model has no such split, or stores are missing that it reads.
    """
    with uncollected():
        from expressway.models import training

    spec = _train_spec(plan, model, split, seed)
    _check_there(plan, model, split, seed)
    out = Path(paths.model(model, split, seed))
    state = Path(paths.training_state(model, split, seed))
    with training.claimed(gpus) as cards:
        return training.train(
            spec,
            out,
            state,
            device=cards or ["cpu"] * processes,
            threads=cores,
            precision=precision,
            workers=workers,
            nodes=nodes,
        )


def _check_there(plan: Plan, model: str, split: str, seed: int) -> None:
    """Refuse to train before what the run reads is there."""
    inputs = Outputs(plan).model(model, split, seed).inputs()
    files = [above.path for above in inputs if above.rule != "coverage"]
    missing = [file for file in files if not Path(file).exists()]
    if missing:
        raise ConfigError(
            f"{model} on {split}: {len(missing)} of {len(files)} files that it reads are missing "
            f"({missing[0]}, …); make them, and train, with: snakemake --cores all "
            f"{paths.card(model, split, seed)}"
        )


def _train_spec(plan: Plan, model: str, split: str, seed: int) -> Any:
    from expressway.core.specs import TrainSpec

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
        recipe=plan.configuration.recipe(model),
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


def _by_stage(shards: Sequence[Shard]) -> dict[str, list[Path]]:
    """Return stage -> its shard tables."""
    found: dict[str, list[Path]] = {}
    for shard in shards:
        found.setdefault(shard[1], []).append(Path(paths.shard(*shard)))
    return found


def _prompts(plan: Plan, name: str | None, labels: tuple[str, ...]) -> dict[str, tuple[str, ...]]:
    from expressway.language.prompts import class_texts

    return class_texts(Path(plan.settings.prompts), name, labels) if name else {}


def _spoken(labels: tuple[str, ...], protocol: str) -> tuple[str, ...]:
    """Return the classes that need texts: of joined classes, their components."""
    from expressway.language.prompts import components

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


def predict(
    plan: Plan, model: str, evaluation: str, split: str, seed: int, gpus: int, cores: int
) -> Path:
    """Write a model's predictions for the test clips of an evaluation; return the file."""
    with uncollected():
        from expressway.models.prediction import scores as prediction
    from expressway.core.specs import PredictSpec

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
    spec = replace(spec, unknown=_unknown(plan, spec, model, split))
    out = Path(paths.predictions(model, split, seed, evaluation))
    with devices.claim(gpus) as device:
        folder = Path(paths.model(model, split, seed))
        return prediction.predict(folder, spec, out, device=device, threads=cores)


def _unknown(plan: Plan, spec: Any, model: str, split: str) -> Any:
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


def evaluate(plan: Plan, model: str, evaluation: str, split: str, seed: int) -> Path:
    """Write the metrics of one prediction table; return the file."""
    from expressway.models.evaluation import kinds

    plan.configuration.evaluation(evaluation)
    outputs = Outputs(plan)
    output = outputs.metrics(model, split, seed, evaluation)
    made_of = outputs.record(output)
    scores = Path(paths.predictions(model, split, seed, evaluation))
    kinds.evaluate(scores, Path(output.path))
    note(output.path, made_of)
    return Path(output.path)


def compare(plan: Plan, a: str, b: str) -> Path:
    """Write the paired comparison of two results; return the file."""
    from expressway.models.evaluation import kinds

    (model, evaluation), (other, another) = a.split("/"), b.split("/")
    outputs = Outputs(plan)
    output = outputs.comparison(model, evaluation, other, another)
    made_of = outputs.record(output)
    sides = [
        [Path(folder) / "predictions.parquet" for folder in plan.evaluations.folders(*side)]
        for side in ((model, evaluation), (other, another))
    ]
    kinds.compare(sides[0], sides[1], Path(output.path))
    note(output.path, made_of)
    return Path(output.path)
