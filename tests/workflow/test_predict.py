"""One file through a trained model: the workflow's own scores, and what is wrong with a file."""

import json
import os
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from project import Project, lay_out
from typer.testing import CliRunner

import expressway
from expressway.cli import app
from expressway.commands.predict_part import predict
from expressway.commands.stage import run_stage
from expressway.commands.train import train
from expressway.core.errors import ConfigError
from expressway.core.store import read_table
from expressway.core.subprocesses import ffmpeg_binary
from expressway.planning import settings
from expressway.planning.plan import Plan

STORES = (("frames", "sparse"), ("faces", "mediapipe"), ("visual_features", "demo"))
LINEAR = "results/models/linear/fold1-seed0"
CLIP = "results/models/clip/all-seed0"
# Features are fp16 of fp32 sums, and a batch of one clip may sum in another order than one of
# eight; scores are tens, so this is seven digits.
TOLERANCE = 1e-4


@pytest.fixture(scope="module")
def project(tmp_path_factory, world):
    """A project with two models and their evaluations, made by the workflow's jobs.

    It is the working folder, since its backbone has a relative path.
    """
    project, before = Project(tmp_path_factory.mktemp("predict") / "project"), os.getcwd()
    lay_out(project.folder, world)
    os.chdir(project.folder)
    # more clips than the one that the tiny world tests on
    project.config(lambda config: config["evaluations"]["supervised"].update(part="train"))
    plan = Plan(settings.load(Path("config/config.yaml")))
    for stage, variant in STORES:
        for shard in plan.dataset("tiny").shards:
            run_stage(plan, "tiny", stage, variant, shard, cores=1, gpus=0)
    for model, split, evaluation in (("linear", "fold1", "supervised"), ("clip", "all", "names")):
        train(plan, model, split, 0, gpus=0, cores=1)
        predict(plan, model, evaluation, split, 0, gpus=0, cores=1)
    yield project
    os.chdir(before)


@pytest.fixture(scope="module")
def linear(project):
    return expressway.load(LINEAR)


