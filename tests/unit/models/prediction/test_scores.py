"""What predictions do beside the numbers that the contract tests check."""

import pyarrow.parquet as pq
import pytest
import torch
from feature_fixtures import world

from expressway.methods.linear.model import Linear
from expressway.models import training
from expressway.models.prediction import scores

__all__ = ["world"]


def rows(path):
    return pq.read_table(path).to_pylist()


def test_gpu_memory_that_runs_out_halves_the_clips_at_once(
    world, tmp_path, monkeypatch, caplog
) -> None:
    model = training.train(
        world.train_spec("linear", "supervised"), tmp_path / "model", tmp_path / "state"
    )
    spec = world.predict_spec("supervised", rows=[(clip, "fold1") for clip in world.clips])
    whole = scores.predict(model, spec, tmp_path / "whole.parquet")
    enough = Linear.scores

    def scarce(self, batch):
        if len(batch) > 5:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return enough(self, batch)

    monkeypatch.setattr(Linear, "scores", scarce)
    sliced = scores.predict(model, spec, tmp_path / "sliced.parquet")
    for one, other in zip(rows(sliced), rows(whole), strict=True):
        # float32 sums over other shapes differ in the last bits
        assert one.pop("scores") == pytest.approx(other.pop("scores"), abs=1e-5)
        assert one == other
    assert "clips per batch reduced to 4" in caplog.text
