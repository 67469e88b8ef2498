"""Incremental runs are true: after each kind of change, exactly the right jobs would run."""

import csv
import json
import os
import re
import shutil

from project import only_stages

SHARDS = 3
ON_LANDMARKS = {"parsing": 1, "captions": 1, "text_embeddings": 1}
ON_FACES = {"landmarks": 1, "visual_features": 1, **ON_LANDMARKS}
# text_embeddings twice: of the manifest's captions and of the refined ones
SHARD = {"frames": 1, "faces": 1, **ON_FACES, "text_embeddings": 2, "teacher_embeddings": 1}


def times(number, jobs):
    return {rule: number * count for rule, count in jobs.items()}


def test_nothing_changed_nothing_to_do(project):
    assert project.jobs() == {}


def test_snakemakes_own_report(project):
    project.snakemake("--report", "snakemake.html")
    assert "results/report/index.html" in (project.folder / "snakemake.html").read_text()


def test_doorway_and_workflow_are_the_same(project):
    (project.folder / "results/report/index.html").unlink()
    jobs = project.jobs()
    assert jobs == {"report": 1}
    assert project.jobs("-s", "workflow/Snakefile") == jobs


def test_a_new_clip_makes_one_new_shard_and_trains_nothing(project):
    project.append_clip(0)
    jobs = project.jobs()
    assert only_stages(jobs) == SHARD
    assert "train" not in jobs
    assert "predict" not in jobs
    project.snakemake()
    assert project.jobs() == {}
    project.append_clip(1)
    assert only_stages(project.jobs()) == SHARD
    project.snakemake()
    logs = [path.read_text() for path in (project.folder / "logs/tiny").rglob("00003.log")]
    assert len(logs) == sum(SHARD.values())
    assert all("00003: 1 taken over, 1 computed" in log for log in logs)
    assert project.jobs() == {}


def test_a_new_clip_of_a_split_trains_that_split(project):
    project.append_clip(0, "train")
    jobs = project.jobs()
    assert only_stages(jobs) == SHARD
    assert jobs["train"] == 1


def test_a_replaced_file_makes_its_shard(project):
    clips = sorted((project.folder / "videos/clips").glob("*.mp4"))
    shutil.copy(clips[20], clips[3])
    # the manifest's captions are not read again: one of the two text_embeddings is left alone
    jobs = project.jobs()
    assert only_stages(jobs) == {"frames": 1, "faces": 1, **ON_FACES}
    assert jobs["train"] == 1
    project.snakemake()
    log = (project.folder / "logs/tiny/faces/mediapipe/00000.log").read_text()
    assert "faces 00000: 7 taken over, 1 computed" in log
    assert project.jobs() == {}


def test_a_clip_that_left_costs_no_row(project):
    path = project.folder / "data/tiny/manifest.csv"
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join([*lines[:3], *lines[4:]]))
    gone = lines[3].split(",")[0]
    splits = project.folder / "data/tiny/splits.csv"
    kept = [line for line in splits.read_text().splitlines(keepends=True) if gone not in line]
    splits.write_text("".join(kept))
    project.snakemake("--cores", "1")
    logs = [p.read_text() for p in (project.folder / "logs/tiny/faces/mediapipe").glob("*.log")]
    # a row that moves to the shard before it is found there, unless that was made again first
    assert all(re.search(" [01] computed", log) for log in logs), logs
    assert project.jobs() == {}


def test_a_touched_file_makes_nothing(project):
    os.utime(next((project.folder / "videos/clips").glob("*.mp4")))
    assert project.jobs() == {}


