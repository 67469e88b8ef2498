"""What the rules ask the graph for."""

from types import SimpleNamespace

import pytest

from expressway import graph
from expressway.errors import ConfigError
from expressway.graph import Graph


def launched(threads, **resources):
    """Return the words around a training's command: before it, and its options."""
    arguments = (None, threads, resources)
    return Graph.training_launcher(*arguments), Graph.training_machine(*arguments)


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


def test_stores_without_records_are_refused_unless_a_first_run_was_killed(
    tmp_path, monkeypatch
) -> None:
    monkeypatch.chdir(tmp_path)
    graph._check_records()
    store = tmp_path / "results/demo/frames/native/00000.parquet"
    store.parent.mkdir(parents=True)
    store.touch()
    with pytest.raises(ConfigError, match="run `expressway adopt` first"):
        graph._check_records()
    marked = tmp_path / ".snakemake/incomplete/cmVzdWx0cw=="
    marked.parent.mkdir(parents=True)
    marked.touch()
    graph._check_records()


def test_a_shard_gets_the_cores_that_other_shards_leave_over(monkeypatch) -> None:
    found = Graph.__new__(Graph)
    shards = SimpleNamespace(shards=["00000", "00001", "00002"])
    monkeypatch.setattr(found, "dataset", lambda name: shards, raising=False)
    wildcards = SimpleNamespace(dataset="d")
    asked = (1, 2, 3, 8, None)
    assert [found.shard_threads(cores)(wildcards) for cores in asked] == [1, 1, 1, 2, 1]
