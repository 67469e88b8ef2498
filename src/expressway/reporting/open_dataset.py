"""A data set with its stores opened: states of clips, losses by stage."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from typing import Any

from expressway import stages
from expressway.core.coverage import footer, states
from expressway.core.errors import USABLE
from expressway.core.store import Store
from expressway.reporting import ReportDataset

EXAMPLES = 3
# Shown instead of a status where a shard table does not exist yet.
NOT_COMPUTED = "not computed"


@dataclass(frozen=True)
class Loss:
    """Clips whose first trouble was the same status in the same stage."""

    stage: str
    variant: str
    status: str
    states: tuple[Mapping[str, Any], ...]

    @property
    def examples(self) -> tuple[Mapping[str, Any], ...]:
        """The states of a few clips: clip_id, status, error_type, error_message."""
        return self.states[:EXAMPLES]

    @property
    def kept(self) -> bool:
        """Degraded clips stay in the data; all others are lost."""
        return self.status in USABLE


@dataclass(frozen=True)
class StageCoverage:
    """How many clips of a data set ended in each status of one store."""

    stage: str
    variant: str
    counts: Mapping[str, int]

    @property
    def lost_here(self) -> int:
        """Clips that reached the stage and failed in it."""
        fine = USABLE | {"skipped", NOT_COMPUTED}
        return sum(number for status, number in self.counts.items() if status not in fine)


class OpenDataset:
    """A data set with its stores opened once; everything else in the report reads through it."""

    def __init__(self, dataset: ReportDataset) -> None:
        self.name = dataset.name
        self.clips = list(dataset.manifest)
        keys = sorted(dataset.stores, key=lambda key: (_rank(key[0]), key[0]))
        paths = {key: [p for p in dataset.stores[key] if p.exists()] for key in keys}
        self.stores = {key: Store(found) for key, found in paths.items()}
        self._counted = dict(dataset.coverage)
        self.truth = [path for path in dataset.truth if path.exists()]
        self.task, self.folds = dataset.task, dataset.folds
        self.overlaps = dataset.overlaps

    def state(self, key: tuple[str, str], clip_id: str) -> Mapping[str, Any]:
        """The state of a clip in a store, or as it was when its shard was still there."""
        store = self.stores[key]
        if clip_id in store:
            return store.state(clip_id)
        return self._removed(key).get(clip_id) or {"status": NOT_COMPUTED}

    @cache  # noqa: B019 - a report lives as long as its process
    def _removed(self, key: tuple[str, str]) -> Mapping[str, Mapping[str, Any]]:
        path = self._counted.get(key)
        return states(path, [clip.id for clip in self.clips]) if path else {}

    def footers(self, key: tuple[str, str]) -> Sequence[Mapping[str, Any]]:
        """What the shards of a store say of themselves, or said before they were removed."""
        there = [reader.footer for reader in self.stores[key].readers]
        removed = footer(self._counted.get(key))
        return there or ([removed] if removed else [])

    def first(self, stage: str) -> Store | None:
        """The first non-empty store of a stage, whatever its variant."""
        found = (s for (name, _), s in self.stores.items() if name == stage and len(s))
        return next(found, None)

    @cached_property
    def stages(self) -> list[StageCoverage]:
        """Coverage of every store in the order of the pipeline."""
        return [
            StageCoverage(*key, Counter(self.state(key, clip.id)["status"] for clip in self.clips))
            for key in self.stores
        ]

    @cached_property
    def complete(self) -> int:
        """Number of clips that every store can use."""
        return sum(
            all(self.state(key, clip.id)["status"] in USABLE for key in self.stores)
            for clip in self.clips
        )

    @cached_property
    def losses(self) -> list[Loss]:
        """Clips grouped by their first failing stage and status, then the degraded ones."""
        groups: dict[tuple[str, str, str], list[Mapping[str, Any]]] = {}
        for clip in self.clips:
            for key, state in self._troubles(clip.id):
                groups.setdefault((*key, str(state["status"])), []).append(state)
        losses = [Loss(*key, states=tuple(states)) for key, states in groups.items()]
        return sorted(losses, key=lambda loss: (loss.kept, _rank(loss.stage), -len(loss.states)))

    def _troubles(self, clip_id: str) -> Iterable[tuple[tuple[str, str], Mapping[str, Any]]]:
        """The degraded rows of a clip up to its first failing row, and that row."""
        for key in self.stores:
            state = self.state(key, clip_id)
            if state["status"] == "degraded":
                yield key, state
            elif state["status"] not in {"ok", NOT_COMPUTED}:
                yield key, state
                return


def _rank(stage: str) -> int:
    return stages.NAMES.index(stage) if stage in stages.NAMES else len(stages.NAMES)
