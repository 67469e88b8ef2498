"""A tiny model of each family goes through the command that a user types with a real one."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny_segformer
import tiny_teachers
import yaml

from expressway.core.store import ShardReader
from expressway.data import demo
from expressway.faces.parsing import decode_mask

ROOT = Path(__file__).parents[2]
CLIPS = 3


def command(folder: Path, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [sys.executable, "-m", "expressway", *arguments],
        cwd=folder,
        env={**os.environ, "HF_HUB_OFFLINE": "1", "CUDA_VISIBLE_DEVICES": ""},
        capture_output=True,
        text=True,
        timeout=300,
    )
    if check and done.returncode:
        raise AssertionError(f"{arguments}: exit {done.returncode}\n{done.stdout}{done.stderr}")
    return done


def stage(folder: Path, name: str, variant: str, check: bool = True) -> Any:
    wanted = ("--dataset", "small", "--variant", variant, "--shard", "00000")
    return command(folder, "stage", name, *wanted, check=check)


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a few rendered clips, tiny models, and stores up to the landmarks."""
    folder = tmp_path_factory.mktemp("project")
    demo.create(folder / "data" / "small", CLIPS, seed=7)
    tiny_segformer.save(folder / "models" / "segformer")
    tiny_teachers.save(folder / "models" / "blip2", "blip2")
    tiny_teachers.save(folder / "models" / "instructblip", "instructblip")
    stages = {
        "frames": {"native": {"maximum": 4}},
        "faces": {"mediapipe": {"frames": "native"}},
        "landmarks": {"mediapipe": {"faces": "mediapipe"}},
        "parsing": {
            "regions": {"faces": "mediapipe", "landmarks": "mediapipe"},
            "segformer": {
                "parser": "transformers", "faces": "mediapipe", "model": "models/segformer",
            },
            "facexformer": {"parser": "import", "faces": "mediapipe", "folder": "saved"},
        },
        "teacher_embeddings": {
            kind: {"teacher": "blip2", "faces": "mediapipe", "model": f"models/{kind}", "frames": 2}
            for kind in ("blip2", "instructblip")
        },
    }  # fmt: skip
    config = folder / "config"
    (config / "datasets").mkdir(parents=True)
    (config / "config.yaml").write_text(yaml.safe_dump({"datasets": ["small"], "stages": stages}))
    known = yaml.safe_load((ROOT / "config" / "datasets" / "demo.yaml").read_text())
    dataset = {key: known[key] for key in ("labels", "targets")}
    dataset |= {"manifest": "data/small/manifest.csv", "root": "data/small"}
    (config / "datasets" / "small.yaml").write_text(yaml.safe_dump(dataset))
    for name, variant in (
        ("frames", "native"),
        ("faces", "mediapipe"),
        ("landmarks", "mediapipe"),
        ("parsing", "regions"),
    ):
        stage(folder, name, variant)
    return folder


def store(folder: Path, name: str, variant: str) -> ShardReader:
    return ShardReader(folder / "results" / "small" / name / variant / "00000.parquet")


def test_segformer(project: Path) -> None:
    assert f"{CLIPS} ok" in stage(project, "parsing", "segformer").stdout
    found, drawn = store(project, "parsing", "segformer"), store(project, "parsing", "regions")
    for index in range(CLIPS):
        masks = found.row(index)["masks"]
        assert len(masks) == len(drawn.row(index)["masks"]) > 0
        assert {decode_mask(mask).shape for mask in masks} == {(224, 224)}
    footer = found.footer
    assert footer["config"]["model"] == "models/segformer"
    assert "transformers" in footer["packages"]


def test_facexformer_s_files(project: Path) -> None:
    drawn = store(project, "parsing", "regions")
    for clip_id in drawn.ids[:-1]:
        row = drawn.by_id(clip_id)
        for index, mask in zip(row["source_index"], row["masks"], strict=True):
            place = project / "saved" / clip_id / str(index) / "parsing.png"
            place.parent.mkdir(parents=True)
            place.write_bytes(mask)
    assert f"1 invalid, {CLIPS - 1} ok" in stage(project, "parsing", "facexformer").stdout
    found = store(project, "parsing", "facexformer")
    for clip_id in drawn.ids[:-1]:
        assert found.by_id(clip_id)["masks"] == drawn.by_id(clip_id)["masks"]


@pytest.mark.parametrize("kind", ["blip2", "instructblip"])
def test_teachers(project: Path, kind: str) -> None:
    assert f"{CLIPS} ok" in stage(project, "teacher_embeddings", kind).stdout
    row = store(project, "teacher_embeddings", kind).row(0)
    assert row["embeddings"].shape == (2, tiny_teachers.WIDTH)
    assert row["embeddings"].dtype == np.float16
    crops = store(project, "faces", "mediapipe").row(0)["source_index"]
    assert set(row["source_index"]) < set(crops)
    shown = command(
        project, "show", f"results/small/teacher_embeddings/{kind}/00000.parquet"
    ).stdout
    assert "embeddings" in shown


def test_a_gpu_that_is_not_there_is_said(project: Path) -> None:
    wanted = ("--dataset", "small", "--variant", "blip2", "--gpus", "1")
    done = command(project, "stage", "teacher_embeddings", *wanted, check=False)
    assert done.returncode == 1
    assert "a GPU was asked for" in done.stderr
    assert "Traceback" not in done.stderr
