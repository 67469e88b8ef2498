"""Coverage counts where clips were lost."""

from typing import Any

from expressway.reporting import ReportDataset
from expressway.reporting.open_dataset import OpenDataset


def test_a_lost_clip_counts_once_where_it_first_failed(world: Any) -> None:
    opened = OpenDataset(world.dataset())
    frames, faces, landmarks = opened.stages
    assert (frames.stage, faces.stage, landmarks.stage) == ("frames", "faces", "landmarks")
    assert frames.counts == {"ok": 16}
    assert (faces.lost_here, landmarks.lost_here) == (1, 0)
    assert landmarks.counts["skipped"] == 1
    [loss] = opened.losses
    assert (loss.stage, loss.status, len(loss.states)) == ("faces", "no_face", 1)
    assert loss.examples[0]["error_message"] == "no face in 9 frames"
    assert opened.complete == 15


def test_degraded_clips_are_kept_and_mentioned(world: Any) -> None:
    note = {"status": "degraded", "error_message": "28 of 100 frames decoded"}
    world.write_stores(frames={"clip-002": note})
    opened = OpenDataset(world.dataset())
    lost, kept = opened.losses
    assert (lost.kept, kept.kept) == (False, True)
    assert kept.examples[0]["clip_id"] == "clip-002"
    assert opened.complete == 15


def test_shards_that_do_not_exist_are_not_computed(world: Any) -> None:
    world.stores["landmarks", "native"][1].unlink()
    opened = OpenDataset(world.dataset())
    assert opened.stages[2].counts["not computed"] == 8
    assert opened.complete == 7


def test_a_data_set_without_stores_is_fine() -> None:
    opened = OpenDataset(ReportDataset("empty", (), {}))
    assert (opened.stages, opened.losses, opened.complete) == ([], [], 0)
