"""The plan: which stores, shards and rows, without Snakemake."""

from pathlib import Path

import pytest
import yaml

from expressway.core.errors import ConfigError, ManifestError
from expressway.planning import settings, stores
from expressway.planning.outputs import Outputs
from expressway.planning.plan import Plan

ROOT = Path(__file__).parents[3]
FIELDS = "id,path,kind,video,start,end,subject,sha256,caption,emotion"


@pytest.fixture
def home(tmp_path, monkeypatch):
    """A project folder with ten one-byte clips in shards of four, and the tiny configuration."""
    monkeypatch.chdir(tmp_path)
    Path("config").mkdir()
    Path("config/prompts").symlink_to(ROOT / "config/prompts")
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
    return Plan(settings.check(values, "config.yaml"))


def inputs(found, *shard):
    return [above.path for above in Outputs(found).shard(*shard).inputs()]


def test_stores_come_upstream_first_and_once(home):
    found = plan().stores.of_dataset("tiny")
    assert len(found) == len(set(found))
    place = {pair: index for index, pair in enumerate(found)}
    assert place["frames", "sparse"] < place["faces", "mediapipe"] < place["landmarks", "mediapipe"]
    assert place["captions", "action_units"] < place["text_embeddings", "refined"]


def test_shards_and_inputs(home):
    p = plan()
    assert p.dataset("tiny").shards == ["00000", "00001", "00002"]
    assert inputs(p, "tiny", "frames", "sparse", "00001") == []
    assert inputs(p, "tiny", "faces", "mediapipe", "00001") == [
        "results/tiny/frames/sparse/00001.parquet"
    ]


def test_training_reads_the_shards_of_its_split_only(home):
    p = plan()
    features = ("tiny", "visual_features", "demo")
    # c0 to c3 are tested, c4 to c7 are trained on
    assert p.models.shards("linear", "fold1") == [(*features, "00001")]
    tests = p.evaluations.shards("linear", "supervised", "fold1")
    assert tests == {"tiny": [(*features, "00000")]}
    rows = p.evaluations.test_rows("linear", "supervised", "fold1")
    assert [clip.id for clip, _ in rows] == ["c0", "c1", "c2", "c3"]


def test_frames_that_are_not_kept_are_computed_inside_the_faces_job(home):
    kept = plan()
    p = plan(lambda c: c["stages"]["frames"]["sparse"].update(keep=False))
    assert ("frames", "sparse") not in p.stores.of_dataset("tiny")
    assert inputs(p, "tiny", "faces", "mediapipe", "00000") == []
    source = p.stores.sources("tiny", "faces", "mediapipe", "00000")["frames"]
    assert source.path is None
    assert source.stage.name == "frames"
    shard = ("tiny", "faces", "mediapipe", "00000")
    before = [each.stores.row_keys(*shard) for each in (p, kept)]
    rows = kept.stores.rows(*shard)
    Path("videos/c1.mp4").write_bytes(b"other")
    again = plan(lambda c: c["stages"]["frames"]["sparse"].update(keep=False))
    # where frames have a store, their content decides; else the files
    assert changed(before[0], again.stores.row_keys(*shard)) == [1]
    assert changed(before[1], plan().stores.row_keys(*shard)) == []
    assert plan().stores.rows(*shard) != rows


def changed(before, after):
    return [index for index, pair in enumerate(zip(before, after, strict=True)) if len({*pair}) > 1]


def test_missing_files_stop_a_run_unless_their_stores_are_there(home):
    Path("videos/c1.mp4").unlink()
    with pytest.raises(ManifestError, match=r"manifest.csv, line 3: no file 'c1.mp4'"):
        plan().stores.check_files()
    store = Path("results/tiny/frames/sparse/00000.parquet")
    store.parent.mkdir(parents=True)
    store.touch()
    plan().stores.check_files()


def test_names_of_splits_are_checked(home):
    with pytest.raises(ConfigError, match="has the splits fold1; not fold9"):
        plan(lambda c: c["models"]["linear"].update(splits=["fold9"])).models.splits("linear")


def test_row_keys_change_with_what_a_row_is_made_of(home):
    shard = ("tiny", "frames", "sparse", "00000")
    before = plan().stores.row_keys(*shard)
    Path("videos/c1.mp4").write_bytes(b"other")
    assert changed(before, plan().stores.row_keys(*shard)) == [1]


