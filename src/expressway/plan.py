"""From the configuration to the models and evaluations there are to make, and what they read."""

from collections.abc import Mapping, Sequence
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any, TypeVar

from expressway import schema
from expressway.backbones import local_files
from expressway.code import code_fingerprint
from expressway.config import read_yaml
from expressway.datasets import shard_path
from expressway.errors import ConfigError
from expressway.manifest import Clip
from expressway.provenance import digest, fingerprint
from expressway.schema import EvaluationConfig, Settings
from expressway.store_plan import StorePlan, method_file, weights

UNTRAINED_SPLIT = "all"
T = TypeVar("T")


class Plan(StorePlan):
    """What there is to make: stores, models, evaluations."""

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings)
        self.model_fingerprint = lru_cache(maxsize=None)(self._model_fingerprint)
        # models share splits, and evaluations share test clips: both are long lists
        self._training_rows = lru_cache(maxsize=None)(self._training_rows_digest)
        self._test_clips = lru_cache(maxsize=None)(self._with_truth)

    def evaluation(self, name: str) -> EvaluationConfig:
        """Return an evaluation's configuration.

        Raises:
            ConfigError: there is no such evaluation.
        """
        found = self.settings.evaluations.get(name) or self.catalogue.evaluations.get(name)
        if found is None:
            known = ", ".join(self.settings.evaluations)
            raise ConfigError(f"no evaluation {name!r}; known: {known}")
        return found

    def recipe(self, name: str) -> dict[str, Any]:
        """Return a model's recipe: the method's file with the model's changes on top."""
        model = self.model(name)
        defaults = method_file(model.method).get("recipe") or {}
        return {**defaults, **model.recipe}

    def runs(self, name: str) -> list[str]:
        """Return the folders of a model's training runs: ``{split}-seed{seed}``."""
        return [f"{split}-seed{seed}" for split, seed in self.split_seeds(name)]

    def split_seeds(self, name: str) -> list[tuple[str, int]]:
        """Return the splits and seeds that a model is trained with."""
        return [(split, seed) for split in self.splits(name) for seed in self.model(name).seeds]

    def cards(self) -> list[str]:
        """Return the ``model.json`` of every run of every model."""
        return [
            f"results/models/{name}/{run}/model.json"
            for name in self.settings.models
            for run in self.runs(name)
        ]

    def splits(self, name: str) -> list[str]:
        """Return the splits that a model is trained on; one named ``all`` without a scheme."""
        model = self.model(name)
        if model.scheme is None:
            return [UNTRAINED_SPLIT]
        known = self.dataset(model.dataset).split_names(model.scheme)
        wanted = model.splits or known
        strange = [split for split in wanted if split not in known]
        if strange or not known:
            raise ConfigError(
                f"models.{name}: scheme {model.scheme!r} of {model.dataset} has the splits "
                f"{', '.join(known) or 'none'}; not {', '.join(strange) or 'any'}"
            )
        return wanted

    def members(self, name: str, split: str) -> Mapping[str, str]:
        """Return clip id -> part of one split; without a scheme, every clip is for training."""
        model = self.model(name)
        if not self.reads(name, "train"):
            return {}
        return self._members(model.dataset, model.scheme, split)

    def _members(self, dataset: str, scheme: str | None, split: str) -> Mapping[str, str]:
        data = self.dataset(dataset)
        if scheme is None:
            return {clip.id: "train" for clip in data.clips}
        return data.split(scheme, split).parts

    def labels(self, name: str, split: str) -> tuple[str, ...]:
        """Return the classes that a model's training sees in one split, in order."""
        model = self.model(name)
        data = self.dataset(model.dataset)
        known = data.split(model.scheme, split).known if model.scheme else None
        return tuple(data.config.labels.get(model.task, ())) if known is None else known

    def training_files(self, name: str, split: str, seed: int) -> list[str]:
        """Return the files that a training run reads: shard tables, and weights to start from."""
        start = self.start_folder(name, split, seed)
        stores = self.training_stores(name, split).values()
        paths = [path for found in stores for path in found]
        return [*paths, *([f"{start}/model.safetensors"] if start else [])]

    def start_folder(self, name: str, split: str, seed: int) -> str | None:
        """Return the model folder that a run starts from, None for a start from its seed alone.

        Raises:
            ConfigError: the other model has no such run, and more than one to choose from.
        """
        other = self.model(name).start_from
        if other is None or other not in self.settings.models:
            return other
        chosen = _same_or_only(name, split, self.splits(other), "splits")
        number = _same_or_only(name, seed, self.model(other).seeds, "seeds")
        return f"results/models/{other}/{chosen}-seed{number}"

    def start_expectation(self, name: str, split: str) -> str:
        """Return what the weights that a model starts from are made of."""
        other = self.model(name).start_from
        if other is None:
            return ""
        if other not in self.settings.models:
            return digest(weights((f"{other}/model.safetensors",)))
        return self.model_expectation(
            other, _same_or_only(name, split, self.splits(other), "splits")
        )

    def training_stores(self, name: str, split: str) -> dict[str, list[str]]:
        """Return stage -> the shard tables that hold the clips of a split."""
        model, reads = self.model(name), self.reads(name, "train")
        return self._stores_with(reads, model.dataset, set(self.members(name, split)))

    def test_stores(self, name: str, evaluation: str, split: str) -> dict[str, list[str]]:
        """Return stage -> the shard tables that hold the test clips of an evaluation."""
        ids = {clip.id for clip, _ in self.test_rows(name, evaluation, split)}
        reads = self.reads(name, "predict")
        return self._stores_with(reads, self.evaluation(evaluation).dataset, ids)

    def unknown_stores(self, name: str, evaluation: str, split: str) -> dict[str, list[str]]:
        """Return stage -> the shard tables of the unknown clips of another data set."""
        unknown = self.evaluation(evaluation).unknown
        if unknown is None:
            return {}
        ids = {clip.id for clip, _ in self.unknown_rows(name, evaluation, split)}
        return self._stores_with(self.reads(name, "predict"), unknown.dataset, ids)

    def _stores_with(
        self, reads: dict[str, str], dataset: str, ids: set[str]
    ) -> dict[str, list[str]]:
        data = self.dataset(dataset)
        shards = [s for s in data.shards if any(clip.id in ids for clip in data.rows(s))]
        return {
            stage: [shard_path(dataset, stage, variant, shard) for shard in shards]
            for stage, variant in reads.items()
        }

    def test_rows(self, name: str, evaluation: str, split: str) -> list[tuple[Clip, str]]:
        """Return the test clips with a truth, each with the split it stands in.

        On the data set that the model was trained on, its own split decides; a model that no
        split trained is tested on all of them. Another data set is tested whole, or by the
        evaluation's scheme. Where another data set brings the unknown clips, these are known.
        """
        config, trained = self.evaluation(evaluation), self.model(name)
        own = config.dataset == trained.dataset and trained.scheme is not None
        columns = tuple(trained.targets) if config.protocol == "regression" else config.task
        rows = self._test_clips(
            config.dataset,
            columns,
            trained.scheme if own else config.scheme,
            split if own or config.scheme is None else None,
            config.part,
        )
        if config.unknown is None:
            return rows
        known = self.labels(name, split)
        return [(clip, each) for clip, each in rows if clip.labels[config.task] in known]

    def unknown_rows(self, name: str, evaluation: str, split: str) -> list[tuple[Clip, str]]:
        """Return the clips of another data set that play the unknown, in every split tested."""
        config = self.evaluation(evaluation)
        if config.unknown is None:
            return []
        other, known = config.unknown, self.labels(name, split)
        rows = self._test_clips(other.dataset, other.task, other.scheme, None, config.part)
        clips = {clip.id: clip for clip, _ in rows if clip.labels[other.task] not in known}
        tested = dict.fromkeys(each for _, each in self.test_rows(name, evaluation, split))
        return [(clip, each) for each in tested for clip in clips.values()]

    def _with_truth(self, dataset: str, *chosen: Any) -> list[tuple[Clip, str]]:
        return self.dataset(dataset).with_truth(*chosen)

    def test_labels(self, name: str, evaluation: str, split: str) -> tuple[str, ...]:
        """Return the classes that a model may answer with under an evaluation, in order."""
        config = self.evaluation(evaluation)
        if config.protocol == "regression":
            return ()
        if config.protocol == "open_set":
            return self.labels(name, split)
        return tuple(self.dataset(config.dataset).config.labels.get(config.task, ()))

    def backbone(self, name: str) -> str | None:
        """Return the backbone that a model goes through, or that its features come from."""
        variant = self.model(name).stores.get("visual_features")
        if self.model(name).backbone or variant is None:
            return self.model(name).backbone
        config: Any = self.config("visual_features", variant)
        return str(config.backbone)

    def prompt_set(self, name: str | None) -> Any:
        """Return a class prompt set as it stands in the prompts file."""
        if name is None:
            return None
        path = Path(self.settings.prompts)
        known = read_yaml(path)
        if name not in known:
            raise ConfigError(f"{path}: no prompt set {name!r}; known: {', '.join(known)}")
        return known[name]

    def _model_fingerprint(self, name: str) -> str:
        model = self.model(name)
        code = code_fingerprint(f"expressway.methods.{model.method}", "expressway.training.run:run")
        config = {
            **model.model_dump(mode="json", exclude={"splits", "seeds", "recipe"}),
            "recipe": self.recipe(name),
            "prompts": self.prompt_set(model.prompts),
        }
        upstream = {
            f"{stage}/{variant}": self.fingerprint(model.dataset, stage, variant)
            for stage, variant in model.stores.items()
        }
        backbone = weights(local_files(model.backbone)) if model.backbone else {}
        return fingerprint(code, config, backbone, upstream)

    def model_rows(self, name: str, split: str) -> str:
        """Identify what training reads of the manifest and the splits."""
        model = self.model(name)
        reads = bool(self.reads(name, "train"))
        rows = self._training_rows(
            model.dataset, model.scheme, split, model.task, tuple(model.targets), reads
        )
        return digest(
            [self.labels(name, split), model.targets, rows, self.start_expectation(name, split)]
        )

    def _training_rows_digest(
        self,
        dataset: str,
        scheme: str | None,
        split: str,
        task: str,
        targets: tuple[str, ...],
        reads: bool,
    ) -> str:
        members = self._members(dataset, scheme, split) if reads else {}
        clips = [clip for clip in self.dataset(dataset).clips if clip.id in members]
        return digest(
            [[c.id, c.labels.get(task), members[c.id], *map(c.targets.get, targets)] for c in clips]
        )

    def model_expectation(self, name: str, split: str) -> str:
        """Return what a trained model is made of: fingerprint and row digest."""
        return f"{self.model_fingerprint(name)}-{self.model_rows(name, split)}"

    def evaluation_fingerprint(self, name: str, evaluation: str, split: str) -> str:
        """Identify one model's evaluation: protocol, test rows, prompts, code."""
        config = self.evaluation(evaluation)
        made_of = {
            **config.model_dump(mode="json", exclude={"models"}),
            "prompts": self.prompt_set(config.prompts),
            "labels": self.test_labels(name, evaluation, split),
            "rows": [_facts(*row, config.task) for row in self.test_rows(name, evaluation, split)],
        }
        if config.unknown:
            made_of["unknown_rows"] = [
                _facts(*row, config.unknown.task)
                for row in self.unknown_rows(name, evaluation, split)
            ]
        return fingerprint(code_fingerprint("expressway.prediction:predict"), made_of, {}, {})

    def evaluation_folders(self, model: str, evaluation: str) -> list[str]:
        """Return the result folders of one model under one evaluation."""
        return [f"results/evaluations/{model}/{run}/{evaluation}" for run in self.runs(model)]

    def table_rows(self, name: str) -> list[tuple[str, dict[str, list[str]]]]:
        """Return the rows of a table: title, and per column the evaluation folders of its cell."""
        return [
            (row.title, {c: self._result(result) for c, result in row.cells.items()})
            for row in schema.table(name).rows
        ]

    def _result(self, name: str) -> list[str]:
        model, _, evaluation = name.partition("/")
        return self.evaluation_folders(model, evaluation)

    def all_evaluations(self) -> list[str]:
        """Return the result folders of every model under every evaluation."""
        return [
            folder
            for name, evaluation in self.settings.evaluations.items()
            for model in evaluation.models
            for folder in self.evaluation_folders(model, name)
        ]

    @cached_property
    def comparison_paths(self) -> list[str]:
        """Return the files of all paired comparisons."""
        pairs = [(c.a.replace("/", "."), c.b.replace("/", ".")) for c in self.settings.comparisons]
        return [f"results/comparisons/{a}--{b}.json" for a, b in pairs]

    def coverage_paths(self, dataset: str) -> list[str]:
        """Return the coverage files of all stores of a data set."""
        stores = self.stores(dataset)
        return [f"results/{dataset}/{stage}/{variant}/coverage.json" for stage, variant in stores]


