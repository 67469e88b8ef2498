"""The face of the plan that the rules see: Snakemake's wildcards in, paths and params out.

The only module of ours that the rules import. Params identify what a job is made of, so that a
change of code, configuration or manifest rows makes exactly the right files stale.
"""

import os
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml

from expressway import schema, stages
from expressway.code import code_fingerprint
from expressway.config import read_yaml
from expressway.errors import ConfigError
from expressway.plan import Plan
from expressway.provenance import digest

CONFIG_FILE = Path("config/config.yaml")
# Set by `expressway adopt` for the run of Snakemake that makes the records.
ADOPTING = "EXPRESSWAY_ADOPTING"
InputFunction = Callable[[Any], list[str]]


def workflow_graph(config: dict[str, Any], main: bool) -> "Graph":
    """Return the graph of a workflow, and tell its jobs which python and configuration to use.

    Jobs call ``python``: the one that runs the workflow, unless a conda environment takes over.
    The configuration reaches them as the environment variable ``EXPRESSWAY_CONFIG``.

    Args:
        config: Snakemake's configuration: the file, with whatever the command line changed.
        main: False in the jobs that a cluster runs, which need not check all files again.

    Raises:
        ConfigError, ManifestError: all problems at once, before any job starts.
    """
    graph = Graph(schema.check(config, str(CONFIG_FILE)))
    if main:
        graph.check_files()
        if ADOPTING not in os.environ:
            _check_records()
    os.environ["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    os.environ["EXPRESSWAY_CONFIG"] = _config_file(config)
    return graph


def _check_records() -> None:
    """Refuse results that Snakemake has no records of: it could not tell what is stale.

    A first run that was killed has marked what it began, before it had a record of anything.
    """
    known = any(any(Path(".snakemake", kind).glob("*")) for kind in ("metadata", "incomplete"))
    if not known and next(Path("results").glob("*/*/*/*.parquet"), None) is not None:
        raise ConfigError(
            "results/ holds stores, but there are no records of how they were made (a fresh "
            "clone, or .snakemake was removed): run `expressway adopt` first"
        )


def _config_file(config: dict[str, Any]) -> str:
    """Jobs read the configuration from disk; one changed on the command line is written down."""
    if CONFIG_FILE.is_file() and read_yaml(CONFIG_FILE) == config:
        return str(CONFIG_FILE)
    path = Path("state/config") / f"{digest(config)}.yaml"
    if not path.is_file():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(yaml.safe_dump(dict(config), allow_unicode=True), "utf-8")
    return str(path)


class Graph(Plan):
    """What the rules ask for; functions of ``wildcards`` are Snakemake input functions."""

    stage_pattern = "|".join(stages.NAMES)

    @property
    def table_pattern(self) -> str:
        """Return a pattern that matches the names of all tables."""
        return "|".join(map(re.escape, schema.table_names())) or "none"

    # --- stages -----------------------------------------------------------------------------

    def inputs_of(self, stage: str) -> InputFunction:
        """Return the input function of a stage's rule: upstream shards of the same number."""

        def inputs(wildcards: Any) -> list[str]:
            return self.shard_inputs(wildcards.dataset, stage, wildcards.variant, wildcards.shard)

        return inputs

    def expected(self, stage: str) -> Callable[[Any], str]:
        """Return the param of a stage's rule: fingerprint and row digest of the shard."""

        def expect(wildcards: Any) -> str:
            return self.expectation(wildcards.dataset, stage, wildcards.variant, wildcards.shard)

        return expect

    def shard_threads(self, cores: int | None) -> Callable[[Any], int]:
        """Return the threads of a shard: the cores that the data set's other shards leave over.

        Args:
            cores: of this machine; None where a cluster gives them (``set-threads``).
        """

        def threads(wildcards: Any) -> int:
            return max(1, (cores or 1) // len(self.dataset(wildcards.dataset).shards))

        return threads

    def expected_demo(self, wildcards: Any) -> str:
        """Return what the rendered clips of a shard are made of."""
        rows = self.dataset(wildcards.dataset).rows(wildcards.shard)
        return f"{self.demo_fingerprint(wildcards.dataset)}-{digest([clip.id for clip in rows])}"

    def shards_of(self, wildcards: Any) -> list[str]:
        """Return all shard tables of a store."""
        return self.store_paths(wildcards.dataset, wildcards.stage, wildcards.variant)

    def stage_folders(self, wildcards: Any) -> list[str]:
        """Return the folders of all stages of a data set, wanted or not."""
        return [f"results/{wildcards.dataset}/{stage}" for stage in stages.NAMES]

    def allowed_loss(self, wildcards: Any) -> float:
        """Return the share of clips that a store may lose."""
        return self.dataset(wildcards.dataset).config.max_failed_fraction

    def coverage_of(self, wildcards: Any) -> list[str]:
        """Return the coverage of all stores of a data set."""
        return self.coverage_paths(wildcards.dataset)

    def dataset_coverage(self) -> list[str]:
        """Return the coverage of all stores of all data sets."""
        return [path for name in self.settings.datasets for path in self.coverage_paths(name)]

    # --- models and evaluations -------------------------------------------------------------

    def training_inputs(self, wildcards: Any) -> list[str]:
        """Return the files that a training run reads."""
        return self.training_files(wildcards.model, wildcards.split, int(wildcards.seed))

    def training_coverage(self, wildcards: Any) -> list[str]:
        """Return the coverage of the stores that a model is trained on."""
        reads = self.reads(wildcards.model, "train")
        return _coverage(reads, self.model(wildcards.model).dataset)

    def prediction_inputs(self, wildcards: Any) -> list[str]:
        """Return the shard tables that hold the test clips of an evaluation."""
        asked = (wildcards.model, wildcards.evaluation, wildcards.split)
        return [*_flat(self.test_stores(*asked)), *_flat(self.unknown_stores(*asked))]

    def prediction_coverage(self, wildcards: Any) -> list[str]:
        """Return the coverage of the stores that an evaluation reads."""
        reads = self.reads(wildcards.model, "predict")
        tested = self.evaluation(wildcards.evaluation).datasets
        return [path for dataset in tested for path in _coverage(reads, dataset)]

    def expected_model(self, wildcards: Any) -> str:
        """Return what a trained model is made of."""
        return self.model_expectation(wildcards.model, wildcards.split)

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

    def expected_evaluation(self, wildcards: Any) -> str:
        """Return what an evaluation's predictions are made of, beside the model."""
        return self.evaluation_fingerprint(wildcards.model, wildcards.evaluation, wildcards.split)

    def metrics_paths(self) -> list[str]:
        """Return the metrics of every model under every evaluation."""
        return [f"{folder}/metrics.json" for folder in self.all_evaluations()]

    def metrics_code(self, wildcards: Any) -> str:
        """Return the identity of the code that turns predictions into metrics."""
        return code_fingerprint(
            "expressway.evaluation.protocols:evaluate", "expressway.evaluation.protocols:compare"
        )

    def comparison_inputs(self, wildcards: Any) -> list[str]:
        """Return the predictions of both sides of a comparison."""
        sides = (
            (wildcards.model, wildcards.evaluation),
            (wildcards.other, wildcards.another),
        )
        return [
            f"{folder}/predictions.parquet"
            for model, evaluation in sides
            for folder in self.evaluation_folders(model, evaluation)
        ]

    # --- report -----------------------------------------------------------------------------

    def report_inputs(self) -> list[str]:
        """Return the metrics, comparisons and models that the report shows."""
        return [*self.metrics_paths(), *self.comparison_paths, *self.cards()]

    def table_paths(self) -> list[str]:
        """Return the pages of the configuration's tables."""
        return [f"results/tables/{name}.html" for name in self.settings.tables]

    def table_inputs(self, wildcards: Any) -> list[str]:
        """Return the metrics of all cells of a table."""
        folders = [f for _, cells in self.table_rows(wildcards.table) for f in cells.values()]
        return [f"{folder}/metrics.json" for each in folders for folder in each]

    def expected_table(self, wildcards: Any) -> str:
        """Return what a table is made of beside its numbers: its file and the code."""
        described = schema.table(wildcards.table).model_dump(mode="json")
        return digest([code_fingerprint("expressway.reporting.published:write"), described])

    def report_code(self, wildcards: Any) -> str:
        """Return the identity of the report: its code, its templates, its configuration."""
        code = code_fingerprint("expressway.reporting.html")
        templates = sorted((Path(__file__).parent / "reporting" / "templates").glob("*"))
        texts = [template.read_text("utf-8") for template in templates]
        return digest([code, texts, self.settings.report.model_dump()])


def _tasks(resources: Any) -> tuple[str, int, int]:
    """Return launcher, machines, and tasks on each, as Snakemake's Slurm plugin names them."""
    nodes, tasks = (int(resources.get(name, 1)) for name in ("nodes", "tasks_per_node"))
    return str(resources.get("mpi", "")), nodes, tasks


def _flat(stores: dict[str, list[str]]) -> list[str]:
    return [path for paths in stores.values() for path in paths]


def _coverage(reads: dict[str, str], dataset: str) -> list[str]:
    return [f"results/{dataset}/{stage}/{v}/coverage.json" for stage, v in reads.items()]