def test_variants_that_are_equal_share_a_store(home):
    def twice(values):
        values["stages"]["frames"]["full"] = dict(values["stages"]["frames"]["sparse"])
        values["stages"]["faces"]["again"] = {"frames": "full", "detector": "mediapipe"}
        values["stages"]["faces"]["other"] = {"frames": "full", "margin": 0.3}
        values["prepare"] += ["frames/full", "faces/again", "faces/other"]

    found = plan(twice).stores.of_dataset("tiny")
    assert [pair for pair in found if pair[0] in ("frames", "faces")] == [
        ("frames", "sparse"),
        ("faces", "mediapipe"),
        ("faces", "other"),
    ]
    assert inputs(plan(twice), "tiny", "faces", "other", "00000") == [
        "results/tiny/frames/sparse/00000.parquet"
    ]


def test_the_name_of_a_variant_decides_nothing(home):
    def renamed(values):
        values["stages"]["faces"]["found"] = values["stages"]["faces"].pop("mediapipe")
        for stage in ("landmarks", "parsing", "visual_features"):
            for variant in values["stages"][stage].values():
                variant["faces"] = "found"

    names = ("tiny", "landmarks", "mediapipe")
    assert plan(renamed).stores.fingerprint(*names) == plan().stores.fingerprint(*names)


def started(**changes):
    def change(values):
        first = {**values["models"]["linear"], **changes}
        values["models"]["second"] = {**values["models"]["linear"], "start_from": "first"}
        values["models"]["first"] = first

    return plan(change)


def test_a_run_starts_from_the_same_split_and_seed_or_the_only_run(home):
    p = started(seeds=[0, 1])
    assert p.models.start_folder("second", "fold1", 1) == "results/models/first/fold1-seed1"
    last = Outputs(p).model("second", "fold1", 1).inputs()[-1]
    assert last.path == "results/models/first/fold1-seed1/model.json"
    assert p.models.start_folder("first", "fold1", 1) is None
    whole = started(scheme=None, seeds=[7])
    assert whole.models.start_folder("second", "fold1", 1) == "results/models/first/all-seed7"
    with pytest.raises(ConfigError, match="has the seeds 0, 1, and none is 5"):
        p.models.start_folder("second", "fold1", 5)


def test_a_model_is_made_of_what_it_starts_from(home):
    before = started().models.expectation("second", "fold1")
    assert started().models.expectation("second", "fold1") == before
    changed = started(recipe={"weight_decay": 0.5})
    assert changed.models.expectation("second", "fold1") != before


def test_imported_weights_count_by_their_content(home):
    def imported(values):
        values["models"]["linear"]["start_from"] = "weights/released"

    weights = Path("weights/released/model.safetensors")
    weights.parent.mkdir(parents=True)
    found = []
    for content in (b"one", b"another"):
        weights.write_bytes(content)
        stores.weights.cache_clear()
        found.append(plan(imported).models.expectation("linear", "fold1"))
    assert found[0] != found[1]


def expectations(name="linear"):
    return plan().models.expectation(name, "fold1")


def rewrite(old, new, file="data/tiny/manifest.csv"):
    text = Path(file).read_text()
    assert old in text
    Path(file).write_text(text.replace(old, new))


def test_a_training_depends_on_the_rows_columns_and_parts_that_it_reads(home):
    before = expectations()
    rewrite("c0.mp4,video,,,,s0,,she smiles,fear", "c0.mp4,video,,,,s0,,she smiles,joy")
    assert expectations() == before, "c0 is only tested"
    Path("videos/c99.mp4").write_bytes(b"new")
    with Path("data/tiny/manifest.csv").open("a") as handle:
        handle.write("c99,c99.mp4,video,,,,s9,,she smiles,joy\n")
    assert expectations() == before, "c99 stands in no split"
    rewrite("c5.mp4,video,,,,s5,,she smiles", "c5.mp4,video,,,,s5,,he smiles")
    assert expectations() == before, "linear reads no caption"
    rewrite("c5.mp4,video,,,,s5,,he smiles,joy", "c5.mp4,video,,,,s5,,he smiles,fear")
    corrected = expectations()
    assert corrected != before
    Path("videos/c6.mp4").write_bytes(b"other")
    assert expectations() != corrected
