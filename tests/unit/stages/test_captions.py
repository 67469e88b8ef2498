"""The captions stage as a job: rendered clips, tiny models, a real server."""

import json
import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import tiny_captioners
from crops import faces_row

from expressway.core.columns import blobs, frame_list
from expressway.core.config import validate
from expressway.core.errors import ConfigError
from expressway.core.manifest import Clip
from expressway.core.rows import Job
from expressway.core.runner import run
from expressway.core.stage import Source
from expressway.core.store import ShardReader, ShardWriter
from expressway.data.demo import render, world
from expressway.language.refine import read_lexicon
from expressway.stages import faces, frames, landmarks
from expressway.stages.captions import STAGE, CaptionsConfig

SENTENCE = "the brows go up and lips part"
SEED = 5


def caption(folder: Path, clips: list[Clip], source: Source, config: CaptionsConfig) -> ShardReader:
    (stage,) = config.upstream()
    out = folder / "captions.parquet"
    keys = [clip.id for clip in clips]
    journal = folder / "journal.sqlite"
    run(Job(STAGE, config, clips, folder, {stage: source}, out, {}, journal=journal, keys=keys))
    return ShardReader(out)


def showing(unit: int, least: float, never: tuple[int, ...]) -> int:
    """The first clip of a world that shows a unit, and not some others."""
    from expressway.data.demo.units import INDEX

    for number in range(200):
        peak = world.performance(SEED, number).script.truth.max(axis=0)
        if peak[INDEX[unit]] >= least and all(peak[INDEX[other]] < 0.1 for other in never):
            return number
    raise AssertionError("no such clip")


@pytest.fixture(scope="module")
def rendered(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Clip]]:
    """Three rendered clips, measured by the real stages: corners up, brows up, a neutral face."""
    folder = tmp_path_factory.mktemp("world")
    numbers = [
        showing(12, 0.6, never=(20,)),
        showing(2, 0.6, never=(12, 20)),
        next(n for n in range(99) if world.kind_of(SEED, n) == "neutral"),
    ]
    ids = [world.clip_id(number) for number in numbers]
    render.render_clips(ids, SEED, folder, folder / "truth.parquet")
    clips = [Clip(name, render.default_path(name), "video", video=name) for name in ids]
    jobs: list[tuple[Any, Any, dict[str, Source]]] = [
        (frames.STAGE, frames.FramesConfig(), {}),
        (
            faces.STAGE,
            faces.FacesConfig(detector="mediapipe"),
            {"frames": Source(path=folder / "frames.parquet")},
        ),
        (
            landmarks.STAGE,
            landmarks.LandmarksConfig(detector="mediapipe"),
            {"faces": Source(path=folder / "faces.parquet")},
        ),
    ]
    for stage, config, inputs in jobs:
        run(Job(stage, config, clips, folder, inputs, folder / f"{stage.name}.parquet", {}))
    return folder, clips


def test_rendered_movements_are_found_where_they_are(rendered: tuple[Path, list[Clip]]) -> None:
    from expressway.data.demo.units import INDEX

    folder, clips = rendered
    source = Source(path=folder / "landmarks.parquet")
    store = caption(folder, clips, source, CaptionsConfig())
    for index, name, unit in ((0, "lip_corners_up", 12), (1, "outer_brow_raise", 2)):
        row = store.row(index)
        assert row["status"] == "ok"
        found = {m["name"]: m for m in json.loads(row["measurements"])["movements"]}[name]
        truth = world.performance(SEED, world.number_of(row["clip_id"])[1]).script.truth
        course = truth[:, INDEX[unit]]
        onset = int(np.flatnonzero(course >= 0.25 * course.max())[0])
        # rises last 0.2 to 0.5 s; a quarter of the way is reached within 3 frames of the truth
        assert abs(found["onset"]["frame"] - onset) <= 3
        assert course[found["apex"]["frame"]] >= 0.8 * course.max()
    neutral = {m["name"] for m in json.loads(store.row(2)["measurements"])["movements"]}
    assert not neutral & {"lip_corners_up", "lip_corners_down", "outer_brow_raise"}


def test_refined_captions_hold_no_lexicon_word(rendered: tuple[Path, list[Clip]]) -> None:
    folder, clips = rendered
    source = Source(path=folder / "landmarks.parquet")
    store = caption(folder, clips, source, CaptionsConfig())
    rows = [store.row(index) for index in range(len(clips))]
    assert "smile" in rows[0]["raw"]
    assert all(row["refined"] and not read_lexicon().find(row["refined"]) for row in rows)
    assert rows[0]["model"] == "action_units"
    assert rows[0]["prompt_id"] is None


