"""What parts of a split must not share is found, and nothing else."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from expressway.core.manifest import Clip, SplitRow
from expressway.data.overlaps import alike, look, shared

ROOT = Path("nowhere")


def clip(name, **facts):
    return Clip(name, f"{name}.mp4", **facts)


def split(name, **parts):
    return [SplitRow(clip_id, "folds", name, part) for clip_id, part in parts.items()]


def told(overlaps):
    return [str(overlap) for overlap in overlaps]


def test_files_recordings_and_subjects_in_two_parts():
    clips = [
        clip("a", video="film", subject="p1"),
        clip("b", video="film", subject="p1"),
        clip("c", video="other", subject="p2"),
        clip("d", video="third"),
        clip("e", video="fourth"),
    ]
    contents = {"a.mp4": "1", "b.mp4": "2", "c.mp4": "3", "d.mp4": "1", "e.mp4": None}
    rows = split("fold1", a="train", b="test", c="train", d="test", e="validation")
    assert told(shared(clips, rows, contents, ROOT)) == [
        "folds fold1: 1 file(s) with the same content in test and train: a = d",
        "folds fold1: 1 recording(s) in test and train: film",
        "folds fold1: 1 subject(s) in test and train: p1",
    ]


def test_one_part_or_two_splits_are_no_overlap():
    clips = [clip("a", video="film", subject="p"), clip("b", video="film", subject="p")]
    contents = {"a.mp4": "1", "b.mp4": "1"}
    rows = [*split("fold1", a="train", b="train"), *split("fold2", a="test")]
    assert shared(clips, rows, contents, ROOT) == []


def test_stretches_of_one_file_are_one_recording_and_not_the_same_content():
    clips = [
        Clip("a", "long.mp4", video="long", start=0.0, end=5.0),
        Clip("b", "long.mp4", video="long", start=5.0, end=9.0),
    ]
    rows = split("s", a="train", b="test")
    (only,) = shared(clips, rows, {"long.mp4": "1"}, ROOT)
    assert only.what == "recording(s)"


def test_unknown_subjects_and_missing_files_are_not_compared():
    clips = [clip("a", video="1"), clip("b", video="2")]
    rows = split("s", a="train", b="test")
    assert shared(clips, rows, {"a.mp4": None, "b.mp4": None}, ROOT) == []


def test_folders_are_compared_by_their_bytes_where_names_and_sizes_agree(tmp_path):
    for name, data in {"a": b"1234", "b": b"4321", "c": b"1234"}.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / "1.jpg").write_bytes(data)
    clips = [Clip(name, name, kind="frames") for name in "abc"]
    contents = dict.fromkeys("abc", "names and sizes")
    rows = split("s", a="train", b="test", c="test")
    (only,) = shared(clips, rows, contents, tmp_path)
    assert only.examples == ("a = c",)


def test_many_are_counted_and_a_few_are_named():
    clips = [clip(f"{part}{i}", subject=f"p{i}", video="") for i in range(9) for part in "ab"]
    rows = split("s", **{c.id: "train" if c.id[0] == "a" else "test" for c in clips})
    assert told(shared(clips, rows, {}, ROOT)) == [
        "folds s: 9 subject(s) in test and train: p0, p1, p2, p3, p4 and 4 more"
    ]


def picture(seed, side=112):
    """Return smooth noise: a picture with structure at every scale, as photographs have."""
    noise = np.random.default_rng(seed).normal(size=(side, side, 3))
    smooth = sum(cv2.GaussianBlur(noise, (0, 0), s) * s for s in (2, 4, 8, 16))
    return cv2.normalize(smooth, None, 0, 255, cv2.NORM_MINMAX).astype(np.uint8)


def encode(pixels, quality=95):
    return cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, quality])[1].tobytes()


@pytest.mark.parametrize("seed", range(5))
def test_a_smaller_coarser_copy_looks_alike_and_others_do_not(seed):
    first, last = picture(seed), picture(seed + 100)
    small = [encode(cv2.resize(p, None, fx=0.5, fy=0.5), 60) for p in (first, last)]
    found = {
        "a": look([encode(first), encode(picture(9)), encode(last)]),
        "b": look(small),
        "c": look([encode(first), encode(picture(seed + 50))]),
        "d": look([encode(picture(seed + 200))]),
    }
    rows = split("s", a="train", b="test", c="test", d="test", e="test")
    assert told(alike(found, rows)) == [
        "folds s: 1 pair(s) of clips that look alike in test and train: b ~ a"
    ]
    assert alike(found, split("s", a="train", b="train")) == []
