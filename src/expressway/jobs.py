"""What the workflow's jobs do: names of the configuration in, files out."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from expressway import coverage, devices, stages
from expressway.datasets import shard_path, truth_path
from expressway.errors import ConfigError
from expressway.imports import uncollected
from expressway.plan import Plan
from expressway.provenance import package_versions
from expressway.rows import Job
from expressway.runner import run
from expressway.stage import Runtime

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
    made_of = (
        f"{plan.fingerprint(dataset, stage, variant)}-{plan.rows(dataset, stage, variant, shard)}"
    )
    if expect and expect != made_of:
        raise ConfigError(
            f"{stage}/{variant} of {dataset}, shard {shard}: code, configuration or manifest "
            "changed after this run was planned; run snakemake again"
        )
    with devices.claim(gpus) as device:
        return run(stage_job(plan, (dataset, stage, variant, shard), cores, device))


def stage_job(plan: Plan, name: tuple[str, str, str, str], cores: int, device: str) -> Job:
    """Return the job that makes one shard; ``name``: data set, stage, variant, shard."""
    dataset, stage, variant, shard = name
    data = plan.dataset(dataset)
    return Job(
        stage=stages.get(stage),
        config=plan.config(stage, variant),
        clips=data.rows(shard),
        root=data.root,
        inputs=plan.sources(*name),
        output=Path(shard_path(*name)),
        footer={
            "dataset": dataset,
            "variant": variant,
            "shard": shard,
            "fingerprint": plan.fingerprint(dataset, stage, variant),
            "rows": plan.rows(*name),
            "device": device,
            "program": package_versions(OWN_PACKAGES),
        },
        cores=cores,
        runtime=Runtime(device=device, threads=cores),
        follow_symlinks=data.config.follow_symlinks,
        journal=Path(f"state/journal/{dataset}/{stage}/{variant}/{shard}.sqlite"),
        keys=plan.row_keys(*name),
        store=_neighbours(plan, *name),
    )


def _neighbours(plan: Plan, dataset: str, stage: str, variant: str, shard: str) -> list[Path]:
    """Return the other shards of a store, the nearest first: a row may have stood in one."""
    shards = plan.dataset(dataset).shards
    others = sorted(shards, key=lambda each: abs(int(each) - int(shard)))[1:]
    return [Path(shard_path(dataset, stage, variant, each)) for each in others]


def cover(plan: Plan, dataset: str, stage: str, variant: str) -> str:
    """Write a store's coverage next to its shards; return a line that says what was found."""
    paths = [Path(path) for path in plan.store_paths(dataset, stage, variant)]
    out = Path(f"results/{dataset}/{stage}/{variant}/coverage.json")
    allowed = plan.dataset(dataset).config.max_failed_fraction
    key = f"max_failed_fraction in {plan.settings.dataset_folder}/{dataset}.yaml"
    found = coverage.write(paths, out, allowed, key)
    return f"{out}: {found['usable']} of {found['clips']} clips usable"


def render(plan: Plan, dataset: str, shard: str, cores: int) -> None:
    """Render the clips of one shard of a demo world.

    Raises:
        ConfigError: the data set is not rendered by us.
    """
    from expressway import demo

    data = plan.dataset(dataset)
    if data.config.demo_seed is None:
        raise ConfigError(f"{dataset} has no demo_seed: its clips are files of yours")
    truth = Path(truth_path(data.root, shard))
    demo.render_clips(data.rows(shard), data.config.demo_seed, data.root, truth, cores)


def model_folder(model: str, split: str, seed: int) -> Path:
    """Return the folder of one trained model."""
    return Path(f"results/models/{model}/{split}-seed{seed}")


def result_folder(model: str, split: str, seed: int, evaluation: str) -> Path:
    """Return the folder of one model's results under one evaluation."""
    return Path(f"results/evaluations/{model}/{split}-seed{seed}/{evaluation}")


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
        from expressway import training

    spec = _train_spec(plan, model, split, seed)
    _check_there(plan, model, split, seed)
    out = model_folder(model, split, seed)
    state = Path("state/models") / model / out.name
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
    files = plan.training_files(model, split, seed)
    missing = [file for file in files if not Path(file).exists()]
    if missing:
        raise ConfigError(
            f"{model} on {split}: {len(missing)} of {len(files)} files that it reads are missing "
            f"({missing[0]}, …); make them, and train, with: snakemake --cores all "
            f"{model_folder(model, split, seed)}/model.json"
        )


