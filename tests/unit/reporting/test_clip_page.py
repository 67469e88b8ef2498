"""The page of one clip: every store's row, every model's answer, pictures, and clear refusals."""

from pathlib import Path
from typing import Any

import pytest

from expressway.core.errors import ConfigError
from expressway.reporting import clip_page


def build(world: Any, clip: str, tmp_path: Path) -> str:
    dataset = world.spec().datasets[0]
    out = clip_page.build(dataset, clip, world.evaluations, tmp_path / "clip.html")
    return out.read_text("utf-8")


def test_stages_pictures_and_answers_are_shown(evaluated, tmp_path) -> None:
    page = build(evaluated, "clip-001", tmp_path)
    for stage in ("frames", "faces", "landmarks"):
        assert f"<h3>{stage} " in page
    assert page.count("data:image/jpeg;base64,") >= 12
    assert "<bdi>emoclip</bdi></th>" in page
    assert "neutral" in page  # what clip says of every clip
    assert "http" not in page.replace("http-equiv", "")


def test_answers_are_right_wrong_or_neither(evaluated) -> None:
    def verdicts(clip: str) -> dict[str, bool | None]:
        return {a.model: a.right for a in clip_page.answers(evaluated.evaluations, "tiny", clip)}

    assert verdicts("clip-001") == {"emoclip": True, "clip": False}
    assert verdicts("clip-005")["emoclip"] is None  # no face, no prediction
    others = ["neutral", "anger"]
    folder = evaluated.write_evaluation(
        "open", "fold1", evaluated.clips, lambda _: "anger", labels=others
    )
    [unknown] = clip_page.answers([folder], "tiny", "clip-001")
    assert (unknown.prediction, unknown.right) == ("anger", None)


def test_a_lost_clip_says_where_and_why(evaluated, tmp_path) -> None:
    page = build(evaluated, "clip-005", tmp_path)
    assert "no face in 9 frames" in page
    assert "part-no_face" in page


def test_an_unknown_clip_is_an_error_with_the_nearest_name(evaluated, tmp_path) -> None:
    with pytest.raises(ConfigError, match="has no clip 'clip-01'; did you mean 'clip-01"):
        build(evaluated, "clip-01", tmp_path)
