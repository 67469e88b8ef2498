"""From the configuration to the stores there are to make: variants, shards, paths, fingerprints.

Pure: reads the configuration, manifests and file stamps, and writes nothing but the ledger of
file hashes.
"""

from functools import cache, cached_property, lru_cache
from pathlib import Path
from typing import Any, get_args

from expressway import schema, stages
from expressway.code import code_fingerprint
from expressway.config import read_yaml
from expressway.datasets import Dataset, read_dataset, shard_path, truth_path
from expressway.errors import ConfigError, ManifestError
from expressway.manifest import Clip, missing_files, rows_digest
from expressway.provenance import HashLedger, fingerprint
from expressway.schema import ModelConfig, Settings
from expressway.stage import Source, StageConfig

METHODS = Path("config/methods")


class StorePlan:
    """Which shard tables there are to make, from which files, under which fingerprints."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.dataset = lru_cache(maxsize=None)(self._dataset)
        self.fingerprint = lru_cache(maxsize=None)(self._fingerprint)
        self.rows = lru_cache(maxsize=None)(self._rows)

    def _dataset(self, name: str) -> Dataset:
        return read_dataset(self.settings, name)

    @cached_property
    def catalogue(self) -> Settings:
        """What the configuration names, and what its tables bring."""
        return schema.catalogue(self.settings)

    def check_files(self) -> None:
        """Refuse to start when clips are missing whose first store is not there either.

        Raises:
            ManifestError: one line per missing file.
        """
        found: list[str] = []
        for name in self.settings.datasets:
            dataset = self.dataset(name)
            if dataset.config.demo_seed is None:
                clips = self._unprepared(dataset)
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

    def config(self, stage: str, variant: str) -> StageConfig:
        """Return the configuration of a stage variant.

        Raises:
            ConfigError: there is no such variant.
        """
        known = schema.variants(self.settings, stage)
        if variant not in known:
            known = schema.variants(self.catalogue, stage)
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

    def model(self, name: str) -> ModelConfig:
        """Return a model's configuration.

        Raises:
            ConfigError: there is no such model.
        """
        found = self.settings.models.get(name) or self.catalogue.models.get(name)
        if found is None:
            raise ConfigError(f"no model {name!r}; known: {', '.join(self.settings.models)}")
        return found

    def reads(self, name: str, phase: str) -> dict[str, str]:
        """Return stage -> variant that a model reads in a phase, ``train`` or ``predict``."""
        model = self.model(name)
        reads = method_file(model.method)["reads"]
        wanted = {**reads, **reads.get(model.protocol, {})}[phase]
        return {stage: variant for stage, variant in model.stores.items() if stage in wanted}

    def stores(self, dataset: str) -> list[tuple[str, str]]:
        """Return all stores to make for a data set, upstream first, each once."""
        config = schema.dataset_config(self.settings, dataset)
        wanted = self.settings.prepare if config.prepare is None else config.prepare
        pairs = [tuple(name.split("/")) for name in wanted]
        for name, model in self.settings.models.items():
            if dataset == model.dataset:
                pairs += self.reads(name, "train").items()
        for evaluation in self.settings.evaluations.values():
            for name in evaluation.models if dataset in evaluation.datasets else ():
                pairs += self.reads(name, "predict").items()
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
        code = code_fingerprint(*stages.entries(stage))
        return fingerprint(code, config.identity(), weights(config.weights()), upstream)

    def demo_fingerprint(self, dataset: str) -> str:
        """Return the identity of the demo renderer for a data set's world."""
        seed = self._demo_seed(dataset)
        return fingerprint(code_fingerprint("expressway.demo:render_clips"), {"seed": seed}, {}, {})

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


@cache
def method_file(method: str) -> dict[str, Any]:
    """Return ``config/methods/METHOD.yaml``: ``reads`` (stores per phase) and ``recipe``.

    Under ``reads``, a protocol's name may hold phases in which models of it read less.

    Raises:
        ConfigError: the file is missing or says not what the method reads.
    """
    path = METHODS / f"{method}.yaml"
    found = read_yaml(path)
    phases = set(found.get("reads", {})) - set(get_args(schema.Protocol))
    if phases != {"train", "predict"} or set(found) - {"reads", "recipe"}:
        raise ConfigError(f"{path}: expected reads: {{train: [...], predict: [...]}} and recipe:")
    return found


@cache
def weights(paths: tuple[str, ...]) -> dict[str, str]:
    """Return path -> digest of weights files and folders; what is not there says so."""
    ledger = HashLedger(Path("state/hashes/weights.json"))
    found = {path: ledger.weights(Path(path)) or "missing" for path in paths}
    ledger.save()
    return found
