"""The face of the plan that the rules see: Snakemake's wildcards in, paths and params out.

The only module of ours that the rules import. Whether a file is current is decided here, by what
it says it was made of. A job whose output is current depends on no job, so that nothing is made for
it; one that is due depends on those inputs that are due, and on a mark newer than its output.
"""

import os
import re
import sys
import uuid
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import yaml

from expressway import stages
from expressway.core.config import read_yaml
from expressway.core.errors import ConfigError
from expressway.core.fingerprints import digest
from expressway.planning import paths, settings
from expressway.planning.outputs import Output, Outputs
from expressway.planning.plan import Plan
from expressway.planning.staleness import Staleness

CONFIG_FILE = Path("config/config.yaml")
# An input of every job whose output is there and not current. Snakemake compares times: the output
# is dated back to before the mark, so that no clock decides.
MARK = Path("state/not_current")
MARKED, OUTDATED = 172_800, 86_400  # seconds: the third and the second day of 1970
InputFunction = Callable[[Any], list[str]]


def workflow_targets(workflow: Any, config: dict[str, Any]) -> "Targets":
    """Return what the rules ask for, and tell the jobs which python and configuration to use.

    Jobs call ``python``: the one that runs the workflow, unless a conda environment takes over.
    The configuration reaches them as the environment variable ``EXPRESSWAY_CONFIG``.

    Args:
        workflow: Snakemake's; the jobs that a cluster runs need not check all files again.
        config: Snakemake's configuration: the file, with whatever the command line changed.

    Raises:
        ConfigError, ManifestError: all problems at once, before any job starts.
    """
    plan = Plan(settings.check(config, str(CONFIG_FILE)))
    if workflow.is_main_process:
        plan.stores.check_files()
        _write_mark()
    os.environ["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    os.environ["EXPRESSWAY_CONFIG"] = _config_file(config)
    return Targets(plan, workflow)


def _write_mark() -> None:
    """Make the mark anew: Snakemake takes a file of the same content for one not changed."""
    MARK.parent.mkdir(parents=True, exist_ok=True)
    MARK.write_text(f"{uuid.uuid4()}\n")
    os.utime(MARK, (MARKED, MARKED))


def _config_file(config: dict[str, Any]) -> str:
    """Jobs read the configuration from disk; one changed on the command line is written down."""
    if CONFIG_FILE.is_file() and read_yaml(CONFIG_FILE) == config:
        return str(CONFIG_FILE)
    path = Path("state/config") / f"{digest(config)}.yaml"
    if not path.is_file():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(yaml.safe_dump(dict(config), allow_unicode=True), "utf-8")
    return str(path)


class Targets:
    """What the rules ask for; functions of ``wildcards`` are Snakemake input functions."""

    stage_pattern = "|".join(stages.NAMES)
    stages = tuple(stages.get(name) for name in stages.NAMES)

    def __init__(self, plan: Plan, workflow: Any = None) -> None:
        self.plan = plan
        self.workflow = workflow
        self.outputs = Outputs(plan)
        self.staleness = Staleness(self.outputs)

    @property
    def forced(self) -> bool:
        """Whether the user asks for jobs that are not due: --force, --forceall, --forcerun."""
        asked = getattr(self.workflow, "dag_settings", None)
        return bool(asked and (asked.forceall or asked.forcetargets or asked.forcerun))

    @property
    def table_pattern(self) -> str:
        """Return a pattern that matches the names of all tables."""
        return "|".join(map(re.escape, settings.table_names())) or "none"

    # --- every rule -----------------------------------------------------------------------------

    def settled(self, rule: str) -> InputFunction:
        """Return the input function for what a job reads and no job makes; to be ``ancient``."""

        def settled(wildcards: Any) -> list[str]:
            if self.forced:
                return []
            output = self._output(rule, wildcards)
            return [each.path for each in output.inputs() if self.staleness.is_current(each)]

        return settled

    def pending(self, rule: str) -> InputFunction:
        """Return the input function for what has to be made before a job, if the job is due.

        A job whose output is there gets the mark, too: by its own times it would not be due.
        """

        def pending(wildcards: Any) -> list[str]:
            output = self._output(rule, wildcards)
            if self.forced:
                return [each.path for each in output.inputs()]
            if self.staleness.is_current(output):
                return []
            above = [each.path for each in output.inputs() if not self.staleness.is_current(each)]
            if not Path(output.path).exists():
                return above
            os.utime(output.path, (OUTDATED, OUTDATED))
            return [*above, str(MARK)]

        return pending

    def expected(self, rule: str) -> Callable[[Any], str]:
        """Return what a job is to be made of, for it to refuse what changed meanwhile."""

        def expect(wildcards: Any) -> str:
            return self.outputs.expectation(self._output(rule, wildcards))

        return expect

    def _output(self, rule: str, wildcards: Any) -> Output:
        found = self.outputs
        if rule in stages.NAMES:
            return found.shard(wildcards.dataset, rule, wildcards.variant, wildcards.shard)
        if rule == "render_demo":
            return found.clips(wildcards.dataset, wildcards.shard)
        if rule == "coverage":
            return found.coverage(wildcards.dataset, wildcards.stage, wildcards.variant)
        if rule == "train":
            return found.model(wildcards.model, wildcards.split, int(wildcards.seed))
        if rule in ("predict", "evaluate"):
            make = found.predictions if rule == "predict" else found.metrics
            run = (wildcards.model, wildcards.split, int(wildcards.seed))
            return make(*run, wildcards.evaluation)
        if rule == "compare":
            sides = (wildcards.model, wildcards.evaluation, wildcards.other, wildcards.another)
            return found.comparison(*sides)
        return self._page(rule, wildcards)

    def _page(self, rule: str, wildcards: Any) -> Output:
        if rule == "tables":
            return self.outputs.results_table()
        if rule == "published_table":
            return self.outputs.table(wildcards.table)
        return self.outputs.report(getattr(wildcards, "dataset", None))

    # --- what is asked for ----------------------------------------------------------------------

    def everything(self) -> list[str]:
        """Return the files that a plain run asks for."""
        return _paths(self.outputs.everything())

    def stage_folders(self, wildcards: Any) -> list[str]:
        """Return the folders of all stages of a data set, wanted or not."""
        return [f"{paths.RESULTS}/{wildcards.dataset}/{stage}" for stage in stages.NAMES]

    def all_coverage(self, wildcards: Any) -> list[str]:
        """Return the coverage of all stores of a data set."""
        return _paths(self.outputs.all_coverage(wildcards.dataset))

    # --- how a job runs -------------------------------------------------------------------------

    def threads(self, stage: str, cores: int | None) -> Callable[[Any], int]:
        """Return the threads of a shard: one, or the cores that the other shards leave over.

        Args:
            cores: of this machine; None where a cluster gives them (``set-threads``).
        """

        def threads(wildcards: Any) -> int:
            if not stages.get(stage).every_core:
                return 1
            return max(1, (cores or 1) // len(self.plan.dataset(wildcards.dataset).shards))

        return threads

    @staticmethod
    def training_launcher(wildcards: Any, threads: int, resources: Any) -> list[str]:
        """Return the words that start a training's processes: none, or srun's.

        Where the profile says ``mpi: srun``, a task for each device is started on each of
        ``nodes`` machines, and all of them end with the first that fails.
        """
        launcher, nodes, tasks = _tasks(resources)
        if not launcher:
            return []
        words = [launcher, f"--nodes={nodes}", f"--ntasks-per-node={tasks}"]
        cards = [f"--gpus-per-node={tasks}"] if resources.get("gpu") else []
        return [*words, *cards, f"--cpus-per-task={threads}", "--kill-on-bad-exit=1"]

    @staticmethod
    def training_machine(wildcards: Any, threads: int, resources: Any) -> list[str]:
        """Return the options of a training that say on how much of each machine it computes.

        Raises:
            ConfigError: the profile asks for another number of tasks than cards.
        """
        cards = int(resources.get("gpu", 0))
        launcher, nodes, tasks = _tasks(resources)
        if not launcher:
            return [f"--cores={threads}", f"--gpus={cards}"]
        if cards and cards != nodes * tasks:
            raise ConfigError(
                f"set-resources of train: gpu: {cards}, but nodes: {nodes} times tasks_per_node: "
                f"{tasks}; with mpi: srun, gpu is the number of cards of all nodes, one a task"
            )
        devices = f"--gpus={tasks}" if cards else f"--processes={tasks}"
        return [f"--cores={threads * tasks}", devices, f"--nodes={nodes}"]


def _tasks(resources: Any) -> tuple[str, int, int]:
    """Return launcher, machines, and tasks on each, as Snakemake's Slurm plugin names them."""
    nodes, tasks = (int(resources.get(name, 1)) for name in ("nodes", "tasks_per_node"))
    return str(resources.get("mpi", "")), nodes, tasks


def _paths(outputs: Iterable[Output]) -> list[str]:
    return [output.path for output in outputs]
