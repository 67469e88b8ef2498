"""The plan: which stores, shards and rows, without Snakemake."""

from pathlib import Path

import pytest
import yaml

import expressway.plan
from expressway import schema
from expressway.errors import ConfigError, ManifestError
from expressway.plan import Plan

ROOT = Path(__file__).parents[2]
FIELDS = "id,path,kind,video,start,end,subject,sha256,caption,emotion"


@pytest.fixture
def home(tmp_path, monkeypatch):
    """A project folder with ten one-byte clips in shards of four, and the tiny configuration."""
    monkeypatch.chdir(tmp_path)
    for name in ("config/methods", "config/prompts"):
        Path(name).parent.mkdir(exist_ok=True)
        Path(name).symlink_to(ROOT / name)
    Path("videos").mkdir()
    Path("data/tiny").mkdir(parents=True)
    Path("config/datasets").mkdir()
    rows = [
        f"c{i},c{i}.mp4,video,,,,s{i},,she smiles,{'joy' if i % 2 else 'fear'}" for i in range(10)
    ]
    for i in range(10):
        Path(f"videos/c{i}.mp4").write_bytes(bytes([i]))
    Path("data/tiny/manifest.csv").write_text("\n".join([FIELDS, *rows]) + "\n")
    splits = [f"c{i},folds,fold1,{'test' if i < 4 else 'train'}" for i in range(8)]
    Path("data/tiny/splits.csv").write_text(
        "\n".join(["clip_id,scheme,split,part", *splits]) + "\n"
    )
    dataset = {
        "manifest": "data/tiny/manifest.csv",
        "splits": "data/tiny/splits.csv",
        "root": "videos",
        "shard_size": 4,
        "labels": {"emotion": ["fear", "joy"]},
    }
    Path("config/datasets/tiny.yaml").write_text(yaml.safe_dump(dataset))
    return tmp_path


def plan(change=None):
    values = yaml.safe_load((ROOT / "tests/workflow/tiny.yaml").read_text())
    if change:
        change(values)
    return Plan(schema.check(values, "config.yaml"))


def test_stores_come_upstream_first_and_once(home):
    stores = plan().stores("tiny")
    assert len(stores) == len(set(stores))
    place = {pair: index for index, pair in enumerate(stores)}
    assert place["frames", "sparse"] < place["faces", "mediapipe"] < place["landmarks", "mediapipe"]
    assert place["captions", "action_units"] < place["text_embeddings", "refined"]


def test_shards_and_inputs(home):
    p = plan()
    assert p.dataset("tiny").shards == ["00000", "00001", "00002"]
    assert p.shard_inputs("tiny", "frames", "sparse", "00001") == []
    assert p.shard_inputs("tiny", "faces", "mediapipe", "00001") == [
        "results/tiny/frames/sparse/00001.parquet"
    ]


def test_training_reads_the_shards_of_its_split_only(home):
    p = plan()
    assert p.training_stores("linear", "fold1") == {
        "visual_features": [
            "results/tiny/visual_features/demo/00000.parquet",
            "results/tiny/visual_features/demo/00001.parquet",
        ]
    }
    tests = p.test_stores("linear", "supervised", "fold1")
    assert tests == {"visual_features": ["results/tiny/visual_features/demo/00000.parquet"]}
    assert [clip.id for clip, _ in p.test_rows("linear", "supervised", "fold1")] == [
        "c0",
        "c1",
        "c2",
        "c3",
    ]


def test_frames_that_are_not_kept_are_computed_inside_the_faces_job(home):
    kept = plan()
    p = plan(lambda c: c["stages"]["frames"]["sparse"].update(keep=False))
    assert ("frames", "sparse") not in p.stores("tiny")
    assert p.shard_inputs("tiny", "faces", "mediapipe", "00000") == []
    source = p.sources("tiny", "faces", "mediapipe", "00000")["frames"]
    assert source.path is None
    assert source.stage.name == "frames"
    before = p.rows("tiny", "faces", "mediapipe", "00000")
    assert before != kept.rows("tiny", "faces", "mediapipe", "00000")
    Path("videos/c1.mp4").write_bytes(b"other")
    again = plan(lambda c: c["stages"]["frames"]["sparse"].update(keep=False))
    assert again.rows("tiny", "faces", "mediapipe", "00000") != before
    assert kept.rows("tiny", "faces", "mediapipe", "00000") == plan().rows(
        "tiny", "faces", "mediapipe", "00000"
    )


def test_missing_files_stop_a_run_unless_their_stores_are_there(home):
    Path("videos/c1.mp4").unlink()
    with pytest.raises(ManifestError, match=r"manifest.csv, line 3: no file 'c1.mp4'"):
        plan().check_files()
    store = Path("results/tiny/frames/sparse/00000.parquet")
    store.parent.mkdir(parents=True)
    store.touch()
    plan().check_files()


def test_names_of_splits_are_checked(home):
    with pytest.raises(ConfigError, match="has the splits fold1; not fold9"):
        plan(lambda c: c["models"]["linear"].update(splits=["fold9"])).splits("linear")


def test_row_keys_change_with_what_a_row_is_made_of(home):
    before = plan().row_keys("tiny", "captions", "action_units", "00000")
    Path("videos/c1.mp4").write_bytes(b"other")
    after = plan().row_keys("tiny", "captions", "action_units", "00000")
    assert [a == b for a, b in zip(before, after, strict=True)] == [True, False, True, True]


def started(**changes):
    def change(values):
        first = {**values["models"]["linear"], **changes}
        values["models"]["second"] = {**values["models"]["linear"], "start_from": "first"}
        values["models"]["first"] = first

    return plan(change)


def test_a_run_starts_from_the_same_split_and_seed_or_the_only_run(home):
    p = started(seeds=[0, 1])
    assert p.start_folder("second", "fold1", 1) == "results/models/first/fold1-seed1"
    assert p.training_files("second", "fold1", 1)[-1] == (
        "results/models/first/fold1-seed1/model.safetensors"
    )
    assert p.start_folder("first", "fold1", 1) is None
    whole = started(scheme=None, seeds=[7])
    assert whole.start_folder("second", "fold1", 1) == "results/models/first/all-seed7"
    with pytest.raises(ConfigError, match="has the seeds 0, 1, and none is 5"):
        p.start_folder("second", "fold1", 5)


def test_a_model_is_made_of_what_it_starts_from(home):
    before = started().model_expectation("second", "fold1")
    assert started().model_expectation("second", "fold1") == before
    changed = started(recipe={"weight_decay": 0.5})
    assert changed.model_expectation("second", "fold1") != before


def test_imported_weights_count_by_their_content(home):
    def imported(values):
        values["models"]["linear"]["start_from"] = "weights/released"

    weights = Path("weights/released/model.safetensors")
    weights.parent.mkdir(parents=True)
    found = []
    for content in (b"one", b"another"):
        weights.write_bytes(content)
        expressway.plan.weights.cache_clear()
        found.append(plan(imported).model_expectation("linear", "fold1"))
    assert plan(imported).training_files("linear", "fold1", 0)[-1] == str(weights)
    assert found[0] != found[1]