def rewrite(project, change):
    """Change rows of the manifest in place by a function on one row."""
    path = project.folder / "data/tiny/manifest.csv"
    with path.open(newline="") as handle:
        reader = csv.DictReader(handle)
        header, rows = reader.fieldnames, list(reader)
    for row in rows:
        if change(row):
            break
    with path.open("w", newline="") as handle:
        writer = csv.DictWriter(handle, header, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def test_a_corrected_label_runs_no_stage(project):
    def correct(row):
        if row["emotion"] == "happiness":
            row["emotion"] = "anger"
            return True
        return False

    rewrite(project, correct)
    jobs = project.jobs()
    assert only_stages(jobs) == {}
    assert jobs["train"] == 1
    assert jobs["predict"] >= 1


def test_a_corrected_caption_makes_its_text_embeddings_only(project):
    def correct(row):
        row["caption_2"] = "The brows go up."
        return True

    rewrite(project, correct)
    assert only_stages(project.jobs()) == {"text_embeddings": 1, "teacher_embeddings": 1}


def test_a_changed_stage_configuration(project):
    project.config(lambda c: c["stages"]["faces"]["mediapipe"].update(margin=0.2))
    jobs = only_stages(project.jobs())
    assert jobs == times(SHARDS, {"faces": 1, **ON_FACES})


def test_a_changed_caption_setting_makes_captions_and_what_reads_them(project):
    settings = {"action_units": {"seed": 7}}
    project.config(lambda c: c["stages"]["captions"]["action_units"].update(settings))
    jobs = only_stages(project.jobs())
    assert jobs == times(SHARDS, {"captions": 1, "text_embeddings": 1})


def test_how_fast_is_not_what(project):
    project.config(lambda c: c["stages"]["visual_features"]["demo"].update(batch_size=3))
    assert project.jobs() == {}
    assert project.jobs("--set-threads", "frames=1", "--set-resources", "train:mem_mb=9") == {}


def test_a_changed_recipe_trains_that_model(project):
    project.config(lambda c: c["models"]["linear"].update(recipe={"weight_decay": 0.5}))
    jobs = project.jobs()
    assert only_stages(jobs) == {}
    assert (jobs["train"], jobs["predict"]) == (1, 1)
    due = {"train": 1, "predict": 1, "evaluate": 1, "compare": 1, "tables": 1, "report": 1}
    assert jobs == due


def test_a_new_evaluation_trains_nothing(project):
    evaluation = {
        "protocol": "zero_shot",
        "models": ["clip"],
        "dataset": "tiny",
        "scheme": "folds",
        "prompts": "face",
    }
    project.config(lambda c: c["evaluations"].update(face=evaluation))
    jobs = project.jobs()
    assert "train" not in jobs
    assert (jobs["predict"], jobs["evaluate"]) == (1, 1)


def test_a_clone_is_current_as_it_is(project, tmp_path):
    clone = project.copy(tmp_path / "clone")
    shutil.rmtree(clone.folder / ".snakemake")
    shutil.rmtree(clone.folder / "state")
    for index, path in enumerate(sorted((clone.folder / "results").rglob("*"), reverse=True)):
        os.utime(path, (1_700_000_000 + index, 1_700_000_000 + index))
    assert clone.jobs() == {}
    printed = clone.expressway("adopt").stdout
    assert "file(s) adopted" in printed
    assert "not adopted" not in printed
    clone.config(lambda c: c["stages"]["landmarks"]["mediapipe"].update(minimum_valid=0.4))
    assert only_stages(clone.jobs()) == times(SHARDS, {"landmarks": 1, **ON_LANDMARKS})


def test_a_change_that_is_accepted_makes_nothing_due(project):
    project.config(lambda c: c["stages"]["faces"]["mediapipe"].update(margin=0.2))
    project.config(lambda c: c["models"]["linear"].update(recipe={"weight_decay": 0.5}))
    assert "configuration of faces: margin" in project.expressway("why").stdout
    printed = project.expressway("adopt").stdout
    assert "not adopted: results/tiny/faces/mediapipe/00000.parquet: configuration" in printed
    assert "on your word" in project.expressway("adopt", "--accept", "faces").stdout
    assert project.jobs()["train"] == 1
    assert only_stages(project.jobs()) == {}
    project.expressway("adopt", "--accept", "linear")
    assert project.jobs() == {}
    ledger = (project.folder / "state/accepted.jsonl").read_text().splitlines()
    assert [json.loads(line)["name"] for line in ledger] == ["faces", "faces", "linear"]
    # what a grown shard holds counts, too
    project.append_clip(0)
    project.append_clip(1)
    project.snakemake()
    project.append_clip(2)
    project.snakemake()
    log = (project.folder / "logs/tiny/faces/mediapipe/00003.log").read_text()
    assert "2 taken over, 1 computed" in log