def _same_or_only(name: str, wanted: T, known: Sequence[T], what: str) -> T:
    """Return ``wanted`` if it is among the runs of the model that another starts from."""
    if wanted in known or len(known) == 1:
        return wanted if wanted in known else known[0]
    shown = ", ".join(map(str, known))
    raise ConfigError(
        f"models.{name}.start_from: that model has the {what} {shown}, and none is {wanted}; "
        "train it for this one, or for one only"
    )


def _facts(clip: Clip, split: str, task: str) -> list[Any]:
    return [clip.id, clip.labels.get(task), clip.subject, split, *clip.targets.items()]


def narrowed(plan: Plan, table: str) -> Plan:
    """Return the plan of one table's models, evaluations and data only."""
    cells = {result for row in schema.table(table).rows for result in row.cells.values()}
    pairs = [result.split("/") for result in cells]
    settings = plan.catalogue
    models = {name: settings.models[name] for name, _ in sorted(pairs)}
    evaluations = {name: settings.evaluations[name] for _, name in sorted(pairs)}
    datasets = {m.dataset for m in models.values()}
    datasets |= {each for e in evaluations.values() for each in e.datasets}
    wanted = {name: [m for m, e in pairs if e == name] for name in evaluations}
    return Plan(
        settings.model_copy(
            update={
                "datasets": sorted(datasets),
                "prepare": [],
                "comparisons": [],
                "tables": [],
                "models": models,
                "evaluations": {
                    name: evaluation.model_copy(update={"models": wanted[name]})
                    for name, evaluation in evaluations.items()
                },
            }
        )
    )
