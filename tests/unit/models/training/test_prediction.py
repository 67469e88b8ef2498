"""Predictions: every clip asked for, the model's own classes and backbone, nothing else."""

import feature_world
import pytest
from feature_world import LABELS

from expressway.core.errors import ConfigError
from expressway.core.store import read_footer, read_table
from expressway.models import training
from expressway.models.prediction import scores as prediction


@pytest.fixture(scope="module")
def trained(world, tmp_path_factory):
    """A probe and an EmoCLIP, trained once."""
    folder = tmp_path_factory.mktemp("models")
    for name, protocol in (("linear", "supervised"), ("emoclip", "zero_shot")):
        training.train(world.train_spec(name, protocol), folder / name, folder / "state" / name)
    return folder


def scores(path) -> dict[str, list[float]]:
    return {row["clip_id"]: row["scores"] for row in read_table(path).to_pylist()}


def test_a_clip_in_two_test_parts_has_two_rows_with_the_same_scores(world, trained, tmp_path):
    rows = [(world.clips[0], "fold1"), (world.clips[1], "fold1"), (world.clips[0], "fold2")]
    spec = world.predict_spec("supervised", rows=rows)
    table = prediction.predict(trained / "linear", spec, tmp_path / "p.parquet")
    found = read_table(table).to_pylist()
    assert [(row["clip_id"], row["split"]) for row in found] == [(c.id, s) for c, s in rows]
    assert found[0]["scores"] == found[2]["scores"]


def test_the_footer_carries_what_the_evaluation_will_say(world, trained, tmp_path):
    spec = world.predict_spec()
    footer = read_footer(prediction.predict(trained / "emoclip", spec, tmp_path / "p.parquet"))
    assert footer["labels"] == list(LABELS)
    expected = {
        "model": "my-emoclip",
        "method": "emoclip",
        "split": "fold1",
        "seed": 3,
        "protocol": "zero_shot",
        "prompts": "expression",
        "selection": "last epoch",
    }
    assert {key: footer[key] for key in expected} == expected
    assert footer["parameters"]["total"] > footer["parameters"]["trainable"] > 0


def test_other_classes_can_be_asked_of_a_model_that_reads_texts(world, trained, tmp_path):
    labels = ("joy", "grief")
    prompts = {"joy": ("a face of joy",), "grief": ("a face of grief", "grief")}
    spec = world.predict_spec(labels=labels, prompts=prompts)
    table = prediction.predict(trained / "emoclip", spec, tmp_path / "p.parquet")
    assert {row["prediction"] for row in read_table(table).to_pylist()} <= {*labels, None}
    assert len(next(s for s in scores(table).values() if s)) == 2


def test_a_probe_keeps_its_classes(world, trained, tmp_path):
    spec = world.predict_spec("supervised", labels=tuple(reversed(LABELS)))
    with pytest.raises(ConfigError, match="trained for the classes happiness, sadness, anger"):
        prediction.predict(trained / "linear", spec, tmp_path / "p.parquet")


def test_prediction_does_not_depend_on_the_batch_size(world, trained, tmp_path):
    tables = [
        prediction.predict(
            trained / "emoclip", world.predict_spec(batch_size=size), tmp_path / f"{size}.parquet"
        )
        for size in (1, 5, 256)
    ]
    first = scores(tables[0])
    for table in tables[1:]:
        for clip, values in scores(table).items():
            # other batch sizes add up in another order: fp32 rounding times a scale near 14
            assert values == (None if first[clip] is None else pytest.approx(first[clip], abs=1e-4))


def test_features_of_another_backbone_are_refused(world, trained, tmp_path):
    other = feature_world.make(tmp_path / "other")
    with pytest.raises(ConfigError, match="store was made with backbone"):
        prediction.predict(
            trained / "linear",
            world.predict_spec("supervised", stores=other.stores),
            tmp_path / "p.parquet",
        )


def test_changed_backbone_weights_are_refused(tmp_path):
    world = feature_world.make(tmp_path / "world")
    training.train(world.train_spec("emoclip"), tmp_path / "model", tmp_path / "state")
    folder = tmp_path / "world/backbone"
    for file in folder.iterdir():
        file.unlink()
    folder.rmdir()
    feature_world.write_backbone(folder, seed=1)
    with pytest.raises(ConfigError, match="has sha256 .* was trained with"):
        prediction.predict(tmp_path / "model", world.predict_spec(), tmp_path / "p.parquet")


def test_a_folder_without_a_model_is_named(world, tmp_path):
    with pytest.raises(ConfigError, match="no model here"):
        prediction.predict(tmp_path, world.predict_spec(), tmp_path / "p.parquet")
