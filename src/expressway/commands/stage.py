"""Run one stage on one shard."""

from collections import Counter
from pathlib import Path
from typing import Annotated

import typer

from expressway import stages
from expressway.commands._options import CONFIG, ConfigOption, load_plan
from expressway.core import devices
from expressway.core.errors import ConfigError
from expressway.core.fingerprints import OWN_PACKAGES, package_versions
from expressway.core.rows import Job
from expressway.core.runner import run
from expressway.core.stage import Runtime
from expressway.planning import paths
from expressway.planning.outputs import Outputs
from expressway.planning.plan import Plan
from expressway.planning.records import MADE_OF


def command(
    name: Annotated[str, typer.Argument(help="frames, faces, landmarks, ...")],
    dataset: Annotated[str, typer.Option(help="data set")],
    variant: Annotated[str, typer.Option(help="variant of the stage")],
    shard: Annotated[str, typer.Option(help="shard, such as 00000")] = "00000",
    cores: Annotated[int, typer.Option(help="worker processes")] = 1,
    gpus: Annotated[int, typer.Option(help="cards to use; 0: the CPU")] = 0,
    expect: Annotated[
        str, typer.Option(help="fingerprint that the caller planned for; refuse another")
    ] = "",
    config: ConfigOption = CONFIG,
) -> None:
    """Run one stage on one shard, as the workflow's jobs do."""
    counts = run_stage(load_plan(config), dataset, name, variant, shard, cores, gpus, expect)
    print(", ".join(f"{number} {status}" for status, number in sorted(counts.items())))


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
        config=plan.configuration.resolved(stage, variant),
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
        store=_neighbours(*name),
    )


def _neighbours(dataset: str, stage: str, variant: str, shard: str) -> list[Path]:
    """Return the other shards of a store, the nearest first: a row may have stood in one."""
    there = Path(paths.store(dataset, stage, variant)).glob("[0-9]*.parquet")
    others = [path for path in there if path.stem != shard]
    return sorted(others, key=lambda path: (abs(int(path.stem) - int(shard)), path.stem))
