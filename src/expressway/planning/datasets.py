"""Data sets as the workflow sees them: tables read, files stamped, shards named."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from expressway.core.config import nearest
from expressway.core.errors import ConfigError
from expressway.core.fingerprints import HashLedger
from expressway.core.manifest import (
    ClassScheme,
    Clip,
    DatasetConfig,
    SplitRow,
    read_manifest,
    read_splits,
    shard_names,
    shard_rows,
    split_names,
)
from expressway.planning import settings as schema
from expressway.planning.settings import Settings


@dataclass(frozen=True)
class Split:
    """One split of a data set.

    Attributes:
        parts: clip id -> ``train | validation | test``.
        known: the classes that training may see, in the data set's order; None: all.
    """

    name: str
    parts: Mapping[str, str]
    known: tuple[str, ...] | None = None


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

    @cached_property
    def _parts(self) -> dict[tuple[str, str], dict[str, str]]:
        """(scheme, split) -> clip id -> part: one pass for all, since there are many rows."""
        found: dict[tuple[str, str], dict[str, str]] = {}
        for row in self.splits:
            found.setdefault((row.scheme, row.split), {})[row.clip_id] = row.part
        return found

    def _names(self, scheme: str) -> list[str]:
        return [split for each, split in self._parts if each == scheme]

    def split_names(self, scheme: str) -> list[str]:
        """Return the names of the splits of a scheme of clips, or of one of classes."""
        classes = self.config.class_schemes.get(scheme)
        if classes is None:
            return self._names(scheme)
        return [_joined(name, each, bases) for name, each, bases in self._class_splits(classes)]

    def split(self, scheme: str, name: str) -> Split:
        """Return one split; under a class scheme without the training clips of unknown classes."""
        classes = self.config.class_schemes.get(scheme)
        if classes is None:
            return Split(name, self._parts.get((scheme, name), {}))
        known_name, base = {
            _joined(known, each, bases): (known, each)
            for known, each, bases in self._class_splits(classes)
        }[name]
        allowed = classes.known[known_name]
        known = tuple(n for n in self.config.labels[classes.task] if n in allowed)
        labels = {clip.id: clip.labels.get(classes.task) for clip in self.clips}
        members = self._parts.get((classes.scheme, base), {})
        kept = {i: p for i, p in members.items() if p == "test" or labels.get(i) in known}
        return Split(name, kept, known)

    def with_truth(
        self, columns: str | tuple[str, ...], scheme: str | None, split: str | None, part: str
    ) -> list[tuple[Clip, str]]:
        """Return the clips of ``part`` that have a truth, each with the split it stands in.

        Args:
            columns: the label column that holds the truth, or the target columns.
            scheme: None: all clips, whatever their part.
            split: one split of the scheme; None: all of them.
        """
        clips = [clip for clip in self.clips if _has_truth(clip, columns)]
        if scheme is None:
            return [(clip, split or "") for clip in clips]
        names = self.split_names(scheme) if split is None else [split]
        members = {each: self.split(scheme, each).parts for each in names}
        return [
            (clip, each) for each in names for clip in clips if members[each].get(clip.id) == part
        ]

    def _class_splits(self, classes: ClassScheme) -> list[tuple[str, str, int]]:
        """Return (name of the class split, split of the clips, how many of the latter)."""
        bases = classes.splits or self._names(classes.scheme)
        return [(name, base, len(bases)) for base in bases for name in classes.known]


def _has_truth(clip: Clip, columns: str | tuple[str, ...]) -> bool:
    if isinstance(columns, str):
        return bool(clip.labels.get(columns))
    return any(name in clip.targets for name in columns)


def _joined(name: str, base: str, bases: int) -> str:
    return name if bases == 1 else f"{name}-{base}"


def read_dataset(settings: Settings, name: str) -> Dataset:
    """Return a data set with its tables read and checked.

    Raises:
        ConfigError: the data set's configuration has problems.
        ManifestError: all problems of its manifest and splits at once.
    """
    config = schema.dataset_config(settings, name)
    clips = read_manifest(Path(config.manifest), config)
    splits = read_splits(Path(config.splits), clips) if config.splits else []
    found = _class_scheme_problems(config, splits)
    if found:
        raise ConfigError("\n".join(f"data set {name}: {problem}" for problem in found))
    return Dataset(name, config, clips, splits, _contents(name, config, clips))


def _class_scheme_problems(config: DatasetConfig, splits: list[SplitRow]) -> list[str]:
    """Return one line per name in ``class_schemes`` that leads nowhere."""
    found = []
    schemes = {row.scheme for row in splits}
    for name, classes in config.class_schemes.items():
        where = f"class_schemes.{name}"
        if name in schemes:
            found.append(f"{where}: a scheme of the clips has this name; choose another")
        if classes.scheme not in schemes:
            hint = nearest(classes.scheme, schemes)
            found.append(f"{where}.scheme: no {classes.scheme!r} in the split file{hint}")
        for split in set(classes.splits or ()) - set(split_names(splits, classes.scheme)):
            found.append(f"{where}.splits: {classes.scheme} has no split {split!r}")
        allowed = config.labels.get(classes.task, [])
        for split, known in classes.known.items():
            for label in set(known) - set(allowed):
                hint = nearest(label, allowed)
                found.append(f"{where}.known.{split}: no class {label!r} of {classes.task}{hint}")
    return found


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
