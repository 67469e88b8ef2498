"""Data sets as the workflow sees them: tables read, files stamped, shards named."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from expressway import schema
from expressway.manifest import (
    Clip,
    DatasetConfig,
    SplitRow,
    read_manifest,
    read_splits,
    shard_names,
    shard_rows,
)
from expressway.provenance import HashLedger
from expressway.schema import Settings


@dataclass(frozen=True)
class Dataset:
    """One data set: its configuration and tables; ``contents`` maps path -> sha256 as of now."""

    name: str
    config: DatasetConfig
    clips: list[Clip]
    splits: list[SplitRow]
    contents: Mapping[str, str | None]

    @property
    def root(self) -> Path:
        """Folder that the manifest's paths start from."""
        return Path(self.config.root)

    @property
    def shards(self) -> list[str]:
        """Names of the shards, in order."""
        return shard_names(len(self.clips), self.config.shard_size)

    def rows(self, shard: str) -> list[Clip]:
        """Return the clips of one shard."""
        return list(shard_rows(self.clips, self.config.shard_size, shard))


def read_dataset(settings: Settings, name: str) -> Dataset:
    """Return a data set with its tables read and checked.

    Raises:
        ConfigError: the data set's configuration has problems.
        ManifestError: all problems of its manifest and splits at once.
    """
    config = schema.dataset_config(settings, name)
    clips = read_manifest(Path(config.manifest), config)
    splits = read_splits(Path(config.splits), clips) if config.splits else []
    return Dataset(name, config, clips, splits, _contents(name, config, clips))


def _contents(name: str, config: DatasetConfig, clips: Iterable[Clip]) -> dict[str, str | None]:
    """Return path -> sha256; files that are away keep the hash that the manifest states."""
    if config.demo_seed is not None:
        return {}
    ledger = HashLedger(Path("state/hashes") / f"{name}.json")
    root = Path(config.root)
    found: dict[str, str | None] = {}
    for clip in clips:
        if clip.path not in found:
            found[clip.path] = ledger.sha256(root / clip.path, clip.path) or clip.sha256
    ledger.save()
    return found


def shard_path(dataset: str, stage: str, variant: str, shard: str) -> str:
    """Return the path of one shard table."""
    return f"results/{dataset}/{stage}/{variant}/{shard}.parquet"


def truth_path(root: Path, shard: str) -> str:
    """Return the path of the demo world's ground truth for one shard."""
    return f"{root}/clips/{shard}.truth.parquet"
