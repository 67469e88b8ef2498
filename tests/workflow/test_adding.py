"""The pages on adding a stage, a method, a data set: followed to the letter in a fresh copy."""

import re
import shutil

import pytest
import yaml
from project import ROOT

from expressway.core.store import Store

DOCS = ROOT / "docs"
FILE = r"`(src/expressway/\S+)`:\n\n```python\n(.*?)```"
CONFIG = r"in `config/config.yaml`:\n\n```yaml\n(.*?)```"


def follow(project, page):
    """Write the files of a page and add its lines to the configuration."""
    text = (DOCS / page).read_text("utf-8")
    for name, code in re.findall(FILE, text, re.DOTALL):
        file = project.folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(code, "utf-8")
    for block in re.findall(CONFIG, text, re.DOTALL):
        added = yaml.safe_load(block.replace("dataset: demo", "dataset: tiny"))
        project.config(lambda config, added=added: merge(config, added))
    return text


def merge(config, added):
    for key, value in added.items():
        if isinstance(value, dict):
            merge(config.setdefault(key, {}), value)
        elif isinstance(value, list):
            config[key] = [*config.get(key, []), *value]
        else:
            config[key] = value


def report(project):
    return (project.folder / "results/report/index.html").read_text("utf-8")


def test_a_stage_is_one_file(project):
    before = set((project.folder / "src").rglob("*.py"))
    text = follow(project, "adding-a-stage.md")
    assert len(set((project.folder / "src").rglob("*.py")) - before) == 1
    shutil.copy(ROOT / "dvc.yaml", project.folder / "dvc.yaml")
    commands = re.search(r"Then:\n\n```bash\n(.*?)```", text, re.DOTALL)[1]
    project.run("bash", "-euc", commands)
    store = Store(sorted((project.folder / "results/tiny/brightness/plain").glob("*.parquet")))
    rows = [store.row(clip) for clip in store if store.usable(clip)]
    assert len(rows) > 12
    assert all(0 < value < 255 for row in rows for value in row["brightness"])
    assert "The brightness of every face was measured." in report(project)
    assert "results/${item}/brightness:" in (project.folder / "dvc.yaml").read_text()
    assert "brightness" in (project.folder / "config/config.schema.json").read_text()
    listed = project.snakemake("--list-rules").stdout
    assert "Measure how bright every aligned face is." in listed
    assert project.jobs() == {}


def test_a_method_is_one_folder(project):
    follow(project, "adding-a-method.md")
    assert "no problems found" in project.expressway("validate").stdout
    project.snakemake()
    page = report(project)
    assert "CLIP with a weight per feature" in page
    assert "scaled" in page
    assert project.jobs() == {}


@pytest.fixture
def videos(project):
    """The files that the page's table names, in the user's home."""
    clips = sorted((project.folder / "videos/clips").glob("*.mp4"))
    (project.folder / "videos/a").mkdir()
    for number in (1, 2):
        shutil.copy(clips[number], project.folder / f"videos/a/{number:03}.mp4")
    return project


def test_a_data_set_from_a_table(videos):
    text = (DOCS / "adding-a-data-set.md").read_text("utf-8")
    table = re.search(r"```csv\n(path,.*?)```", text, re.DOTALL)[1]
    (videos.folder / "clips.csv").write_text(table)
    [command] = re.findall(r"^expressway import table .*$", text, re.MULTILINE)
    check = text.partition("## Check, prepare, look\n")[2].partition("```bash\n")[2]
    done = videos.run("bash", "-euc", f"{command}\n{check.partition('```')[0]}")
    assert "2 clip(s) added" in done.stdout
    assert "no problems found" in done.stdout
    page = (videos.folder / "results/mine/report/index.html").read_text("utf-8")
    assert "a--001" in page
    described = yaml.safe_load((videos.folder / "config/datasets/mine.yaml").read_text())
    assert described["labels"]["emotion"] == ["happiness", "sadness"]
