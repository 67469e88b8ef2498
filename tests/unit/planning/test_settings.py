"""The configuration as a whole: generated files do not drift, references lead somewhere."""

import csv
from pathlib import Path
from typing import Any

import pytest
import yaml

from expressway import methods
from expressway.commands import schema as manual
from expressway.core.config import validate
from expressway.core.errors import ConfigError
from expressway.planning import settings as schema
from expressway.planning.plan import Plan
from expressway.reporting import published_table

ROOT = Path(__file__).parents[3]


@pytest.fixture
def settings():
    return yaml.safe_load((ROOT / "config/config.yaml").read_text())


def test_the_default_configuration_is_valid(settings):
    schema.check(settings, "config.yaml")


def test_the_demo_shows_every_method_under_every_protocol_that_it_supports(settings):
    found = schema.check(settings, "config.yaml")
    shown = {
        (found.models[name].method, evaluation.protocol)
        for evaluation in found.evaluations.values()
        for name in evaluation.models
    }
    supported = {(name, p) for name in methods.names() for p in methods.get(name).protocols}
    # mllm asks a language model, which the demo does not have
    assert supported - shown == {("mllm", "zero_shot")}
    assert shown <= supported
    for name, model in found.models.items():
        methods.get(model.method).check_protocol(model.protocol)
        methods.recipe(model.method, model.recipe, name)


def test_the_committed_schema_is_the_generated_one():
    assert (ROOT / "config/config.schema.json").read_text() == schema.json_schema(), "make schema"


def test_the_manual_lists_every_key():
    page = ROOT / "config/README.md"
    assert page.read_text() == manual.rewrite(page), "make schema"
    dvc = (ROOT / "dvc.yaml").read_text()
    assert dvc == manual.versioned(dvc), "make schema"


def test_every_key_is_explained():
    lines = manual.tables().splitlines()
    assert [line for line in lines if line.endswith("|  |")] == []


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda c: c["stages"]["faces"]["mediapipe"].update(frames="natve"), "'native'?"),
        (lambda c: c["models"]["linear"].update(stores={"visual_features": "x"}), "known: demo"),
        (
            lambda c: c["models"]["linear"].update(stores={}),
            "models.linear.backbone: name the CLIP",
        ),
        (lambda c: c["evaluations"]["names"].update(models=["clp"]), "did you mean 'clip'?"),
        (lambda c: c["models"]["linear"].update(start_from="emclip"), "did you mean 'emoclip'?"),
        (lambda c: c["models"]["linear"].update(start_from="linear"), "linear <- linear"),
        (lambda c: c["comparisons"].append({"a": "clip/x", "b": "clip/names"}), "no 'clip/x'"),
        (lambda c: c["prepare"].append("landmark/mediapipe"), "did you mean 'landmarks'?"),
        (lambda c: c.update(modls={}), "unknown key; did you mean 'models'?"),
        (lambda c: c["evaluations"]["names"].update(prompts=None), "needs a class prompt set"),
    ],
)
def test_names_that_lead_nowhere_are_found_before_any_job(settings, change, expected):
    change(settings)
    with pytest.raises(ConfigError) as caught:
        schema.check(settings, "config.yaml")
    assert expected in str(caught.value)
    assert all(line.startswith("config.yaml: ") for line in str(caught.value).splitlines())


def with_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, **table: Any) -> dict[str, Any]:
    folder = tmp_path / "config/tables"
    folder.mkdir(parents=True)
    described = {"title": "T", "rows": [], **table}
    (folder / "mine.yaml").write_text(yaml.safe_dump(described))
    monkeypatch.setattr(schema, "TABLES", folder)
    return {
        "datasets": ["demo"],
        "stages": {"frames": {"native": {}}},
        "models": {"one": {"method": "clip", "dataset": "demo", "protocol": "zero_shot",
                           "stores": {"frames": "native"}, "backbone": "ViT-B-32/openai"}},
        "tables": ["mine"],
    }  # fmt: skip


