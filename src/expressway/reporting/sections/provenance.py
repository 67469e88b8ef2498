"""Section on provenance: versions, fingerprints, models, configurations."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from expressway.core.errors import StoreError
from expressway.core.foreign_text import visible
from expressway.core.store import Store
from expressway.reporting.open_dataset import OpenDataset

YAML_LIMIT = 60_000


@dataclass(frozen=True)
class Variant:
    """One store of one data set, ``size`` in bytes: where it came from, as its footers say."""

    dataset: str
    stage: str
    variant: str
    shards: int
    size: int
    fingerprints: tuple[str, ...]
    packages: Mapping[str, str]
    config: Mapping[str, Any]


@dataclass(frozen=True)
class Model:
    """One trained (or untrained) model folder and the plain facts of its model.json."""

    name: str
    facts: Mapping[str, Any]


def variants(datasets: Iterable[OpenDataset]) -> list[Variant]:
    """The footers of every store, shards of one variant taken together."""
    return [
        _variant(dataset.name, *key, store, footers)
        for dataset in datasets
        for key, store in dataset.stores.items()
        if (footers := dataset.footers(key))
    ]


def _variant(
    dataset: str, stage: str, variant: str, store: Store, footers: Sequence[Mapping[str, Any]]
) -> Variant:
    prints = dict.fromkeys(str(footer.get("fingerprint", "unknown")) for footer in footers)
    return Variant(
        dataset=dataset,
        stage=stage,
        variant=variant,
        shards=len(store.readers),
        size=sum(reader.path.stat().st_size for reader in store.readers),
        fingerprints=tuple(prints),
        packages=footers[0].get("packages") or {},
        config=footers[0].get("config") or {},
    )


def distinct(found: Sequence[Variant]) -> list[Variant]:
    """One entry per stage, variant and configuration, whatever the number of data sets."""
    return list({(v.stage, v.variant, str(v.config)): v for v in found}.values())


def models(paths: Iterable[Path]) -> list[Model]:
    """The facts of every model.json; StoreError names a file that cannot be read."""
    return [_model(path) for path in paths]


def _model(path: Path) -> Model:
    try:
        facts = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise StoreError(f"{path}: cannot be read ({error}); rerun its train job") from error
    return Model("/".join(path.parent.parts[-2:]), facts)


def as_yaml(value: Mapping[str, Any]) -> str:
    """A mapping as YAML for reading, every odd character made visible."""
    import yaml

    plain = json.loads(json.dumps(value, default=str))
    dumped = yaml.safe_dump(plain, sort_keys=False, allow_unicode=True, width=100)
    return visible(dumped, YAML_LIMIT)
