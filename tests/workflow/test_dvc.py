"""DVC around Snakemake: what it skips, what it runs, and a clone that recomputes nothing."""

import shutil

import pytest
from project import ROOT, only_stages


def dvc(project, *arguments):
    return project.run("dvc", *arguments)


@pytest.fixture
def versioned(project):
    """A finished project under git and DVC, its outputs pushed to a remote folder."""
    for name in ("dvc.yaml", ".dvcignore", ".gitignore"):
        shutil.copy(ROOT / name, project.folder / name)
    project.edit("dvc.yaml", "results/demo/", "results/tiny/")
    project.run("git", "init", "-q", ".")
    project.run("git", "config", "user.email", "test@example.org")
    project.run("git", "config", "user.name", "test")
    dvc(project, "init", "-q")
    dvc(project, "remote", "add", "-q", "-d", "here", project.folder.parent / "remote")
    dvc(project, "repro", "-q")
    project.run("git", "add", "-A")
    project.run("git", "commit", "-q", "-m", "all")
    return project


def test_repro_skips_runs_and_a_clone_adopts(versioned, tmp_path):
    again = dvc(versioned, "repro").stdout
    assert again.count("didn't change, skipping") == 2
    assert versioned.jobs() == {}

    versioned.config(lambda c: c["models"]["linear"].update(recipe={"weight_decay": 0.5}))
    assert "prepare@tiny' didn't change" in dvc(versioned, "repro").stdout
    assert versioned.jobs() == {}
    assert "weight_decay" in dvc(versioned, "params", "diff", "HEAD").stdout

    dvc(versioned, "push", "-q")
    versioned.run("git", "add", "-A")
    versioned.run("git", "commit", "-q", "-m", "weight decay")
    folder = tmp_path / "clone"
    versioned.run("git", "clone", "-q", versioned.folder, folder)
    clone = type(versioned)(folder)
    dvc(clone, "pull", "-q")
    # frames and faces are not in the cache: they are large, and can be made again
    assert not (folder / "results/tiny/faces").exists()
    printed = clone.expressway("adopt").stdout
    assert "not adopted" not in printed
    assert only_stages(clone.jobs("results/models/linear/fold1-seed0/model.safetensors")) == {}
