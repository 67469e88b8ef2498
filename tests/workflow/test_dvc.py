"""DVC around Snakemake: what it skips, what it runs, and a clone that recomputes nothing."""

import csv
import json
import shutil

import pytest
from project import ROOT


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
    shutil.copytree(ROOT / ".dvc/plots", project.folder / ".dvc/plots")
    dvc(project, "remote", "add", "-q", "-d", "here", project.folder.parent / "remote")
    dvc(project, "repro", "-q")
    project.run("git", "add", "-A")
    project.run("git", "commit", "-q", "-m", "all")
    return project


def written(project, since):
    """Return the stores, weights and metrics that are not as they were, and remember them anew."""
    top = project.folder / "results"
    names = ("*/*/*/*.parquet", "models/*/*/*.safetensors", "evaluations/*/*/*/*")
    files = (path for name in names for path in top.glob(name))
    times = {str(path.relative_to(top)): path.stat().st_mtime_ns for path in files}
    changed = {path for path, time in times.items() if since.get(path) != time}
    since.update(times)
    return changed


def add_data_set(project, name):
    """Make a second data set of the spare clips: one file and one entry."""
    folder = project.folder / "data" / name
    folder.mkdir()
    with (folder / "manifest.csv").open("w", newline="") as handle:
        columns = ("id", "path", "caption")
        writer = csv.DictWriter(handle, columns, extrasaction="ignore", lineterminator="\n")
        writer.writeheader()
        writer.writerows(project.spare)
    text = f"manifest: data/{name}/manifest.csv\nroot: videos\nshard_size: 8\n"
    (project.folder / f"config/datasets/{name}.yaml").write_text(text)
    project.config(lambda config: config["datasets"].append(name))


def test_repro_runs_what_an_edit_touches_and_nothing_else(versioned):
    times = {}
    written(versioned, times)
    again = dvc(versioned, "repro").stdout
    assert again.count("didn't change, skipping") == 2
    assert written(versioned, times) == set()

    add_data_set(versioned, "other")
    assert "prepare@tiny' didn't change" in dvc(versioned, "repro").stdout
    made = written(versioned, times)
    assert {path.split("/")[0] for path in made} == {"other"}
    assert "other/visual_features/demo/00000.parquet" in made

    versioned.append_clip(0)
    assert "prepare@other' didn't change" in dvc(versioned, "repro").stdout
    made = written(versioned, times)
    assert {path.split("/")[0] for path in made} == {"tiny"}
    shards = {path.split("/")[-1] for path in made if path.split("/")[1] != "coverage"}
    assert shards == {"00003.parquet"}

    versioned.config(lambda c: c["models"]["linear"].update(recipe={"weight_decay": 5.0}))
    said = dvc(versioned, "repro").stdout
    assert said.count("didn't change, skipping") == 2
    assert written(versioned, times) == {
        "models/linear/fold1-seed0/model.safetensors",
        "evaluations/linear/fold1-seed0/supervised/predictions.parquet",
        "evaluations/linear/fold1-seed0/supervised/metrics.json",
        "evaluations/linear/fold1-seed0/supervised/metrics.made_of.json",
    }
    assert versioned.jobs() == {}
    assert_diffs_show(versioned)


def assert_diffs_show(project):
    """Against the last commit: which parameter changed, what it did, and a plot of both."""
    assert "weight_decay" in dvc(project, "params", "diff", "HEAD").stdout
    assert "linear/supervised" in dvc(project, "metrics", "show").stdout
    (metrics,) = json.loads(dvc(project, "metrics", "diff", "HEAD", "--json").stdout).values()
    (before, now) = (
        metrics["linear/supervised.weighted_average_recall"][side] for side in ("old", "new")
    )
    assert before is not None
    assert before != now
    plotted = dvc(project, "plots", "diff", "HEAD", "-o", "plots")
    assert "WARNING" not in plotted.stdout + plotted.stderr
    page = (project.folder / "plots/index.html").read_text()
    assert page.count('"rev": "HEAD"') == page.count('"rev": "workspace"') == 2


def test_a_clone_pulls_adopts_and_recomputes_nothing(versioned, tmp_path):
    dvc(versioned, "push", "-q")
    folder = tmp_path / "clone"
    versioned.run("git", "clone", "-q", versioned.folder, folder)
    clone = type(versioned)(folder)
    dvc(clone, "pull", "-q")
    # frames and faces are not in the cache: they are large, and can be made again
    assert not (folder / "results/tiny/faces").exists()
    printed = clone.expressway("adopt").stdout
    assert "not adopted" not in printed
    # what people read is not in the cache; nothing else is made
    assert clone.jobs() == {"tables": 1, "report": 1}