def faces_store(path: Path, clips: list[Clip], **changes: Any) -> Source:
    fields = pa.schema(
        [
            frame_list("source_index", "int32"),
            frame_list("time", "float64"),
            frame_list("valid", "bool"),
            blobs("crops"),
        ]
    )
    with ShardWriter(path, fields, {}, images=True) as writer:
        for index, clip in enumerate(clips):
            row = {"status": "ok", **faces_row(index), **changes}
            writer.write({"clip_id": clip.id, **row})
    return Source(path=path)


CLIPS = [Clip(f"c{i}", f"c{i}.mp4", "video") for i in range(3)]


@pytest.mark.parametrize(
    ("family", "before"), [("qwen", "assistant\n"), ("video_llava", "ASSISTANT:")]
)
def test_a_local_model_captions_a_shard(tmp_path: Path, family: str, before: str) -> None:
    made = getattr(tiny_captioners, family)(tmp_path / "model")
    model = tiny_captioners.say(made, SENTENCE, before)
    settings = {"captioner": "transformers", "transformers": {"model": model}, "batch_size": 2}
    config = validate(CaptionsConfig, settings)
    assert config.weights() == (model,)
    store = caption(tmp_path, CLIPS, faces_store(tmp_path / "faces.parquet", CLIPS), config)
    row = store.row(2)
    assert (row["status"], row["raw"]) == ("ok", SENTENCE)
    assert row["refined"] == "The brows go up and lips part."
    assert (row["prompt_id"], row["model"]) == ("finecliper", model)
    assert json.loads(row["decoding"]) == {
        "strategy": "greedy",
        "max_new_tokens": 128,
        "precision": "fp32",
        "media": "auto",
        "frames": 8,
    }


def test_gibberish_of_an_untrained_model_is_kept_but_never_used(tmp_path: Path) -> None:
    model = tiny_captioners.qwen(tmp_path / "model")
    config = validate(
        CaptionsConfig,
        {"captioner": "transformers", "transformers": {"model": model, "max_new_tokens": 20}},
    )
    source = faces_store(tmp_path / "faces.parquet", CLIPS[:1])
    row = caption(tmp_path, CLIPS[:1], source, config).row(0)
    assert row["status"] == "invalid"
    assert row["raw"]
    assert row["refined"] is None
    assert row["flags"]
    assert row["error_type"] == "Answer"


def test_only_frames_with_the_face_are_shown(tmp_path: Path) -> None:
    from expressway.core.stage import Row
    from expressway.stages.captions import pictures

    row = faces_row(0)
    row["valid"][3:] = False
    shown = pictures(Row(CLIPS[0], tmp_path, {"faces": row}), 3)
    assert list(shown.images) == row["crops"][:3]
    hidden = faces_store(tmp_path / "faces.parquet", CLIPS[:1], valid=np.zeros(10, bool))
    model = tiny_captioners.qwen(tmp_path / "model")
    config = validate(
        CaptionsConfig, {"captioner": "transformers", "transformers": {"model": model}}
    )
    assert caption(tmp_path, CLIPS[:1], hidden, config).states[0]["status"] == "no_face"


# --- a real server ----------------------------------------------------------------------------


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture
def served(tmp_path: Path) -> Iterator[tuple[str, str]]:
    """`transformers serve` on loopback with a tiny model: (base URL, model name)."""
    for needed in ("fastapi", "uvicorn", "openai", "accelerate"):
        pytest.importorskip(needed, reason="transformers serve needs transformers[serving]")
    made = tiny_captioners.qwen(tmp_path / "model")
    model = tiny_captioners.say(made, SENTENCE, before="assistant\n")
    port = free_port()
    program = Path(sys.executable).with_name("transformers")
    where = ["--host", "127.0.0.1", "--port", str(port), "--device", "cpu"]
    with (tmp_path / "server.log").open("wb") as log:
        process = subprocess.Popen(
            [str(program), "serve", model, *where],
            stdout=log,
            stderr=log,
            env={**os.environ, "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"},
        )
    try:
        wait_for(f"http://127.0.0.1:{port}/health", process, tmp_path / "server.log")
        yield f"http://127.0.0.1:{port}/v1", model
    finally:
        process.terminate()
        process.wait(30)


