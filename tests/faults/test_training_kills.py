"""A training that is killed at any step ends with the same weights when it is run again."""

import pickle
import signal
import subprocess
import sys
from pathlib import Path

import feature_world
import pytest

from expressway.core.model_card import WEIGHTS
from expressway.core.specs import TrainSpec
from expressway.models import training

RECIPE = {
    **feature_world.SMALL["emoclip"],
    "epochs": 5,
    "batch_size": 8,
    "dropout": 0.2,
    "resample": True,
}
# trains in a process of its own, which sends itself a signal before a loss
SCRIPT = """
import os, pathlib, pickle, sys
from expressway.models import training
from expressway.methods.emoclip.model import EmoCLIP

folder, call, number, seconds = pathlib.Path(sys.argv[1]), *map(int, sys.argv[2:])
spec = pickle.loads((folder / "spec").read_bytes())
loss, calls = EmoCLIP.loss, iter(range(10**6))

def dying(self, batch):
    if next(calls) == call:
        os.kill(os.getpid(), number)
    return loss(self, batch)

EmoCLIP.loss = dying
training.train(spec, folder / "out", folder / "state", checkpoint_seconds=seconds)
"""


@pytest.fixture(scope="module")
def spec(tmp_path_factory: pytest.TempPathFactory) -> TrainSpec:
    world = feature_world.make(tmp_path_factory.mktemp("world"))
    return world.train_spec("emoclip", "supervised", recipe=RECIPE)


@pytest.fixture(scope="module")
def uninterrupted(spec: TrainSpec, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    folder = tmp_path_factory.mktemp("whole")
    training.train(spec, folder / "out", folder / "state")
    return (folder / "out" / WEIGHTS).read_bytes()


def killed(spec: TrainSpec, folder: Path, call: int, number: int, seconds: int = 0) -> int:
    """Return the exit code of a training that gets a signal before its ``call``-th loss."""
    (folder / "spec").write_bytes(pickle.dumps(spec))
    arguments = [str(value) for value in (folder, call, number, seconds)]
    command = [sys.executable, "-c", SCRIPT, *arguments]
    return subprocess.run(command, capture_output=True, check=False).returncode


def trained_again(spec: TrainSpec, folder: Path) -> bytes:
    training.train(spec, folder / "out", folder / "state")
    return (folder / "out" / WEIGHTS).read_bytes()


# four steps an epoch: 6 is inside the second epoch, 16 the first of the fifth
@pytest.mark.parametrize(
    ("call", "newest"), [(6, "epoch-00001-0000002.ckpt"), (16, "epoch-00004-0000000.ckpt")]
)
def test_sigkill(spec, tmp_path, uninterrupted, capsys, call, newest) -> None:
    assert killed(spec, tmp_path, call, signal.SIGKILL) == -signal.SIGKILL
    assert not (tmp_path / "out").exists()
    assert trained_again(spec, tmp_path) == uninterrupted
    assert f"going on from {tmp_path / 'state' / newest}" in capsys.readouterr().out


def test_sigterm_keeps_the_step_that_it_came_in(spec, tmp_path, uninterrupted) -> None:
    assert killed(spec, tmp_path, 6, signal.SIGTERM, seconds=3600) == 143
    kept = [path.name for path in (tmp_path / "state").glob("epoch-*.ckpt")]
    assert kept == ["epoch-00001-0000003.ckpt"]
    assert trained_again(spec, tmp_path) == uninterrupted
