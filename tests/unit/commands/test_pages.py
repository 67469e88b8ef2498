"""What jobs hand to the report, from a project folder."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from expressway.commands._pages import report_dataset
from expressway.commands.train import train
from expressway.core.errors import ConfigError
from expressway.planning import settings as schema
from expressway.planning.plan import Plan

ROOT = Path(__file__).parents[3]
MANIFEST = """id,path,kind,video,emotion,compound
c0,c0.mp4,video,,joy,
c1,c1.mp4,video,,fear,
c2,c2.mp4,video,,,joy_fear
"""
SPLITS = """clip_id,scheme,split,part
c0,folds,fold1,train
c1,folds,fold1,test
c0,folds,fold2,test
c1,folds,fold2,train
c2,other,once,test
"""


@pytest.fixture
def shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """What the report gets of a data set of three clips in two shards, one with drawn units."""
    monkeypatch.chdir(tmp_path)
    for folder in ("config/datasets", "videos/clips"):
        Path(folder).mkdir(parents=True)
    Path("config/prompts").symlink_to(ROOT / "config/prompts")
    dataset = {
        "manifest": "manifest.csv",
        "splits": "splits.csv",
        "root": "videos",
        "shard_size": 2,
        "labels": {"compound": ["joy_fear"], "emotion": ["joy", "fear"]},
    }
    Path("config/datasets/tiny.yaml").write_text(yaml.safe_dump(dataset))
    Path("manifest.csv").write_text(MANIFEST)
    Path("splits.csv").write_text(SPLITS)
    settings = yaml.safe_load((ROOT / "tests/workflow/tiny.yaml").read_text())
    return report_dataset(Plan(schema.check(settings, "config.yaml")), "tiny")


def test_captions_are_judged_on_the_commonest_task_and_the_first_scheme(shown: Any) -> None:
    assert shown.task == "emotion"
    assert shown.folds == [{"c0": "train", "c1": "test"}, {"c0": "test", "c1": "train"}]


def test_truth_is_looked_for_beside_the_clips(shown: Any) -> None:
    assert [path.as_posix() for path in shown.truth] == [
        f"videos/clips/0000{shard}.truth.parquet" for shard in (0, 1)
    ]


def test_training_says_what_is_missing_and_how_to_make_it(shown: Any) -> None:
    plan = Plan(schema.check(yaml.safe_load((ROOT / "tests/workflow/tiny.yaml").read_text()), "c"))
    with pytest.raises(ConfigError) as refused:
        train(plan, "linear", "fold1", 0, gpus=0, cores=1)
    told = str(refused.value)
    assert "1 of 1 files that it reads are missing" in told
    assert "results/tiny/visual_features/demo/00000.parquet" in told
    assert "snakemake --cores all results/models/linear/fold1-seed0/model.json" in told
    with pytest.raises(ConfigError, match="linear has no split 'fold9'; known: fold1"):
        train(plan, "linear", "fold9", 0, gpus=0, cores=1)