def wait_for(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    for _ in range(600):
        if process.poll() is not None:
            break
        try:
            with urllib.request.urlopen(url, timeout=1):
                return
        except OSError:
            time.sleep(0.2)
    raise AssertionError(f"the server did not come up:\n{log.read_text()[-3000:]}")


def test_a_server_captions_a_shard(tmp_path: Path, served: tuple[str, str]) -> None:
    url, model = served
    settings = {"captioner": "openai", "frames": 2, "openai": {"base_url": url, "model": model}}
    config = validate(CaptionsConfig, settings)
    source = faces_store(tmp_path / "faces.parquet", CLIPS)
    store = caption(tmp_path, CLIPS, source, config)
    for index in range(3):
        row = store.row(index)
        assert (row["status"], row["raw"], row["flags"]) == ("ok", SENTENCE, [])
        assert row["refined"] == "The brows go up and lips part."


# --- configuration ----------------------------------------------------------------------------

LOCAL = {"captioner": "transformers", "transformers": {"model": "org/model"}}
REMOTE = {"captioner": "openai", "openai": {"base_url": "http://127.0.0.1:1/v1", "model": "m"}}


def identity(settings: dict[str, Any], **changes: Any) -> dict[str, Any]:
    return validate(CaptionsConfig, {**settings, **changes}).identity()


def test_each_captioner_reads_what_it_needs() -> None:
    measured = CaptionsConfig(landmarks="a", faces="b")
    assert measured.upstream() == {"landmarks": "a"}
    assert validate(CaptionsConfig, {**LOCAL, "faces": "b"}).upstream() == {"faces": "b"}
    assert validate(CaptionsConfig, {**REMOTE, "faces": "b"}).upstream() == {"faces": "b"}


@pytest.mark.parametrize("settings", [LOCAL, REMOTE])
def test_the_question_s_text_decides_and_not_its_file(
    tmp_path: Path, settings: dict[str, Any]
) -> None:
    path = tmp_path / "prompts.yaml"
    path.write_text("q: {text: What moves?}\n")
    before = identity(settings, prompt="q", prompts=str(path))
    path.write_text("# a note\nq: {text: What moves?, about: ours}\nother: {text: Who?}\n")
    assert identity(settings, prompt="q", prompts=str(path)) == before
    path.write_text("q: {text: What moves now?}\n")
    assert identity(settings, prompt="q", prompts=str(path)) != before


def test_a_question_does_not_concern_who_is_not_asked() -> None:
    assert identity({}, prompt="movements", prompts="nowhere.yaml", frames=3) == identity({})


@pytest.mark.parametrize(
    ("settings", "change"),
    [
        ({}, {"action_units": {"present": 0.4}}),
        ({}, {"action_units": {"seed": 1}}),
        ({}, {"lexicon_extra": ["boredom*"]}),
        ({}, {"validity": {"maximum_words": 9}}),
        (LOCAL, {"frames": 4}),
        (LOCAL, {"transformers": {"model": "org/other"}}),
        (REMOTE, {"openai": {"base_url": "http://127.0.0.1:1/v1", "model": "other"}}),
    ],
)
def test_what_changes_captions_changes_the_identity(
    settings: dict[str, Any], change: dict[str, Any]
) -> None:
    assert identity(settings, **change) != identity(settings)


@pytest.mark.parametrize(
    ("settings", "change"),
    [
        (LOCAL, {"batch_size": 3}),
        (REMOTE, {"openai": {"base_url": "http://127.0.0.1:2/v1", "model": "m", "attempts": 2}}),
    ],
)
def test_how_fast_and_where_from_does_not(settings: dict[str, Any], change: dict[str, Any]) -> None:
    assert identity(settings, **change) == identity(settings)


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ({"captioner": "openai"}, "needs the section openai"),
        ({"captioner": "transformers"}, "needs the section transformers"),
        ({"openai": REMOTE["openai"]}, "does not read openai"),
        ({**LOCAL, "openai": REMOTE["openai"]}, "does not read openai"),
        ({"captioner": "opnai"}, "did you mean"),
        ({"promt": "x"}, "did you mean 'prompt'"),
        ({**REMOTE, "openai": {"model": "m", "base_url": "x", "api_key": "k"}}, "unknown key"),
    ],
)
def test_impossible_configurations_are_refused(settings: dict[str, Any], problem: str) -> None:
    with pytest.raises(ConfigError, match=problem):
        validate(CaptionsConfig, settings)


def test_an_unknown_question_is_refused_before_any_job() -> None:
    with pytest.raises(ConfigError, match="did you mean 'finecliper'"):
        validate(CaptionsConfig, {**LOCAL, "prompt": "fineclipper"}).identity()
