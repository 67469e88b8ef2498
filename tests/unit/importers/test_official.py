"""Each official layout becomes the right rows, names, splits and captions; odd copies are told."""

import random
from importlib import import_module
from pathlib import Path

import pytest
from official_layouts import BASIC, EIGHT, ELEVEN, LAYOUTS, affectnet_lists, hesp_lists

from expressway.config import read_yaml, validate
from expressway.errors import ManifestError
from expressway.importers.write import write
from expressway.manifest import DatasetConfig, read_manifest, read_splits


def scan(name, root, **options):
    return import_module(f"expressway.importers.{name}").scan(root, **options)


def read(name):
    config = validate(DatasetConfig, read_yaml(Path(f"config/datasets/{name}.yaml")))
    clips = read_manifest(Path(config.manifest), config)
    return config, clips, read_splits(Path(config.splits), clips)


def check(name, truth, root, **options):
    """Import a generated folder and compare everything that was written with what it holds."""
    done = write(name, scan(name, root, **options), 256)
    config, clips, splits = read(name)
    assert done.added == len(truth)
    assert {c.id: c.path for c in clips} == {i: t.path for i, t in truth.items()}
    assert {c.id: dict(c.labels) for c in clips} == {i: t.labels for i, t in truth.items()}
    assert {c.id: c.captions for c in clips} == {
        i: (t.caption,) if t.caption else () for i, t in truth.items()
    }
    found = {(r.clip_id, r.scheme, r.split): r.part for r in splits}
    assert found == {
        (i, scheme, split): part for i, t in truth.items() for (scheme, split), part in t.parts.items()
    }
    assert not Path(config.manifest).is_absolute()
    assert all(c.sha256 for c in clips)
    return config, clips


@pytest.mark.parametrize("name", LAYOUTS)
def test_layout(name, tmp_path):
    truth = LAYOUTS[name](tmp_path / name)
    config, clips = check(name, truth, tmp_path / name)
    kinds = {"dfew": "frames", "ferv39k": "frames", "mafw": "video", "afew": "video"}
    assert {c.kind for c in clips} == {kinds.get(name, "image")}
    orders = {"mafw": ELEVEN, "affectnet": EIGHT, "ferplus": EIGHT}
    assert tuple(config.labels["emotion"]) == orders.get(name, BASIC)
