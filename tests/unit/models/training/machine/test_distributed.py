"""Several processes: found, refused when others than asked for, and equal to one."""

import os
import signal
import time
from functools import partial
from pathlib import Path

import feature_world
import pytest
import torch
from safetensors.torch import load_file

from expressway.core.errors import ConfigError, SystemicError
from expressway.core.model_card import WEIGHTS, ModelCard
from expressway.models import training
from expressway.models.training.machine import distributed
from expressway.models.training.machine.distributed import Place, place
from expressway.models.training.machine.runtime import Runtime, device_names

SRUN = {"SLURM_STEP_NUM_TASKS": "4", "SLURM_PROCID": "3", "SLURM_LOCALID": "1"}
TORCHRUN = {"WORLD_SIZE": "4", "RANK": "3", "LOCAL_RANK": "1"}


def test_a_process_knows_its_place() -> None:
    assert place({}) == Place(0, 0, 1, "")
    assert place(SRUN) == Place(3, 1, 4, "srun")
    assert place(TORCHRUN) == Place(3, 1, 4, "torchrun")
    # a job step of one task, as Snakemake starts it, may start its own processes
    assert place({"SLURM_STEP_NUM_TASKS": "1", "SLURM_PROCID": "0"}) == Place()
    assert place({"SLURM_STEP_NUM_TASKS": "1", **TORCHRUN}).launcher == "torchrun"


@pytest.mark.parametrize("environment", [SRUN, TORCHRUN])
@pytest.mark.parametrize("devices", [1, 2])
def test_another_number_of_processes_is_an_error(
    world, tmp_path, monkeypatch, environment, devices
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    asked = rf"{devices} processes were asked for \({devices} devices .* 1 nodes\), but 4 run"
    with pytest.raises(SystemicError, match=asked):
        training.train(world.train_spec("emoclip"), tmp_path, tmp_path, device=["cpu"] * devices)


def test_machines_need_a_launcher(world, tmp_path) -> None:
    with pytest.raises(SystemicError, match="2 processes were asked for .* but 1 runs .*srun"):
        training.train(world.train_spec("emoclip"), tmp_path, tmp_path, nodes=2)


def test_every_process_must_see_the_cards_of_its_machine(monkeypatch) -> None:
    for name, value in TORCHRUN.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr("expressway.core.devices.visible_cards", lambda: 1)
    with distributed.claimed(1) as found:
        assert found == ["cuda:0"]
    with distributed.claimed(0) as found:
        assert found == []
    asked = pytest.raises(SystemicError, match="this process sees 1 of 2 cards")
    with asked, distributed.claimed(2):
        pass


def test_cards_and_cpu_do_not_mix() -> None:
    with pytest.raises(ConfigError, match="cards only, or cpu only"):
        device_names(["cpu", "cuda:0"])
    assert device_names("cuda") == ("cuda",)


def test_threads_are_shared() -> None:
    runtime = Runtime(devices=("cpu", "cpu"), nodes=3, threads=8)
    assert (runtime.world, runtime.process_threads) == (6, 4)
    assert (runtime.readers(streamed=True), runtime.readers(streamed=False)) == (3, 0)
    assert Runtime(workers=2).readers(streamed=False) == 2


def test_two_processes_train_what_one_trains(world, tmp_path, capfd) -> None:
    recipe = {**feature_world.SMALL["emoclip"], "epochs": 2, "resample": True}
    spec = world.train_spec("emoclip", "supervised", recipe=recipe)
    training.train(spec, tmp_path / "one", tmp_path / "state-one")
    training.train(spec, tmp_path / "two", tmp_path / "state-two", device=["cpu", "cpu"])
    one, two = (load_file(tmp_path / name / WEIGHTS) for name in ("one", "two"))
    for key in one:
        # sums in another order; adamw divides by the gradient's own size
        torch.testing.assert_close(two[key], one[key], rtol=1e-3, atol=1e-4)
    cards = [ModelCard.read(tmp_path / name) for name in ("one", "two")]
    assert cards[0].clips == cards[1].clips
    for left, right in zip(cards[0].history, cards[1].history, strict=True):
        assert right == pytest.approx(left, rel=1e-4)
    said = capfd.readouterr().out
    assert "on 2 x cpu" in said
    assert "16 clips (2 processes x 1 micro batches x 8)" in said
    assert said.count("epoch 2/2") == 2  # one line per run, not per process


def _complain(kind: type[Exception], folder: Path) -> None:
    rank = int(os.environ["RANK"])
    (folder / str(rank)).touch()
    if rank == 1:
        raise kind("this one failed")
    time.sleep(600)


def _wait_for_sigterm(folder: Path, ready: bool) -> None:
    """Take SIGTERM as a training does, or be hit by it before training has started."""
    if ready:
        signal.signal(signal.SIGTERM, lambda *_: os._exit(distributed.TERMINATED))
    (folder / os.environ["RANK"]).touch()
    if os.environ["RANK"] == "0":
        while not (folder / "1").exists():
            time.sleep(0.05)
        os.kill(os.getppid(), signal.SIGTERM)
    time.sleep(600)


def test_an_error_of_one_process_ends_all(tmp_path) -> None:
    with pytest.raises(ConfigError, match="this one failed"):
        distributed.launch(partial(_complain, ConfigError, tmp_path), 2)


@pytest.mark.parametrize("ready", [True, False])
def test_sigterm_reaches_every_process(tmp_path, ready) -> None:
    with pytest.raises(SystemExit) as stopped:
        distributed.launch(partial(_wait_for_sigterm, tmp_path, ready), 2)
    assert stopped.value.code == 143
