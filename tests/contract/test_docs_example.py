"""The method in docs/adding-a-method.md: one folder in the registry is all it takes."""

import re
import sys
from pathlib import Path

import pytest

from expressway import methods
from expressway.core.errors import ConfigError
from expressway.models import evaluation, training
from expressway.models.prediction import scores

DOCS = Path(__file__).parents[2] / "docs"


@pytest.fixture
def scaled(tmp_path, monkeypatch) -> None:
    """Put the page's files into a folder that the registry looks into."""
    page = (DOCS / "adding-a-method.md").read_text("utf-8")
    for name, code in re.findall(
        r"`src/expressway/(\S+)`:\n\n```python\n(.*?)```", page, re.DOTALL
    ):
        file = tmp_path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(code, "utf-8")
    monkeypatch.setattr(methods, "__path__", [*methods.__path__, str(tmp_path / "methods")])
    yield
    for name in [name for name in sys.modules if name.startswith("expressway.methods.scaled")]:
        sys.modules.pop(name)


@pytest.mark.usefixtures("scaled")
def test_the_example_trains_predicts_and_is_evaluated(world, tmp_path) -> None:
    assert "scaled" in methods.names()
    spec = world.train_spec("scaled", "supervised", recipe={"epochs": 20, "batch_size": 16})
    out = training.train(spec, tmp_path / "model", tmp_path / "state")
    table = scores.predict(out, world.predict_spec("supervised"), tmp_path / "p.parquet")
    found = evaluation.evaluate(table, tmp_path / "metrics.json")
    assert found["parameters"]["trainable"] == 16
    # eleven test clips of three separable classes: chance would be a third
    assert found["metrics"]["unweighted_average_recall"]["value"] > 0.5
    with pytest.raises(ConfigError, match="scaled cannot run protocol zero_shot"):
        methods.describe("scaled").check_protocol("zero_shot")


def test_the_page_lists_every_method() -> None:
    page = (DOCS / "methods/README.md").read_text("utf-8")
    for name in methods.names():
        row = next(line for line in page.splitlines() if line.startswith(f"| `{name}` |"))
        assert all(protocol in row for protocol in methods.get(name).protocols)
