"""What the rules ask for."""

from types import SimpleNamespace

import pytest

from expressway.core.errors import ConfigError
from expressway.planning.targets import Targets


def launched(threads, **resources):
    """Return the words around a training's command: before it, and its options."""
    arguments = (None, threads, resources)
    return Targets.training_launcher(*arguments), Targets.training_machine(*arguments)


def test_a_training_starts_its_own_processes_on_one_machine() -> None:
    assert launched(1, gpu=0) == ([], ["--cores=1", "--gpus=0"])
    assert launched(8, gpu=4) == ([], ["--cores=8", "--gpus=4"])


def test_srun_starts_a_task_for_each_card_of_several_machines() -> None:
    launcher, machine = launched(8, gpu=8, mpi="srun", nodes=2, tasks_per_node=4)
    assert launcher[:4] == ["srun", "--nodes=2", "--ntasks-per-node=4", "--gpus-per-node=4"]
    assert launcher[4:] == ["--cpus-per-task=8", "--kill-on-bad-exit=1"]
    # cores are those of a machine: threads stand for each of its tasks
    assert machine == ["--cores=32", "--gpus=4", "--nodes=2"]


def test_srun_starts_tasks_without_cards() -> None:
    launcher, machine = launched(1, gpu=0, mpi="srun", tasks_per_node=2)
    assert not any("gpus" in word for word in launcher)
    assert machine == ["--cores=2", "--processes=2", "--nodes=1"]


def test_a_task_without_a_card_or_a_card_without_a_task_is_an_error() -> None:
    with pytest.raises(ConfigError, match="gpu: 4, but nodes: 2 times tasks_per_node: 4"):
        launched(8, gpu=4, mpi="srun", nodes=2, tasks_per_node=4)


def test_a_shard_gets_the_cores_that_other_shards_leave_over() -> None:
    shards = SimpleNamespace(shards=["00000", "00001", "00002"])
    found = Targets(SimpleNamespace(dataset=lambda name: shards))
    wildcards = SimpleNamespace(dataset="d")
    asked = (1, 2, 3, 8, None)
    assert [found.threads("frames", cores)(wildcards) for cores in asked] == [1, 1, 1, 2, 1]
    assert [found.threads("captions", cores)(wildcards) for cores in asked] == [1] * 5
