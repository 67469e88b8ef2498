"""What becomes due by an edit and by a removal: on the default target, counted by Snakemake."""

import shutil

import pytest

SHARDS = 3
CAPTIONS = {"captions": 3, "text_embeddings": 3, "coverage": 2, "report": 1}
EXTRA = "\n\n\ndef extra():\n    return 1\n\n\n"
TRAINED = {"train": 1, "predict": 1, "evaluate": 1, "compare": 1, "tables": 1, "report": 1}

# what is edited: file below src/expressway, text, its replacement, the jobs that become due
EDITS = {
    "a comment": ("stages/frames.py", "STAGE = Stage(", "# why\nSTAGE = Stage(", {}),
    "a docstring": ("faces/align.py", '"""', '"""Prose: ', {}),
    "a message of an error": ("core/devices.py", "GPUs were asked for", "GPUs were wanted", {}),
    "a message where it is computed": ("faces/pictures.py", "that are no image", "of nothing", {}),
    "a progress line": ("models/training/machine/progress.py", "LINES = 10", "LINES = 20", {}),
    "an import": ("faces/track.py", "import numpy", "import json\nimport numpy", {}),
    "a limit of speed": ("media/machine/shared_runs.py", "SECONDS = 60.0", "SECONDS = 61.0", {}),
    "a poll interval": ("core/subprocesses.py", "POLL_SECONDS = 0.05", "POLL_SECONDS = 0.06", {}),
    "an unused function": (
        "faces/track.py",
        "\n\n\n",
        EXTRA,
        {},
    ),
    "a rule of sampling that no model here follows": (
        "data/sampling.py",
        "def every_kth(",
        "def every_second():\n    return 2\n\n\ndef every_kth(",
        {},
    ),
    "how much memory a job asks for": ("stages/frames.py", "memory_mb=2000", "memory_mb=2001", {}),
    "a constant that decides": ("faces/movements.py", "SHUT = 0.5", "SHUT = 0.6", CAPTIONS),
    "a method's loss": ("methods/linear/model.py", "weight_decay / 2", "weight_decay / 3", TRAINED),
}


@pytest.fixture(scope="module")
def edited(finished, tmp_path_factory):
    return finished.copy(tmp_path_factory.mktemp("edited") / "project")


@pytest.mark.parametrize("name", EDITS)
def test_an_edit_makes_due_what_it_decides(edited, name):
    file, old, new, due = EDITS[name]
    path = edited.folder / "src/expressway" / file
    before = path.read_text()
    assert old in before
    path.write_text(before.replace(old, new, 1))
    try:
        assert edited.jobs() == due
    finally:
        path.write_text(before)


@pytest.mark.parametrize("stages", [["frames"], ["frames", "faces"]], ids=" and ".join)
def test_stores_that_are_removed_are_made_again_for_who_must_read_them(project, stages):
    for stage in stages:
        shutil.rmtree(project.folder / f"results/tiny/{stage}")
    assert project.jobs() == {}
    project.config(lambda c: c["models"]["linear"].update(recipe={"weight_decay": 0.5}))
    assert project.jobs() == TRAINED
    project.config(lambda c: c["stages"]["landmarks"]["mediapipe"].update(minimum_valid=0.4))
    again = stages if "faces" in stages else []
    made = [*again, "landmarks", "parsing", "captions", "text_embeddings"]
    assert project.jobs() == {**TRAINED, **dict.fromkeys(made, SHARDS), "coverage": 4}
    project.snakemake()
    # what came out the same makes nothing stale
    assert project.jobs() == {}
    report = (project.folder / "results/report/index.html").read_text()
    assert "24 of 24 clips went through every stage" in report


def test_what_is_asked_for_is_made_again(project):
    shutil.rmtree(project.folder / "results/models/linear")
    assert project.jobs() == {"train": 1}
    project.snakemake()
    assert project.jobs() == {}
    shutil.rmtree(project.folder / "results/tiny/coverage")
    assert project.jobs() == {"coverage": 9}


def test_a_forced_run_keeps_its_order(project):
    jobs = project.jobs("--forceall")
    assert jobs["frames"] == SHARDS
    assert jobs["train"] == 2


def test_why_names_the_cause(project):
    assert project.expressway("why").stdout == "nothing to do: every output is current\n"
    path = project.folder / "src/expressway/faces/movements.py"
    text = path.read_text()
    path.write_text(text.replace("SHUT = 0.5", "SHUT = 0.6"))
    said = project.expressway("why").stdout
    assert "code of captions: expressway.faces.movements" in said
    assert "3 captions" in said
    assert len(said.splitlines()) < 10
    path.write_text(text)

    project.config(lambda c: c["stages"]["faces"]["mediapipe"].update(margin=0.2))
    said = project.expressway("why", "results/tiny/visual_features/demo/00001.parquet").stdout
    assert said.splitlines() == [
        "results/tiny/visual_features/demo/00001.parquet:",
        "  upstream: faces",
        "  results/tiny/faces/mediapipe/00001.parquet:",
        "    configuration: margin",
    ]
    project.config(lambda c: c["stages"]["faces"]["mediapipe"].pop("margin"))

    project.append_clip(0, "train")
    said = project.expressway("why", "linear").stdout
    assert "rows: rows of the manifest or the splits" in said
