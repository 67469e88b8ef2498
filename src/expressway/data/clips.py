"""The clips of a run with their store rows, as samples and batches of tensors."""

import copy
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from expressway.core.errors import ConfigError
from expressway.core.manifest import Clip
from expressway.core.specs import Need, Stores
from expressway.core.store import Store
from expressway.data.sampling import EpochSampler, generator

UNLABELLED = -1
Rows = Mapping[str, Mapping[str, Any]]
Sample = Mapping[str, Tensor]
SampleFunction = Callable[[Rows, np.random.Generator, bool], Sample]


@dataclass(frozen=True)
class Batch:
    """What a method gets: ``inputs`` as its ``sample`` made them, with a batch axis in front.

    ``labels`` is (batch,) int64, ``UNLABELLED`` where a clip has none; ``targets`` is
    (batch, targets) float32, NaN where a clip has none.
    """

    ids: tuple[str, ...]
    inputs: Mapping[str, Tensor]
    labels: Tensor
    targets: Tensor = field(default_factory=lambda: torch.empty(0, 0))

    def __len__(self) -> int:
        return len(self.ids)

    def pin_memory(self) -> Self:
        """Return the batch in page-locked memory; the loader calls it when a GPU computes."""
        inputs = {name: value.pin_memory() for name, value in self.inputs.items()}
        return type(self)(self.ids, inputs, self.labels.pin_memory(), self.targets.pin_memory())

    def __getitem__(self, name: str) -> Tensor:
        return self.inputs[name]

    def to(self, device: torch.device | str, **options: Any) -> Self:
        """Return the batch on a device."""
        moved = {name: value.to(device, **options) for name, value in self.inputs.items()}
        return type(self)(
            self.ids,
            moved,
            self.labels.to(device, **options),
            self.targets.to(device, **options),
        )


class ClipStores:
    """The stores of a run, joined by clip id."""

    def __init__(self, stores: Stores, needs: Sequence[Need]) -> None:
        """Open the stores; nothing but statuses is read yet.

        Raises:
            ConfigError: a needed store is not among those given.
        """
        missing = [n.stage for n in needs if not n.optional and n.stage not in stores]
        if missing:
            raise ConfigError(
                f"this method reads the stores {', '.join(n.stage for n in needs)}; "
                f"missing: {', '.join(missing)}; name a variant of each under the model's stores:"
            )
        self.needs = [need for need in needs if need.stage in stores]
        self._stores = {need.stage: Store(stores[need.stage]) for need in self.needs}
        self._kept: dict[tuple[str, str], dict[str, Any]] = {}

    def footer(self, stage: str) -> dict[str, Any]:
        """Return what the first shard of a store says about how it was made."""
        readers = self._stores[stage].readers
        return readers[0].footer if readers else {}

    def lacking(self, stage: str) -> int:
        """Return how many clips are used without a row of an optional store."""
        store = self._stores[stage]
        return sum(not store.usable(c) and self.why_not(c) is None for c in store)

    def each(self, stage: str, column: str) -> Iterator[Any]:
        """Yield one column of every usable row of a store."""
        store = self._stores[stage]
        return (store.row(c, (column,))[column] for c in store if store.usable(c))

    def why_not(self, clip_id: str) -> str | None:
        """Return the status of the first needed row that is not usable, None if all are."""
        for need in self.needs:
            store = self._stores[need.stage]
            if need.optional:
                continue
            if not store.usable(clip_id):
                return store.status(clip_id) if clip_id in store else "skipped"
            if need.filled and not store.row(clip_id, (need.filled,))[need.filled]:
                return f"no {need.filled}"
        return None

    def keep(self, clip_ids: Iterable[str]) -> None:
        """Read the rows of these clips into memory (streamed stores excepted)."""
        wanted = set(clip_ids)
        for need in self.needs:
            store = self._stores[need.stage]
            for clip_id in store if not need.stream else ():
                if clip_id in wanted and store.usable(clip_id):
                    self._kept[need.stage, clip_id] = store.row(clip_id, need.columns)

    def rows(self, clip_id: str) -> dict[str, Mapping[str, Any]]:
        """Return stage -> row of a clip; stores without a usable row are left out."""
        found: dict[str, Mapping[str, Any]] = {}
        for need in self.needs:
            kept = self._kept.get((need.stage, clip_id))
            if kept is not None:
                found[need.stage] = kept
            elif self._stores[need.stage].usable(clip_id):
                found[need.stage] = self._stores[need.stage].row(clip_id, need.columns)
        return found


