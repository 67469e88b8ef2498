"""The stores there are to make: variants, shards, inputs, what each shard is made of."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from functools import cache, lru_cache
from pathlib import Path

from expressway import stages
from expressway.core.errors import ManifestError
from expressway.core.fingerprints import HashLedger
from expressway.core.made_of import MadeOf
from expressway.core.manifest import Clip, missing_files, rows_digest
from expressway.core.stage import Source
from expressway.planning import paths
from expressway.planning import settings as schema
from expressway.planning.accepted import Accepted
from expressway.planning.configuration import Configuration

Shard = tuple[str, str, str, str]


class Stores:
    """Which shard tables there are to make, from which files, made of what."""

    def __init__(self, configuration: Configuration, accepted: Accepted) -> None:
        self.configuration = configuration
        self.accepted = accepted
        self.made_of = lru_cache(maxsize=None)(self._made_of)
        self.rows = lru_cache(maxsize=None)(self._rows)

    def of_dataset(self, dataset: str) -> list[tuple[str, str]]:
        """Return all stores to make for a data set, upstream first, each once."""
        settings = self.configuration.settings
        config = schema.dataset_config(settings, dataset)
        wanted = settings.prepare if config.prepare is None else config.prepare
        pairs = [tuple(name.split("/")) for name in wanted]
        for name, model in settings.models.items():
            if dataset == model.dataset:
                pairs += self.configuration.reads(name, "train").items()
        for evaluation in settings.evaluations.values():
            for name in evaluation.models if dataset in evaluation.datasets else ():
                pairs += self.configuration.reads(name, "predict").items()
        found: dict[tuple[str, str], None] = {}
        for stage, variant in pairs:
            for pair in self._with_upstream(stage, self.configuration.same_as(stage, variant)):
                found[pair] = None
        return sorted(found, key=lambda pair: (stages.NAMES.index(pair[0]), pair[1]))

    def _with_upstream(self, stage: str, variant: str) -> list[tuple[str, str]]:
        above = self.configuration.upstream(stage, variant)
        found = [pair for step in above.items() for pair in self._with_upstream(*step)]
        return [*found, (stage, variant)] if self.configuration.kept(stage, variant) else found

    def shards(self, dataset: str, stage: str, variant: str) -> list[Shard]:
        """Return the shards of a store in order."""
        self.configuration.variant(stage, variant)
        names = self.configuration.dataset(dataset).shards
        return [(dataset, stage, variant, name) for name in names]

    def paths(self, dataset: str, stage: str, variant: str) -> list[str]:
        """Return the shard tables of a store in order."""
        return [paths.shard(*shard) for shard in self.shards(dataset, stage, variant)]

    def with_clips(self, dataset: str, reads: dict[str, str], ids: set[str]) -> list[Shard]:
        """Return the shards of some stores that hold any of the clips."""
        data = self.configuration.dataset(dataset)
        shards = [s for s in data.shards if any(clip.id in ids for clip in data.rows(s))]
        return [(dataset, *store, shard) for store in reads.items() for shard in shards]

    def sources(self, dataset: str, stage: str, variant: str, shard: str) -> dict[str, Source]:
        """Return where a job finds the rows of each upstream stage."""
        return {
            above: Source(path=Path(paths.shard(dataset, above, name, shard)))
            if self.configuration.kept(above, name)
            else Source(stage=stages.get(above), config=self.configuration.variant(above, name))
            for above, name in self.configuration.upstream(stage, variant).items()
        }

    def upstream_shards(self, dataset: str, stage: str, variant: str, shard: str) -> list[Shard]:
        """Return the shards that a shard is made from."""
        above = self.configuration.upstream(stage, variant).items()
        return [(dataset, *pair, shard) for pair in above if self.configuration.kept(*pair)]

    def reads_files(self, stage: str, variant: str) -> bool:
        """Return whether a stage opens the clips themselves."""
        upstream = self.configuration.upstream(stage, variant)
        return stage == "frames" or any(not self.configuration.kept(*p) for p in upstream.items())

    def fingerprint(self, dataset: str, stage: str, variant: str) -> str:
        """Return what identifies a store: its own fingerprint, or the one it was accepted as."""
        return self.accepted(self.made_of(dataset, stage, variant).fingerprint)

    def _made_of(self, dataset: str, stage: str, variant: str) -> MadeOf:
        upstream = {
            above: self.fingerprint(dataset, above, name)
            for above, name in self.configuration.upstream(stage, variant).items()
        }
        if stage == "frames" and self.configuration.demo_seed(dataset) is not None:
            upstream["demo"] = self.world(dataset).fingerprint
        files = self.configuration.variant(stage, variant).weights()
        decides = self.configuration.decides(stage, variant)
        return MadeOf(stages.entries(stage), decides, weights(files), upstream)

    def own(self, dataset: str, stage: str, variant: str) -> str:
        """Return what identifies the computation of a row from its upstream rows."""
        return self.accepted(self.own_made_of(dataset, stage, variant).fingerprint)

    def own_made_of(self, dataset: str, stage: str, variant: str) -> MadeOf:
        """Return what decides how a row follows from its upstream rows.

        An upstream store counts by the content of its rows; what runs inside the job counts here.
        """
        made_of = self.made_of(dataset, stage, variant)
        above = self.configuration.upstream(stage, variant)
        kept = {name for name, each in above.items() if self.configuration.kept(name, each)}
        inside = {name: each for name, each in made_of.upstream.items() if name not in kept}
        return replace(made_of, upstream=inside)

    def world(self, dataset: str) -> MadeOf:
        """Return what the clips of a rendered world are made of."""
        seed = self.configuration.demo_seed(dataset)
        return MadeOf(("expressway.data.demo:render_clips",), {"seed": seed})

    def _rows(self, dataset: str, stage: str, variant: str, shard: str) -> str:
        data = self.configuration.dataset(dataset)
        return rows_digest(data.rows(shard), self._columns(stage, variant), data.contents)

    def expectation(self, dataset: str, stage: str, variant: str, shard: str) -> str:
        """Return what identifies a shard: fingerprint and rows."""
        made_of = self.fingerprint(dataset, stage, variant)
        return f"{made_of}-{self.rows(dataset, stage, variant, shard)}"

    def row_keys(self, dataset: str, stage: str, variant: str, shard: str) -> list[str]:
        """Return what identifies each row of a shard, beside the content of what it reads."""
        data = self.configuration.dataset(dataset)
        columns = self._columns(stage, variant, inside=True)
        own = self.own(dataset, stage, variant)
        return [f"{own}-{rows_digest([clip], columns, data.contents)}" for clip in data.rows(shard)]

    def _columns(self, stage: str, variant: str, inside: bool = False) -> tuple[str, ...]:
        """Return the manifest columns that decide a row: the stage's own, and those above it.

        Args:
            inside: above it only what runs inside the job, without a store.
        """
        columns = dict.fromkeys(self.configuration.variant(stage, variant).manifest_columns())
        for pair in self.configuration.upstream(stage, variant).items():
            if not (inside and self.configuration.kept(*pair)):
                columns |= dict.fromkeys(self._columns(*pair, inside))
        return tuple(columns)

    def clips_digest(self, dataset: str, reads: Mapping[str, str], ids: Iterable[str]) -> str:
        """Identify what these stores read of some clips: content, stretches, captions."""
        data = self.configuration.dataset(dataset)
        columns = dict.fromkeys(c for store in reads.items() for c in self._columns(*store))
        wanted = set(ids)
        clips = [clip for clip in data.clips if clip.id in wanted]
        return rows_digest(clips, tuple(columns), data.contents)

    def check_files(self) -> None:
        """Refuse to start when clips are missing whose first store is not there either.

        Raises:
            ManifestError: one line per missing file.
        """
        found: list[str] = []
        for name in self.configuration.settings.datasets:
            dataset = self.configuration.dataset(name)
            if dataset.config.demo_seed is None:
                clips = self._unprepared(name)
                found += missing_files(clips, dataset.root, Path(dataset.config.manifest))
        if found:
            raise ManifestError("\n".join(found))

    def _unprepared(self, name: str) -> list[Clip]:
        """Return the clips of shards that some store which reads files still lacks."""
        dataset = self.configuration.dataset(name)
        stores = [store for store in self.of_dataset(name) if self.reads_files(*store)]
        return [
            clip
            for shard in dataset.shards
            if not all(Path(paths.shard(name, *store, shard)).exists() for store in stores)
            for clip in dataset.rows(shard)
        ]


@cache
def weights(files: tuple[str, ...]) -> dict[str, str]:
    """Return path -> digest of weights files and folders; what is not there says so."""
    ledger = HashLedger(paths.STATE / "hashes/weights.json")
    found = {path: ledger.weights(Path(path)) or "missing" for path in files}
    ledger.save()
    return found