def test_a_table_brings_its_stages_models_and_evaluations(tmp_path, monkeypatch) -> None:
    clip = {"method": "clip", "protocol": "zero_shot", "backbone": "ViT-B-32/openai"}
    two = {**clip, "dataset": "more", "stores": {"frames": "t"}}
    evaluation = {"protocol": "zero_shot", "models": ["two"], "dataset": "more", "prompts": "names"}
    data = with_table(
        tmp_path,
        monkeypatch,
        stages={"frames": {"t": {}}},
        models={"two": two},
        evaluations={"e": evaluation, "shared": {**evaluation, "models": ["two"]}},
        rows=[{"title": "CLIP", "cells": {"More": "two/e"}}],
    )
    data["evaluations"] = {"shared": {**evaluation, "models": ["one"]}}
    plan = Plan(schema.check(data, "test"))
    assert set(plan.settings.models) == {"one"}
    assert plan.configuration.model("two").dataset == "more"
    assert plan.configuration.evaluation("e").models == ["two"]
    assert plan.configuration.catalogue.evaluations["shared"].models == ["one", "two"]
    assert plan.configuration.variant("frames", "t") == plan.configuration.variant(
        "frames", "native"
    )
    with pytest.raises(ConfigError, match="no model 'three'"):
        plan.configuration.model("three")


def test_a_table_that_contradicts_the_configuration_is_refused(tmp_path, monkeypatch) -> None:
    other = {"method": "linear", "dataset": "demo", "protocol": "supervised", "stores": {}}
    data = with_table(tmp_path, monkeypatch, models={"one": other})
    with pytest.raises(
        ConfigError, match=r"mine\.yaml: models\.one: the configuration, or another"
    ):
        schema.catalogue(schema.check(data, "test"))


def test_cells_and_tables_that_lead_nowhere_are_named(tmp_path, monkeypatch) -> None:
    rows = [{"title": "CLIP", "cells": {"More": "one/nothing"}}]
    data = with_table(tmp_path, monkeypatch, rows=rows)
    with pytest.raises(ConfigError, match=r"mine\.yaml: CLIP\.More: no 'one/nothing'"):
        schema.catalogue(schema.check(data, "test"))
    with pytest.raises(ConfigError, match=r"no 'mime'; did you mean 'mine'"):
        schema.check({**data, "tables": ["mime"]}, "test")


def test_the_tables_that_ship_fit_together() -> None:
    plan = Plan(schema.load(Path("config/config.yaml")))
    for name, model in plan.configuration.catalogue.models.items():
        method = methods.get(model.method)
        method.check_protocol(model.protocol)
        recipe = validate(method.recipe_type, plan.configuration.recipe(name), name)
        # reads the stores that its method needs, and can be told which CLIP to load
        needed = {
            need.stage
            for phase in ("train", "predict")
            for need in method.stores(recipe, model.protocol, phase)
            if not need.optional
        }
        assert needed <= set(model.stores), name
        assert plan.configuration.backbone(name), name
    for evaluation in plan.configuration.catalogue.evaluations.values():
        for name in evaluation.models:
            methods.get(plan.configuration.model(name).method).check_protocol(evaluation.protocol)
        plan.configuration.prompt_set(evaluation.prompts)


def test_published_numbers_belong_to_tables_and_columns() -> None:
    for name in schema.table_names():
        described = schema.table(name)
        printed = published_table.read_published(schema.TABLES / "published.csv", name)
        columns = {column for row in described.rows for column in row.cells}
        assert {number.column for number in printed} <= columns, name
        assert {number.metric for number in printed} <= set(described.metrics), name
        if printed:
            # at least one row of ours has a number beside it
            assert {row.title for row in described.rows} & {number.row for number in printed}, name


def test_printed_numbers_say_how_their_epoch_was_chosen_or_nothing():
    with (ROOT / "config/tables/published.csv").open(newline="") as file:
        lines = list(csv.DictReader(file))
    assert {line["selection"] for line in lines} == {"", "test", "last epoch", "nothing is trained"}
    for line in lines:
        marked = "select" in line["note"] and "on test" in line["note"]
        assert (line["selection"] == "test") == marked, line
        titles = [row.title for row in schema.table(line["table"]).rows]
        # EmoCLIP's and DFER-CLIP's releases keep the epoch that is best on the test clips
        if line["row"].startswith(("EmoCLIP", "DFER-CLIP")):
            assert marked, line
        if line["row"].startswith("FineCLIPER"):
            assert line["row"] in titles
