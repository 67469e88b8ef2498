"""What the workflow's jobs do: names of the configuration in, files out."""

from collections import Counter
from pathlib import Path

from expressway import coverage, devices, stages
from expressway.errors import ConfigError
from expressway.plan import Plan, shard_path, truth_path
from expressway.provenance import package_versions
from expressway.stage import Job, Runtime, run

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
    data = plan.dataset(dataset)
    with devices.claim(gpus) as device:
        return run(
            Job(
                stage=stages.get(stage),
                config=plan.config(stage, variant),
                clips=data.rows(shard),
                root=data.root,
                inputs=plan.sources(dataset, stage, variant, shard),
                output=Path(shard_path(dataset, stage, variant, shard)),
                footer={
                    "dataset": dataset,
                    "variant": variant,
                    "shard": shard,
                    "fingerprint": plan.fingerprint(dataset, stage, variant),
                    "rows": plan.rows(dataset, stage, variant, shard),
                    "program": package_versions(OWN_PACKAGES),
                },
                cores=cores,
                runtime=Runtime(device=device, threads=cores),
                follow_symlinks=data.config.follow_symlinks,
            )
        )


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
