"""Published tables on data sets in their official layouts: which jobs a table needs, and no more.

The clips are noise and the weights are not there: nothing but the plan runs here.
"""

import shutil
from collections import Counter

import official_layouts
import pytest
import yaml
from project import ROOT, Project, job_counts

SETS = ("caers", "rafdb", "affectnet", "ferplus", "dfew", "ferv39k", "mafw", "afew")


@pytest.fixture(scope="module")
def project(tmp_path_factory) -> Project:
    """A folder with the shipped workflow and tables, and eight imported data sets."""
    folder = tmp_path_factory.mktemp("tables")
    for name in ("Snakefile", "workflow", "profiles", "src"):
        (folder / name).symlink_to(ROOT / name)
    shutil.copytree(ROOT / "config", folder / "config", ignore=shutil.ignore_patterns("datasets"))
    (folder / "config/config.yaml").write_text("datasets: []\nstages: {}\n")
    made = Project(folder)
    for name in SETS:
        root = folder / "official" / name
        getattr(official_layouts, name)(root)
        made.expressway("import", name, "--root", root)
    return made


def planned(project: Project, table: str, *arguments: str) -> tuple[Counter, str]:
    done = project.snakemake("-n", f"results/tables/{table}.html", *arguments)
    return Counter(job_counts(done.stdout + done.stderr)), done.stdout + done.stderr


def jobs_of(text: str, rule: str) -> list[str]:
    """Return the wildcards of every job of a rule."""
    blocks = text.split("\nrule ")
    return [
        line.split("wildcards:", 1)[1].strip()
        for block in blocks
        if block.startswith(f"{rule}:")
        for line in block.splitlines()
        if "wildcards:" in line
    ]


def test_expclip_table2_encodes_once_and_trains_one_head_per_backbone(project) -> None:
    counts, text = planned(project, "expclip_table2")
    # eight data sets of one shard, three backbones; AffectNet's two tasks share their images
    assert counts["visual_features"] == len(SETS) * 3
    assert counts["teacher_embeddings"] == 1
    # CLIP and Exp-CLIP for three backbones, trained on CAER-S alone
    assert counts["train"] == 6
    assert all("model=clip" in job or "model=expclip" in job for job in jobs_of(text, "train"))
    # eight test sets for six models; folds are test clips of one prediction
    assert counts["predict"] == counts["evaluate"] == 8 * 6
    assert counts["published_table"] == 1


def test_other_prompts_add_evaluations_only(project) -> None:
    first, _ = planned(project, "expclip_table2")
    both, _ = planned(project, "expclip_table2", "results/tables/expclip_prompts.html")
    more = both - first
    assert more["predict"] == more["evaluate"] == 8 * 6 * 4
    assert set(more) - {"predict", "evaluate"} == {"published_table"}


def with_my_table(project: Project, cell: str, evaluation: dict, *targets: str):
    """Plan a table of one number, made for this plan, beside others."""
    path = project.folder / "config/tables/mine.yaml"
    model, name = cell.split("/")
    path.write_text(
        yaml.safe_dump(
            {
                "title": "Mine",
                "rows": [{"title": "A row", "cells": {"A set": cell}}],
                "evaluations": {name: {"protocol": "zero_shot", "models": [model], **evaluation}},
            }
        )
    )
    try:
        return planned(project, "mine", *targets)
    finally:
        path.unlink()


def test_a_new_test_set_trains_nothing(project) -> None:
    before, _ = planned(project, "expclip_table2")
    evaluation = {"dataset": "caers", "prompts": "expclip_3"}
    target = "results/tables/expclip_table2.html"
    after, _ = with_my_table(project, "expclip-b32/caers-test", evaluation, target)
    assert dict(after - before) == {"predict": 1, "evaluate": 1, "published_table": 1}


def test_what_learned_from_captions_needs_none_of_a_test_set(project) -> None:
    evaluation = {"dataset": "afew", "prompts": "expression"}
    counts, text = with_my_table(project, "finecliper-zero-mafw/afew-zero", evaluation)
    assert counts["predict"] == 5
    assert all("dataset=mafw" in job for job in jobs_of(text, "captions"))
    assert {"dataset=afew" in job for job in jobs_of(text, "faces")} == {True, False}


def test_every_table_that_ships_can_be_planned(project) -> None:
    shipped = sorted(path.stem for path in (ROOT / "config/tables").glob("*.yaml"))
    first, *rest = [name for name in shipped if not name.startswith("expclip")]
    counts, text = planned(project, first, *(f"results/tables/{name}.html" for name in rest))
    assert counts["published_table"] == 1 + len(rest)
    trained = " ".join(jobs_of(text, "train"))
    for name in (first, *rest):
        described = yaml.safe_load((ROOT / f"config/tables/{name}.yaml").read_text())
        cells = [cell for row in described["rows"] for cell in row.get("cells", {}).values()]
        missing = [cell for cell in cells if f"model={cell.split('/')[0]}," not in trained]
        assert missing == [], name


def test_an_open_set_across_data_sets_reads_both(project) -> None:
    counts, text = planned(project, "hesp_across_sets")
    # DFEW's five folds, FERV39k and AFEW, for four methods; MAFW trains none
    assert counts["train"] == counts["predict"] == 4 * 7
    assert "dataset=mafw" not in " ".join(jobs_of(text, "train"))
    # clips of four sets, as features and as faces with windows
    assert counts["visual_features"] == counts["attention"] == 4
    predicted = [block for block in text.split("\nrule ") if block.startswith("predict:")]
    assert all("results/mafw/coverage/" in block for block in predicted)
