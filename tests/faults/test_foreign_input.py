"""Readers of foreign input meet anything: they return, or raise an error of ours; nothing else.

Hypothesis draws the inputs, always the same ones. What it found is a plain example below each test.
"""

import json
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from expressway.core.config import read_yaml
from expressway.core.errors import ConfigError, ExpresswayError, ManifestError
from expressway.core.manifest import DatasetConfig, read_manifest, read_splits
from expressway.core.model_card import CARD, ModelCard
from expressway.data.importers import list_files
from expressway.data.importers import table as table_importer
from expressway.language.captioners import requests
from expressway.language.captioners.openai import read_answer

bounded = settings(
    max_examples=150,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
DATASET = DatasetConfig(manifest="m.csv", root=".", labels={"emotion": ["joy", "anger"]})
CELLS = st.sampled_from(
    [
        "",
        "a",
        "a/b.mp4",
        "../x",
        "/etc/passwd",
        "joy",
        "Joy",
        "1e400",
        "nan",
        "-1",
        "a,b",
        '"',
        "\0",
    ]
) | st.text(max_size=12)
LINES = st.lists(st.lists(CELLS, max_size=6).map(",".join), max_size=6).map("\n".join)
HEADERS = st.sampled_from(["id,path,emotion", "id,path,emotion,start,end,kind", "id,id", ""])
TABLES = st.builds(lambda head, body: f"{head}\n{body}".encode(errors="replace"), HEADERS, LINES)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=8,
)


def write(folder: Path, name: str, data: bytes) -> Path:
    path = folder / name
    path.write_bytes(data)
    return path


def told(reader, *arguments):
    """Return what a reader returns, or its error; only errors of ours pass."""
    try:
        return reader(*arguments)
    except ExpresswayError as error:
        return error


@bounded
@given(data=TABLES | st.binary(max_size=60))
@example(data=b"id,path,emotion\na,b.mp4,joy\n")
def test_manifests(tmp_path, data):
    path = write(tmp_path, "m.csv", data)
    found = told(read_manifest, path, DATASET)
    if isinstance(found, list):
        assert all(clip.id and clip.path and ".." not in clip.path for clip in found)
    else:
        assert isinstance(found, ManifestError)
        assert str(path) in str(found)


@bounded
@given(data=st.binary(max_size=60))
def test_manifests_named_parquet(tmp_path, data):
    path = write(tmp_path, "m.parquet", data)
    with pytest.raises(ManifestError, match="m.parquet"):
        read_manifest(path, DATASET)


@bounded
@given(data=TABLES | st.binary(max_size=60))
@example(data=b"clip_id,scheme,split,part\n")
def test_split_files(tmp_path, data):
    path = write(tmp_path, "s.csv", data)
    found = told(read_splits, path, [])
    assert found == [] or str(path) in str(found)


@bounded
@given(data=TABLES | st.binary(max_size=60))
@example(data=b"path,emotion\na.mp4,joy\n")
def test_imported_tables(tmp_path, data):
    path = write(tmp_path, "t.csv", data)
    assert told(table_importer.scan, path, None, ["emotion"], [], None)


@bounded
@given(data=st.lists(CELLS, max_size=4).map(" ".join).map(str.encode) | st.binary(max_size=60))
@example(data=b"a/b 16 1\n")
@example(data=b"a/b sixteen 1\n")
def test_list_files(tmp_path, data):
    path = write(tmp_path, "DFEW_set_1_train.txt", data)
    assert told(list_files.scan, [path], tmp_path)


@bounded
@given(facts=JSON)
@example(facts=[1])
@example(facts=None)
@example(facts={"model": "m"})
def test_model_cards(tmp_path, facts):
    write(tmp_path, CARD, json.dumps(facts).encode())
    with pytest.raises(ConfigError, match=CARD):
        ModelCard.read(tmp_path)


@bounded
@given(name=st.sampled_from(list(ModelCard.__dataclass_fields__)), value=JSON)
@example(name="prompts", value=[1])
@example(name="labels", value=3)
def test_model_cards_with_one_odd_value(tmp_path, name, value):
    facts = dict.fromkeys(ModelCard.__dataclass_fields__, "x") | {
        "recipe": {},
        "backbone": {},
        "labels": ["joy"],
        "targets": [],
        "prompts": {"joy": ["a smile"]},
    }
    write(tmp_path, CARD, json.dumps(facts | {name: value}).encode())
    found = told(ModelCard.read, tmp_path)
    assert isinstance(found, ModelCard) or CARD in str(found)


@bounded
@given(data=st.binary(max_size=60) | st.text(max_size=40).map(str.encode))
@example(data=b"!!python/object/apply:os.system [id]")
def test_yaml(tmp_path, data):
    path = write(tmp_path, "c.yaml", data)
    found = told(read_yaml, path)
    assert isinstance(found, dict) or str(path) in str(found)


MESSAGES = JSON | st.builds(lambda content: {"content": content}, JSON)
CHOICES = JSON | st.builds(lambda message: [{"message": message}], MESSAGES)


@bounded
@given(answer=JSON | st.builds(lambda choices: {"choices": choices}, CHOICES))
@example(answer={"choices": [{"message": {"content": "The lips part."}}]})
def test_answers_of_caption_servers(answer):
    try:
        parsed = requests._parsed(json.dumps(answer).encode())
    except requests.Trouble:
        return  # asked again, then a row with a status
    assert isinstance(read_answer(parsed).text, str)
