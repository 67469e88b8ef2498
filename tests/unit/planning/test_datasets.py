"""Class schemes: splits into known and unknown classes on top of the splits of the clips."""

from pathlib import Path

import pytest
import yaml

from expressway.core.errors import ConfigError
from expressway.planning import settings as schema
from expressway.planning.datasets import read_dataset
from expressway.planning.plan import Plan

CLASSES = ["happiness", "sadness", "anger"]


def settings(folder: Path, **class_scheme) -> schema.Settings:
    rows = [(f"c{n}", CLASSES[n % 3], "test" if n >= 6 else "train") for n in range(9)]
    manifest = "id,path,kind,video,start,end,subject,sha256,emotion\n"
    manifest += "".join(f"{i},{i}.mp4,video,,,,,,{label}\n" for i, label, _ in rows)
    splits = "clip_id,scheme,split,part\n"
    splits += "".join(f"{i},folds,fold1,{part}\n" for i, _, part in rows)
    splits += "".join(f"{i},folds,fold2,train\n" for i, _, _ in rows)
    (folder / "manifest.csv").write_text(manifest)
    (folder / "splits.csv").write_text(splits)
    for number in range(9):
        (folder / f"c{number}.mp4").write_bytes(bytes([number]))
    described = {
        "manifest": str(folder / "manifest.csv"),
        "splits": str(folder / "splits.csv"),
        "root": str(folder),
        "labels": {"emotion": CLASSES},
        "class_schemes": {"open": {"scheme": "folds", **class_scheme}},
    }
    (folder / "mine.yaml").write_text(yaml.safe_dump(described))
    return schema.check(
        {
            "datasets": ["mine"],
            "dataset_folder": str(folder),
            "stages": {"frames": {"native": {}}, "faces": {"all": {"frames": "native"}},
                       "visual_features": {"tiny": {"faces": "all"}}},
            "models": {"probe": {"method": "linear", "dataset": "mine", "protocol": "open_set",
                                 "scheme": "open", "stores": {"visual_features": "tiny"}}},
            "evaluations": {"open": {"protocol": "open_set", "models": ["probe"],
                                     "dataset": "mine"}},
        },
        "test",
    )  # fmt: skip


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_training_sees_known_classes_only_and_the_test_part_all(tmp_path) -> None:
    known = {"open-0": ["anger", "happiness"], "open-1": ["sadness"]}
    plan = Plan(settings(tmp_path, known=known, splits=["fold1"]))
    assert plan.models.splits("probe") == ["open-0", "open-1"]
    # in the data set's order, whatever the order in the scheme
    assert plan.models.labels("probe", "open-0") == ("happiness", "anger")
    assert plan.evaluations.test_labels("probe", "open", "open-0") == ("happiness", "anger")
    members = plan.models.members("probe", "open-0")
    assert {i for i, part in members.items() if part == "train"} == {"c0", "c2", "c3", "c5"}
    tested = [clip.id for clip, _ in plan.evaluations.test_rows("probe", "open", "open-0")]
    assert tested == ["c6", "c7", "c8"]
    assert plan.models.rows("probe", "open-0") != plan.models.rows("probe", "open-1")


def test_several_splits_of_the_clips_are_named_behind(tmp_path) -> None:
    plan = Plan(settings(tmp_path, known={"open-0": ["anger"]}))
    assert plan.models.splits("probe") == ["open-0-fold1", "open-0-fold2"]
    assert set(plan.models.members("probe", "open-0-fold2")) == {"c2", "c5", "c8"}


def test_names_that_lead_nowhere_are_listed_at_once(tmp_path) -> None:
    made = settings(tmp_path, known={"open-0": ["angr"]}, splits=["fold9"])
    with pytest.raises(ConfigError) as error:
        read_dataset(made, "mine")
    assert "class_schemes.open.splits: folds has no split 'fold9'" in str(error.value)
    assert "no class 'angr' of emotion" in str(error.value)
    assert "anger" in str(error.value)


def test_regression_and_nothing_else_names_targets(tmp_path) -> None:
    data = settings(tmp_path, known={"open-0": ["anger"]}).model_dump()
    data["models"]["probe"]["targets"] = ["severity"]
    with pytest.raises(ConfigError, match=r"models\.probe\.targets: regression, and only it"):
        schema.check(data, "test")


def across(folder: Path, **unknown) -> Plan:
    """The settings above with a second data set, of the same clips, that plays the unknown."""
    values = settings(folder, known={"open-0": ["happiness", "anger"]}, splits=["fold1"])
    described = yaml.safe_load((folder / "mine.yaml").read_text())
    described["labels"] = {"emotion": [*CLASSES, "contempt"]}
    text = (
        (folder / "manifest.csv")
        .read_text()
        .replace("c1,c1.mp4,video,,,,,,sadness", "c1,c1.mp4,video,,,,,,contempt")
    )
    (folder / "others.csv").write_text(text)
    described |= {"manifest": str(folder / "others.csv"), "class_schemes": {}}
    (folder / "others.yaml").write_text(yaml.safe_dump(described))
    data = values.model_dump()
    data["evaluations"]["open"]["unknown"] = {"dataset": "others", **unknown}
    return Plan(schema.check(data, "test"))


def names(rows) -> list[str]:
    return [clip.id for clip, _ in rows]


def test_unknown_clips_may_come_from_another_set(tmp_path) -> None:
    plan = across(tmp_path)
    asked = ("probe", "open", "open-0")
    # c7 shows sadness, an unknown class of the first set: another set is to bring these
    assert names(plan.evaluations.test_rows(*asked)) == ["c6", "c8"]
    assert names(plan.evaluations.unknown_rows(*asked)) == ["c1", "c4", "c7"]
    assert {split for _, split in plan.evaluations.unknown_rows(*asked)} == {"open-0"}
    assert plan.evaluations.test_labels(*asked) == ("happiness", "anger")
    assert plan.evaluations.shards(*asked)["others"] == [
        ("others", "visual_features", "tiny", "00000")
    ]
    assert ("visual_features", "tiny") in plan.stores.of_dataset("others")


def test_a_scheme_narrows_the_unknown_clips_to_its_test_part(tmp_path) -> None:
    plan = across(tmp_path, scheme="folds")
    assert names(plan.evaluations.unknown_rows("probe", "open", "open-0")) == ["c7"]
    whole = across(tmp_path)
    both = [p.evaluations.expectation("probe", "open", "open-0") for p in (plan, whole)]
    assert both[0] != both[1]


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"protocol": "supervised"}, "evaluations.open.unknown: only open_set"),
        ({"unknown": {"dataset": "mine"}}, "evaluations.open.unknown.dataset: name another"),
    ],
)
def test_unknown_clips_of_nowhere_are_refused(tmp_path, change, problem) -> None:
    data = settings(tmp_path, known={"open-0": ["anger"]}).model_dump()
    data["evaluations"]["open"] |= {"unknown": {"dataset": "others"}, **change}
    with pytest.raises(ConfigError, match=problem):
        schema.check(data, "test")