def _train_spec(plan: Plan, model: str, split: str, seed: int) -> Any:
    from expressway.data.specs import TrainSpec

    if split not in plan.splits(model):
        raise ConfigError(f"{model} has no split {split!r}; known: {', '.join(plan.splits(model))}")
    start = plan.start_folder(model, split, seed)
    config = plan.model(model)
    data = plan.dataset(config.dataset)
    labels = plan.labels(model, split)
    return TrainSpec(
        model=model,
        method=config.method,
        recipe=plan.recipe(model),
        clips=data.clips,
        parts=plan.members(model, split),
        stores=_paths(plan.training_stores(model, split)),
        task=config.task,
        labels=labels,
        protocol=config.protocol,
        split=split,
        seed=seed,
        backbone=plan.backbone(model) or "",
        dataset=config.dataset,
        targets=tuple(config.targets),
        start=Path(start) if start else None,
        prompts=_prompts(plan, config.prompts, _spoken(labels, config.protocol)),
        prompt_set=config.prompts,
        provenance=_provenance(plan, model),
        fingerprint=plan.model_expectation(model, split),
    )


def _paths(stores: Mapping[str, list[str]]) -> dict[str, list[Path]]:
    return {stage: [Path(path) for path in paths] for stage, paths in stores.items()}


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
    waiting = list(plan.model(model).stores.items())
    while waiting:
        stage, variant = waiting.pop()
        config = plan.config(stage, variant)
        found[stage] = {"variant": variant, **config.model_dump(mode="json")}
        waiting += config.upstream().items()
    return found


def predict(
    plan: Plan, model: str, evaluation: str, split: str, seed: int, gpus: int, cores: int
) -> Path:
    """Write a model's predictions for the test clips of an evaluation; return the file."""
    with uncollected():
        from expressway import prediction
    from expressway.data.specs import PredictSpec

    config = plan.evaluation(evaluation)
    data = plan.dataset(config.dataset)
    labels = plan.test_labels(model, evaluation, split)
    spec = PredictSpec(
        evaluation=evaluation,
        protocol=config.protocol,
        dataset=config.dataset,
        task=config.task,
        rows=plan.test_rows(model, evaluation, split),
        stores=_paths(plan.test_stores(model, evaluation, split)),
        labels=labels,
        all_labels=tuple(data.config.labels.get(config.task, ())),
        targets=tuple(plan.model(model).targets),
        prompts=_prompts(plan, config.prompts, _spoken(labels, config.protocol)),
        prompt_set=config.prompts,
        class_vectors=Path("state/class_vectors"),
        fingerprint=plan.evaluation_fingerprint(model, evaluation, split),
    )
    spec = replace(spec, unknown=_unknown(plan, spec, model, split))
    out = result_folder(model, split, seed, evaluation) / "predictions.parquet"
    with devices.claim(gpus) as device:
        folder = model_folder(model, split, seed)
        return prediction.predict(folder, spec, out, device=device, threads=cores)


def _unknown(plan: Plan, spec: Any, model: str, split: str) -> Any:
    """Return what is asked of the clips of another data set that play the unknown, if any."""
    config = plan.evaluation(spec.evaluation).unknown
    if config is None:
        return None
    return replace(
        spec,
        dataset=config.dataset,
        task=config.task,
        rows=plan.unknown_rows(model, spec.evaluation, split),
        stores=_paths(plan.unknown_stores(model, spec.evaluation, split)),
        all_labels=tuple(plan.dataset(config.dataset).config.labels.get(config.task, ())),
    )


def evaluate(plan: Plan, model: str, evaluation: str, split: str, seed: int) -> Path:
    """Write the metrics of one prediction table; return the file."""
    from expressway.evaluation import protocols

    plan.evaluation(evaluation)
    folder = result_folder(model, split, seed, evaluation)
    protocols.evaluate(folder / "predictions.parquet", folder / "metrics.json")
    return folder / "metrics.json"


def compare(plan: Plan, a: str, b: str, out: Path) -> Path:
    """Write the paired comparison of two results; return the file."""
    from expressway.evaluation import protocols

    sides = [
        [Path(folder) / "predictions.parquet" for folder in plan.evaluation_folders(*side)]
        for side in (a.split("/"), b.split("/"))
    ]
    protocols.compare(sides[0], sides[1], out)
    return out