@dataclass(frozen=True)
class Item:
    """One clip as a sample, with its class (``UNLABELLED`` for none) and (targets,) numbers."""

    id: str
    inputs: Sample
    label: int
    targets: Tensor


class ClipDataset(Dataset[Item]):
    """Clips as samples; indexed by ``(epoch, index)``, so that chance depends on the epoch."""

    def __init__(
        self,
        clips: Sequence[Clip],
        stores: ClipStores,
        sample: SampleFunction,
        task: str,
        labels: Sequence[str],
        seed: int,
        training: bool,
        targets: Sequence[str] = (),
    ) -> None:
        """Args: ``clips``: usable ones only; ``sample``: the method's own; ``targets``: columns."""
        self.clips, self.stores, self.sample = list(clips), stores, sample
        self.seed, self.training = seed, training
        place = {label: index for index, label in enumerate(labels)}
        self.labels = [place.get(clip.labels.get(task, ""), UNLABELLED) for clip in self.clips]
        self.targets = torch.tensor(
            [[clip.targets.get(name, math.nan) for name in targets] for clip in self.clips]
        ).reshape(len(self.clips), len(targets))
        stores.keep(clip.id for clip in self.clips)

    def as_test(self) -> Self:
        """Return the same clips, sampled as test clips are: without chance."""
        other = copy.copy(self)
        other.training = False
        return other

    def __len__(self) -> int:
        return len(self.clips)

    def __getitem__(self, key: tuple[int, int]) -> Item:
        epoch, index = key
        clip = self.clips[index]
        random = generator(self.seed, epoch, clip.id)
        sample = self.sample(self.stores.rows(clip.id), random, self.training)
        return Item(clip.id, sample, self.labels[index], self.targets[index])


def collate(items: Sequence[Item]) -> Batch:
    """Stack samples; every sample has the same tensors with the same shapes."""
    stacked = {name: torch.stack([item.inputs[name] for item in items]) for name in items[0].inputs}
    labels = torch.tensor([item.label for item in items], dtype=torch.int64)
    targets = torch.stack([item.targets for item in items])
    return Batch(tuple(item.id for item in items), stacked, labels, targets)


def loader(
    dataset: ClipDataset,
    sampler: EpochSampler,
    batch_size: int,
    workers: int = 0,
    pin_memory: bool = False,
) -> DataLoader[Batch]:
    """Return the batches of an epoch in training order; a last incomplete batch is dropped.

    A data set smaller than one batch gives one batch of all its clips.

    Args:
        workers: processes that read clips. They are forked, and share what is kept in memory.
        pin_memory: for a GPU.
    """
    return DataLoader(
        dataset,  # type: ignore[arg-type]
        batch_size=batch_size,
        sampler=sampler,  # type: ignore[arg-type]
        drop_last=len(sampler) >= batch_size,
        collate_fn=collate,
        num_workers=workers,
        persistent_workers=workers > 0,
        multiprocessing_context="fork" if workers else None,
        pin_memory=pin_memory,
    )


def in_order(dataset: ClipDataset, batch_size: int, epoch: int) -> Iterable[Batch]:
    """Yield all clips once, in their order."""
    for start in range(0, len(dataset), batch_size):
        stop = min(start + batch_size, len(dataset))
        yield collate([dataset[epoch, index] for index in range(start, stop)])
