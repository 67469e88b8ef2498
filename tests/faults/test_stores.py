"""Shards that were damaged behind the workflow's back; inputs that are only read."""

import os

import pytest

FACES = ("--dataset", "tiny", "--variant", "mediapipe", "--shard", "00001")
FRAMES = "results/tiny/frames/sparse/00001.parquet"


@pytest.mark.parametrize("damage", ["cut", "empty"])
def test_a_damaged_shard_is_named_and_made_again(project, damage):
    path = project.folder / FRAMES
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2] if damage == "cut" else b"")
    done = project.expressway("stage", "faces", *FACES, check=False)
    assert done.returncode == 1
    assert f"{FRAMES}: damaged or not a Parquet file" in done.stderr
    assert "delete it and run snakemake again" in done.stderr
    assert "Traceback" not in done.stderr
    path.unlink()
    project.snakemake(FRAMES)
    assert path.read_bytes() == whole


def test_a_card_that_is_not_there(project):
    arguments = ("--dataset", "tiny", "--variant", "demo", "--shard", "00001", "--gpus", "1")
    before = (project.folder / "results/tiny/visual_features/demo/00001.parquet").read_bytes()
    done = project.expressway("stage", "visual_features", *arguments, check=False)
    assert done.returncode == 1
    assert "a GPU was asked for, but torch" in done.stderr
    after = (project.folder / "results/tiny/visual_features/demo/00001.parquet").read_bytes()
    assert after == before


def test_the_users_files_are_only_read(finished, world):
    """After a whole run, the folder of videos is what it was: names, bytes, times."""

    def facts(folder):
        return {
            path.relative_to(folder): (path.read_bytes(), os.stat(path).st_mtime_ns)
            for path in folder.rglob("*")
            if path.is_file()
        }

    assert facts(finished.folder / "videos/clips") == facts(world / "clips")