@pytest.fixture(scope="module")
def files(project, tmp_path_factory):
    """Odd files: a long video of two people and nobody, nobody, no video, half a video."""
    folder = tmp_path_factory.mktemp("files")
    first, second = sorted(project.folder.glob("videos/clips/*.mp4"))[:2]
    shutil.copy(first, folder / "one.mp4")
    ffmpeg("-f", "lavfi", "-i", "mandelbrot=size=256x256:rate=25", "-t", "2", folder / "none.mp4")
    parts = ("-i", first, "-i", second, "-i", folder / "none.mp4")
    same = ";".join(f"[{i}]scale=256:256,setsar=1,fps=25[v{i}]" for i in range(3))
    ffmpeg(*parts, "-filter_complex", f"{same};[v0][v1][v2]concat=n=3", folder / "long.mp4")
    ffmpeg("-i", first, "-c", "copy", "-movflags", "+faststart", folder / "whole.mp4")
    data = (folder / "whole.mp4").read_bytes()
    (folder / "half.mp4").write_bytes(data[: len(data) // 2])
    (folder / "text.mp4").write_text("this is no video")
    (folder / "frames").mkdir()
    ffmpeg("-i", first, "-frames:v", "20", folder / "frames" / "%d.png")
    ffmpeg("-i", first, "-frames:v", "1", folder / "still.png")
    return folder


def ffmpeg(*arguments):
    command = [ffmpeg_binary(), "-nostdin", "-loglevel", "error", "-y", *map(str, arguments)]
    subprocess.run(command, check=True)


def evaluated(run, evaluation):
    return read_table(
        Path(f"results/evaluations/{run}/{evaluation}/predictions.parquet")
    ).to_pylist()


def test_the_scores_are_the_workflow_s(project, linear):
    rows = evaluated("linear/fold1-seed0", "supervised")
    assert len(rows) > 5
    for row in rows[:5]:
        found = linear.predict(f"videos/clips/{row['clip_id']}.mp4")
        assert found.status == row["status"] == "ok"
        assert found.prediction == row["prediction"]
        np.testing.assert_allclose(list(found.scores.values()), row["scores"], atol=TOLERANCE)
        assert sum(found.shares.values()) == pytest.approx(1)


def test_class_texts_are_the_model_s_or_those_asked_for(project):
    row = evaluated("clip/all-seed0", "names")[0]
    video = f"videos/clips/{row['clip_id']}.mp4"
    done = command(video, "--model", CLIP, "--prompts", "names", "--json")
    found = json.loads(done.stdout)
    np.testing.assert_allclose(list(found["scores"].values()), row["scores"], atol=TOLERANCE)
    model = expressway.load(CLIP, labels=("joy", "rage"))
    assert model.method.context.prompts["joy"] == ("an expression of joy.",)
    assert set(model.predict(video).scores) == {"joy", "rage"}
    with pytest.raises(ConfigError, match="trained for the classes"):
        expressway.load(LINEAR, labels=("joy", "rage"))


def test_a_long_video_has_scores_over_time_and_a_picture(linear, files, tmp_path):
    found = linear.predict(files / "long.mp4", window=1.0)
    assert found.status == "ok"
    assert [window.start for window in found.windows] == pytest.approx(range(len(found.windows)))
    assert found.windows[-1].end == found.duration
    assert found.windows[0].prediction in linear.card.labels
    assert found.windows[-1].status == "no_face"
    assert found.windows[-1].scores is None
    assert len(found.crops) >= 3
    with Image.open(found.picture(tmp_path / "long.png")) as image:
        assert image.format == "PNG"
        assert image.width > 1000
    assert f"{len(found.windows) - 1}.00 s" in found.text()


def test_a_window_is_a_clip_of_its_own(linear, files):
    """The first window of a video equals the video that ends there."""
    one = linear.predict(files / "one.mp4", window=0.6).windows[0]
    ffmpeg("-i", files / "one.mp4", "-frames:v", "15", "-qp", "0", files / "first.mp4")
    alone = linear.predict(files / "first.mp4")
    assert alone.duration == pytest.approx(0.6)
    # encoded a second time, without loss but in another order of frames
    np.testing.assert_allclose(list(one.scores.values()), list(alone.scores.values()), atol=0.5)
    assert one.prediction == alone.prediction


def test_images_and_folders_of_frames(linear, files):
    still, frames = linear.predict(files / "still.png"), linear.predict(files / "frames")
    assert (still.status, still.duration, still.windows) == ("ok", None, ())
    assert (frames.status, frames.duration) == ("ok", 0.8)


def test_what_is_wrong_with_a_file_is_said(project, files, tmp_path):
    for name, status in (("none.mp4", "no_face"), ("text.mp4", "unreadable")):
        picture = tmp_path / f"{name}.png"
        done = command(files / name, "--model", LINEAR, "--json", "--picture", picture)
        found = json.loads(done.stdout)
        assert (done.exit_code, found["status"], found["scores"]) == (1, status, None)
        assert found["message"]
        assert picture.exists()
    done = command(files / "gone.mp4", "--model", LINEAR)
    assert done.exit_code == 1
    assert "unreadable: cannot be opened: No such file" in done.stdout
    done = project.expressway("predict", files / "one.mp4", "--model", tmp_path, check=False)
    assert done.returncode == 1
    assert "no model here" in done.stderr
    assert "Traceback" not in done.stderr


def command(*arguments):
    return CliRunner().invoke(app, ["predict", *map(str, arguments)])


def test_half_a_video_is_degraded_and_predicted(linear, files):
    found = linear.predict(files / "half.mp4")
    assert found.status == "degraded"
    assert found.message.startswith("decoded ")
    assert found.prediction in linear.card.labels


@pytest.mark.parametrize(("threshold", "known"), [(1e6, False), (-1e6, True)])
def test_below_its_threshold_an_open_set_model_says_unknown(project, tmp_path, threshold, known):
    run = tmp_path / "run"
    shutil.copytree(LINEAR, run)
    card = json.loads((run / "model.json").read_text())
    (run / "model.json").write_text(json.dumps(card | {"threshold": threshold}))
    video = next(project.folder.glob("videos/clips/*.mp4"))
    model = expressway.load(run)
    found = model.predict(video)
    assert (found.prediction != "unknown") == known
    scores = torch.tensor([list(found.scores.values())])
    assert found.known_score == pytest.approx(float(model.method.known_scores(scores)))
    assert f"threshold {threshold:.4g}" in found.text()


def test_a_file_longer_than_one_clip_is_the_mean_of_its_windows(linear, files, monkeypatch):
    monkeypatch.setattr("expressway.models.prediction.predictor.ONE_CLIP_SECONDS", 3.0)
    found = linear.predict(files / "long.mp4", window=1.0)
    used = [window for window in found.windows if window.scores]
    assert found.message == f"mean of {len(used)} of {len(found.windows)} windows"
    expected = np.mean([list(window.scores.values()) for window in used], axis=0)
    np.testing.assert_allclose(list(found.scores.values()), expected, rtol=1e-12)
