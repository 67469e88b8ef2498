"""From the configuration to what there is to make: variants, shards, paths, fingerprints.

Pure: reads the configuration, manifests and file stamps, and writes nothing but the ledger of
file hashes.
"""

from functools import cache, cached_property, lru_cache
from pathlib import Path
from typing import Any

from expressway import schema, stages
from expressway.config import read_yaml
from expressway.datasets import Dataset, read_dataset, shard_path, truth_path
from expressway.errors import ConfigError, ManifestError
from expressway.manifest import Clip, missing_files, parts, rows_digest, split_names
from expressway.provenance import HashLedger, code_fingerprint, digest, fingerprint
from expressway.schema import EvaluationConfig, ModelConfig, Settings
from expressway.stage import Source, StageConfig

UNTRAINED_SPLIT = "all"
METHODS = Path("config/methods")


class Plan:
    """What there is to make: which files, from which files, under which fingerprints."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.dataset = lru_cache(maxsize=None)(self._dataset)
        self.fingerprint = lru_cache(maxsize=None)(self._fingerprint)
        self.rows = lru_cache(maxsize=None)(self._rows)
        self.model_fingerprint = lru_cache(maxsize=None)(self._model_fingerprint)

    def _dataset(self, name: str) -> Dataset:
        return read_dataset(self.settings, name)

    def check_files(self) -> None:
        """Refuse to start when clips are missing whose first store is not there either.

        Raises:
            ManifestError: one line per missing file.
        """
        found: list[str] = []
        for name in self.settings.datasets:
            dataset = self.dataset(name)
            if dataset.config.demo_seed is None:
                away = {clip.path for clip in dataset.clips if dataset.contents[clip.path] is None}
                away |= {c.path for c in dataset.clips if not (dataset.root / c.path).exists()}
                clips = [c for c in self._unprepared(dataset) if c.path in away]
                found += missing_files(clips, dataset.root, Path(dataset.config.manifest))
        if found:
            raise ManifestError("\n".join(found))

    def _unprepared(self, dataset: Dataset) -> list[Clip]:
        """Return the clips of shards that some store which reads files still lacks."""
        stores = [store for store in self.stores(dataset.name) if self._reads_files(*store)]
        return [
            clip
            for shard in dataset.shards
            if not all(Path(shard_path(dataset.name, *store, shard)).exists() for store in stores)
            for clip in dataset.rows(shard)
        ]

    # --- stores -----------------------------------------------------------------------------

    def config(self, stage: str, variant: str) -> StageConfig:
        """Return the configuration of a stage variant.

        Raises:
            ConfigError: there is no such variant.
        """
        known = schema.variants(self.settings, stage)
        if variant not in known:
            raise ConfigError(f"no variant {variant!r} of {stage}; known: {', '.join(known)}")
        found: StageConfig = known[variant]
        return found

    def kept(self, stage: str, variant: str) -> bool:
        """Return whether the store is written (frames may be computed inside the faces job)."""
        return bool(getattr(self.config(stage, variant), "keep", True))

    def _reads_files(self, stage: str, variant: str) -> bool:
        upstream = self.config(stage, variant).upstream()
        return stage == "frames" or any(not self.kept(*pair) for pair in upstream.items())

    def stores(self, dataset: str) -> list[tuple[str, str]]:
        """Return all stores to make for a data set, upstream first, each once."""
        config = schema.dataset_config(self.settings, dataset)
        wanted = self.settings.prepare if config.prepare is None else config.prepare
        pairs = [tuple(name.split("/")) for name in wanted]
        for model in self.settings.models.values():
            evaluated = {e.dataset for e in self.settings.evaluations.values()}
            if dataset == model.dataset or dataset in evaluated:
                pairs += list(model.stores.items())
        found: dict[tuple[str, str], None] = {}
        for stage, variant in pairs:
            for pair in self._with_upstream(stage, variant):
                found[pair] = None
        return sorted(found, key=lambda pair: (stages.NAMES.index(pair[0]), pair[1]))

    def _with_upstream(self, stage: str, variant: str) -> list[tuple[str, str]]:
        above = self.config(stage, variant).upstream()
        found = [pair for step in above.items() for pair in self._with_upstream(*step)]
        return [*found, (stage, variant)] if self.kept(stage, variant) else found

    def store_paths(self, dataset: str, stage: str, variant: str) -> list[str]:
        """Return the shard tables of a store in order."""
        self.config(stage, variant)
        return [shard_path(dataset, stage, variant, s) for s in self.dataset(dataset).shards]

    def sources(self, dataset: str, stage: str, variant: str, shard: str) -> dict[str, Source]:
        """Return where a job finds the rows of each upstream stage."""
        return {
            above: Source(path=Path(shard_path(dataset, above, name, shard)))
            if self.kept(above, name)
            else Source(stage=stages.get(above), config=self.config(above, name))
            for above, name in self.config(stage, variant).upstream().items()
        }

    def shard_inputs(self, dataset: str, stage: str, variant: str, shard: str) -> list[str]:
        """Return the files that make a shard stale when they are newer."""
        paths = [s.path for s in self.sources(dataset, stage, variant, shard).values() if s.path]
        found = [str(path) for path in paths]
        if self._reads_files(stage, variant) and self._demo_seed(dataset) is not None:
            found.append(truth_path(self.dataset(dataset).root, shard))
        return found

    def _demo_seed(self, dataset: str) -> int | None:
        return schema.dataset_config(self.settings, dataset).demo_seed

    def _fingerprint(self, dataset: str, stage: str, variant: str) -> str:
        config = self.config(stage, variant)
        upstream = {
            f"{above}/{name}": self.fingerprint(dataset, above, name)
            for above, name in config.upstream().items()
        }
        if stage == "frames" and self._demo_seed(dataset) is not None:
            upstream["demo"] = self.demo_fingerprint(dataset)
        code = code_fingerprint(f"expressway.stages.{stage}")
        return fingerprint(code, config.identity(), weights(config.weights()), upstream)

    def demo_fingerprint(self, dataset: str) -> str:
        """Return the identity of the demo renderer for a data set's world."""
        seed = self._demo_seed(dataset)
        return fingerprint(code_fingerprint("expressway.demo.render"), {"seed": seed}, {}, {})

    def _rows(self, dataset: str, stage: str, variant: str, shard: str) -> str:
        data = self.dataset(dataset)
        return rows_digest(data.rows(shard), self._columns(stage, variant), data.contents)

    def expectation(self, dataset: str, stage: str, variant: str, shard: str) -> str:
        """Return what a shard table is made of: fingerprint and row digest."""
        made_of = self.fingerprint(dataset, stage, variant)
        return f"{made_of}-{self.rows(dataset, stage, variant, shard)}"

    def row_keys(self, dataset: str, stage: str, variant: str, shard: str) -> list[str]:
        """Return what each row of a shard is made of, for the journals of expensive stages."""
        data = self.dataset(dataset)
        columns = tuple(dict.fromkeys(self._all_columns(stage, variant)))
        made_of = self.fingerprint(dataset, stage, variant)
        return [
            f"{made_of}-{rows_digest([clip], columns, data.contents)}" for clip in data.rows(shard)
        ]

    def _all_columns(self, stage: str, variant: str) -> list[str]:
        config = self.config(stage, variant)
        above = [c for step in config.upstream().items() for c in self._all_columns(*step)]
        return [*config.manifest_columns(), *above]

    def _columns(self, stage: str, variant: str) -> tuple[str, ...]:
        config = self.config(stage, variant)
        columns = dict.fromkeys(config.manifest_columns())
        for above, name in config.upstream().items():
            if not self.kept(above, name):
                columns |= dict.fromkeys(self.config(above, name).manifest_columns())
        return tuple(columns)

    # --- models and evaluations -------------------------------------------------------------

    def model(self, name: str) -> ModelConfig:
        """Return a model's configuration.

        Raises:
            ConfigError: there is no such model.
        """
        if name not in self.settings.models:
            raise ConfigError(f"no model {name!r}; known: {', '.join(self.settings.models)}")
        return self.settings.models[name]

    def evaluation(self, name: str) -> EvaluationConfig:
        """Return an evaluation's configuration.

        Raises:
            ConfigError: there is no such evaluation.
        """
        if name not in self.settings.evaluations:
            known = ", ".join(self.settings.evaluations)
            raise ConfigError(f"no evaluation {name!r}; known: {known}")
        return self.settings.evaluations[name]

    def recipe(self, name: str) -> dict[str, Any]:
        """Return a model's recipe: the method's file with the model's changes on top."""
        model = self.model(name)
        defaults = method_file(model.method).get("recipe") or {}
        return {**defaults, **model.recipe}

    def reads(self, name: str, phase: str) -> dict[str, str]:
        """Return stage -> variant that a model reads in a phase, ``train`` or ``predict``."""
        model = self.model(name)
        wanted = method_file(model.method)["reads"][phase]
        return {stage: variant for stage, variant in model.stores.items() if stage in wanted}

    def runs(self, name: str) -> list[str]:
        """Return the folders of a model's training runs: ``{split}-seed{seed}``."""
        return [f"{split}-seed{seed}" for split, seed in self.split_seeds(name)]

    def split_seeds(self, name: str) -> list[tuple[str, int]]:
        """Return the splits and seeds that a model is trained with."""
        return [(split, seed) for split in self.splits(name) for seed in self.model(name).seeds]

    def splits(self, name: str) -> list[str]:
        """Return the splits that a model is trained on; one named ``all`` without a scheme."""
        model = self.model(name)
        if model.scheme is None:
            return [UNTRAINED_SPLIT]
        known = split_names(self.dataset(model.dataset).splits, model.scheme)
        wanted = model.splits or known
        strange = [split for split in wanted if split not in known]
        if strange or not known:
            raise ConfigError(
                f"models.{name}: scheme {model.scheme!r} of {model.dataset} has the splits "
                f"{', '.join(known) or 'none'}; not {', '.join(strange) or 'any'}"
            )
        return wanted

    def members(self, name: str, split: str) -> dict[str, str]:
        """Return clip id -> part of one split; without a scheme, every clip is for training."""
        model = self.model(name)
        if not self.reads(name, "train"):
            return {}
        data = self.dataset(model.dataset)
        if model.scheme is None:
            return {clip.id: "train" for clip in data.clips}
        return parts(data.splits, model.scheme, split)

    def training_stores(self, name: str, split: str) -> dict[str, list[str]]:
        """Return stage -> the shard tables that hold the clips of a split."""
        model, reads = self.model(name), self.reads(name, "train")
        return self._stores_with(reads, model.dataset, set(self.members(name, split)))

    def test_stores(self, name: str, evaluation: str, split: str) -> dict[str, list[str]]:
        """Return stage -> the shard tables that hold the test clips of an evaluation."""
        ids = {clip.id for clip, _ in self.test_rows(name, evaluation, split)}
        reads = self.reads(name, "predict")
        return self._stores_with(reads, self.evaluation(evaluation).dataset, ids)

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
        """Return the labelled test clips of an evaluation, each with the split it stands in.

        On the data set that the model was trained on, its own split decides; a model that no
        split trained is tested on all of them. Another data set is tested whole, or by the
        evaluation's scheme.
        """
        config, trained = self.evaluation(evaluation), self.model(name)
        data = self.dataset(config.dataset)
        own = config.dataset == trained.dataset and trained.scheme is not None
        scheme = trained.scheme if own else config.scheme
        clips = [clip for clip in data.clips if clip.labels.get(config.task)]
        if scheme is None:
            return [(clip, split) for clip in clips]
        names = [split] if own else split_names(data.splits, scheme)
        members = {each: parts(data.splits, scheme, each) for each in names}
        return [
            (clip, each)
            for each in names
            for clip in clips
            if members[each].get(clip.id) == config.part
        ]

    def backbone(self, name: str) -> str | None:
        """Return the backbone that a model's features come from."""
        variant = self.model(name).stores.get("visual_features")
        if variant is None:
            return None
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
        code = [
            code_fingerprint(f"expressway.methods.{model.method}"),
            code_fingerprint("expressway.training"),
        ]
        config = {
            **model.model_dump(mode="json", exclude={"splits", "seeds", "recipe"}),
            "recipe": self.recipe(name),
            "labels": self.dataset(model.dataset).config.labels.get(model.task),
            "prompts": self.prompt_set(model.prompts),
        }
        upstream = {
            f"{stage}/{variant}": self.fingerprint(model.dataset, stage, variant)
            for stage, variant in model.stores.items()
        }
        return fingerprint(digest(code), config, {}, upstream)

    def model_rows(self, name: str, split: str) -> str:
        """Identify what training reads of the manifest and the splits."""
        model, members = self.model(name), self.members(name, split)
        clips = [clip for clip in self.dataset(model.dataset).clips if clip.id in members]
        return digest([[c.id, c.labels.get(model.task), members[c.id]] for c in clips])

    def model_expectation(self, name: str, split: str) -> str:
        """Return what a trained model is made of: fingerprint and row digest."""
        return f"{self.model_fingerprint(name)}-{self.model_rows(name, split)}"

    def evaluation_fingerprint(self, name: str, evaluation: str, split: str) -> str:
        """Identify one model's evaluation: protocol, test rows, prompts, code."""
        config = self.evaluation(evaluation)
        made_of = {
            **config.model_dump(mode="json", exclude={"models"}),
            "prompts": self.prompt_set(config.prompts),
            "rows": [
                [clip.id, clip.labels[config.task], clip.subject, each]
                for clip, each in self.test_rows(name, evaluation, split)
            ],
        }
        return fingerprint(code_fingerprint("expressway.prediction"), made_of, {}, {})

    def evaluation_folders(self, model: str, evaluation: str) -> list[str]:
        """Return the result folders of one model under one evaluation."""
        return [f"results/evaluations/{model}/{run}/{evaluation}" for run in self.runs(model)]

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


@cache
def method_file(method: str) -> dict[str, Any]:
    """Return ``config/methods/METHOD.yaml``: ``reads`` (stores per phase) and ``recipe``.

    Raises:
        ConfigError: the file is missing or says not what the method reads.
    """
    path = METHODS / f"{method}.yaml"
    found = read_yaml(path)
    if set(found.get("reads", {})) != {"train", "predict"} or set(found) - {"reads", "recipe"}:
        raise ConfigError(f"{path}: expected reads: {{train: [...], predict: [...]}} and recipe:")
    return found


@cache
def weights(paths: tuple[str, ...]) -> dict[str, str]:
    """Return path -> digest of weights files and folders; what is not there says so."""
    ledger = HashLedger(Path("state/hashes/weights.json"))
    found = {path: ledger.weights(Path(path)) or "missing" for path in paths}
    ledger.save()
    return found
