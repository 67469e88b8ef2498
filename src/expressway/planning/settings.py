"""The whole configuration as one typed model: what to compute, never where or how fast."""

import json
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, StringConstraints, create_model

from expressway import stages
from expressway.core.config import StrictModel, nearest, read_yaml, validate
from expressway.core.errors import ConfigError
from expressway.core.manifest import DatasetConfig
from expressway.data.importers import OFFICIAL

Name = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]*$")]
StoreName = Annotated[str, StringConstraints(pattern=r"^[a-z_]+/[A-Za-z0-9_-]+$")]
ResultName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_-]+/[A-Za-z0-9_-]+$")]
Protocol = Literal["zero_shot", "supervised", "leave_one_out", "open_set", "compound", "regression"]
TABLES = Path("config/tables")
_SECTIONS = ("stages", "models", "evaluations", *stages.NAMES)
NEEDS_PROMPTS = ("zero_shot", "leave_one_out", "compound")


class ModelConfig(StrictModel):
    """A model: method x recipe x training data x splits x seeds."""

    method: Name = Field(description="which method: clip, linear, emoclip")
    dataset: Name = Field(description="data set it is trained on")
    protocol: Protocol = Field(
        description="what training sees: captions (zero_shot), labels of all classes (supervised) "
        "or of a class scheme's known ones (leave_one_out, open_set), numbers (regression)"
    )
    task: Name = Field("emotion", description="label column that names the classes")
    targets: list[str] = Field(
        default_factory=list, description="columns with the numbers to predict (regression)"
    )
    scheme: Name | None = Field(
        None,
        description="split scheme, or one of the data set's class schemes; a model per split",
    )
    splits: list[Name] | None = Field(None, description="which of its splits; default: all")
    seeds: list[int] = Field(default_factory=lambda: [0], description="a model per seed")
    stores: dict[Name, Name] = Field(description="variant to read, per stage the method needs")
    backbone: str | None = Field(
        None, description="CLIP of methods that read images; default: the visual features' own"
    )
    prompts: Name | None = Field(None, description="class prompt set, where training uses it")
    start_from: str | None = Field(
        None,
        description="model whose weights it starts from (the run of the same split and seed, else "
        "the only one), or a folder of imported weights",
    )
    recipe: dict[str, Any] = Field(
        default_factory=dict, description="changes to the method's recipe (docs/methods)"
    )


class UnknownConfig(StrictModel):
    """Clips of another data set: those whose class a model does not know."""

    dataset: Name = Field(description="data set with the unknown clips")
    task: Name = Field("emotion", description="its label column")
    scheme: Name | None = Field(
        None, description="split scheme of which a part is tested; default: all clips with a label"
    )


class EvaluationConfig(StrictModel):
    """An evaluation: models x test data x protocol x prompts."""

    protocol: Protocol = Field(
        description="zero_shot: classes given by texts; supervised: trained classes; "
        "leave_one_out: the unseen class among all; open_set: known or not; compound: joined "
        "classes; regression: numbers"
    )
    models: list[Name] = Field(description="models that are evaluated")
    dataset: Name = Field(description="data set with the test clips")
    task: Name = Field("emotion", description="label column that holds the truth")
    part: Literal["train", "validation", "test"] = Field("test", description="part of the split")
    scheme: Name | None = Field(None, description="split scheme, when other than the model's")
    prompts: Name | None = Field(
        None, description="class prompt set (zero_shot, leave_one_out, compound)"
    )
    unknown: UnknownConfig | None = Field(
        None,
        description="open_set across data sets: known clips come from `dataset`, unknown from here",
    )

    @property
    def datasets(self) -> list[str]:
        """The data sets whose clips are tested."""
        return [self.dataset, *([self.unknown.dataset] if self.unknown else [])]


class ComparisonConfig(StrictModel):
    """A paired comparison of two results on the same clips."""

    a: ResultName = Field(description="model/evaluation expected to be better")
    b: ResultName = Field(description="model/evaluation it is compared with")


class TableRow(StrictModel):
    """A row of a table: results, or with no ``cells`` a row of the paper's only."""

    title: str = Field(description="how the row is named; rows of the published file match by it")
    cells: dict[str, ResultName] = Field(
        default_factory=dict, description="column -> model/evaluation"
    )


class TableConfig(StrictModel):
    """``config/tables/NAME.yaml``: one table, and what is trained and evaluated for it."""

    title: str = Field(description="caption of the table")
    source: str = Field("", description="the paper and table whose numbers stand beside ours")
    metrics: list[str] = Field(
        default_factory=lambda: ["unweighted_average_recall", "weighted_average_recall"],
        description="metrics shown; recall_of_CLASS is one class's recall",
    )
    rows: list[TableRow] = Field(description="rows in order")
    stages: dict[str, dict[str, Any]] = Field(
        default_factory=dict, description="variants of stages, added to the configuration's"
    )
    models: dict[Name, dict[str, Any]] = Field(
        default_factory=dict, description="models, added to the configuration's"
    )
    evaluations: dict[Name, dict[str, Any]] = Field(
        default_factory=dict, description="evaluations, added to the configuration's"
    )


class ReportConfig(StrictModel):
    """What the report shows."""

    title: str = Field("Expressway report", description="heading of the report")
    thumbnails: bool = Field(
        False, description="show film strips; faces are personal data, so this is off by default"
    )


_VARIANTS: dict[str, Any] = {
    name: (
        dict[Name, stages.get(name).config],  # type: ignore[misc]
        Field(default_factory=dict, description=f"variants of {name}"),
    )
    for name in stages.NAMES
}
StagesConfig: Any = create_model(
    "StagesConfig", __base__=StrictModel, __doc__="Named variants of every stage.", **_VARIANTS
)


class Settings(StrictModel):
    """The configuration of a workflow."""

    datasets: list[Name] = Field(description="data sets to process (files in dataset_folder)")
    dataset_folder: str = Field("config/datasets", description="folder of the data sets' files")
    prompts: str = Field("config/prompts/classes.yaml", description="class prompt sets")
    prepare: list[StoreName] = Field(
        default_factory=list, description="stores to make for every data set: stage/variant"
    )
    stages: StagesConfig = Field(description="stage -> variant -> its configuration")
    models: dict[Name, ModelConfig] = Field(default_factory=dict, description="models to train")
    evaluations: dict[Name, EvaluationConfig] = Field(
        default_factory=dict, description="evaluations to run"
    )
    comparisons: list[ComparisonConfig] = Field(
        default_factory=list, description="paired comparisons to print"
    )
    tables: list[Name] = Field(
        default_factory=list,
        description="tables to make with the rest; each brings its models with it",
    )
    report: ReportConfig = Field(ReportConfig(), description="the report")


def load(path: Path) -> Settings:
    """Return a configuration file as typed settings, its references checked.

    Raises:
        ConfigError: all problems at once, each with key path, allowed values, nearest name.
    """
    return check(read_yaml(path), str(path))


def check(data: dict[str, Any], where: str) -> Settings:
    """Return configuration data as typed settings, its references checked."""
    try:
        settings = validate(Settings, data)
        found = reference_problems(settings)
    except ConfigError as error:
        found = str(error).splitlines()
    if found:
        raise ConfigError("\n".join(f"{where}: {problem}" for problem in found))
    return settings


def table(name: str) -> TableConfig:
    """Return one table's configuration.

    Raises:
        ConfigError: there is no such table, or its file has problems.
    """
    path = TABLES / f"{name}.yaml"
    if not path.is_file():
        raise ConfigError("\n".join(_missing("tables", name, table_names())))
    return validate(TableConfig, read_yaml(path), str(path))


def table_names() -> list[str]:
    """Return the names of the tables that can be asked for."""
    return sorted(file.stem for file in TABLES.glob("*.yaml"))


def catalogue(settings: Settings) -> Settings:
    """Return the settings with the stages, models and evaluations that all tables bring.

    Raises:
        ConfigError: a table says otherwise than the configuration, or than another table, under
            the same name.
    """
    merged = settings.model_dump(mode="json", exclude_unset=True)
    for name in table_names():
        brought = table(name).model_dump(
            include={"stages", "models", "evaluations"}, exclude_unset=True
        )
        merged = _merge(merged, brought, f"{TABLES}/{name}.yaml: ")
    found = check(merged, str(TABLES))
    problems = [
        problem
        for name in table_names()
        for row in table(name).rows
        for column, result in row.cells.items()
        for problem in _missing(
            f"{TABLES}/{name}.yaml: {row.title}.{column}", result, _results(found)
        )
    ]
    if problems:
        raise ConfigError("\n".join(problems))
    return found


def _merge(ours: dict[str, Any], theirs: dict[str, Any], where: str) -> dict[str, Any]:
    """Return both mappings in one; what both name must be the same."""
    found = dict(ours)
    for key, value in theirs.items():
        if key not in found or found[key] == value:
            found[key] = value
        elif isinstance(value, dict) and (key in _SECTIONS or where.endswith("evaluations.")):
            found[key] = _merge(found[key], value, f"{where}{key}.")
        elif key == "models":
            # an evaluation may be asked of more models by another table
            found[key] = list(dict.fromkeys([*found[key], *value]))
        else:
            raise ConfigError(
                f"{where}{key}: the configuration, or another table, has another entry of this "
                "name; rename one"
            )
    return found


def dataset_config(settings: Settings, name: str) -> DatasetConfig:
    """Return one data set's configuration.

    Raises:
        ConfigError: there is no such data set, or its file has problems.
    """
    folder = Path(settings.dataset_folder)
    path = folder / f"{name}.yaml"
    if not path.is_file():
        known = sorted(file.stem for file in folder.glob("*.yaml"))
        how = f"{name} --root DIR" if name in OFFICIAL else f"folder DIR --name {name}"
        raise ConfigError(
            f"no data set {name!r}{nearest(name, known)}; known: {', '.join(known) or 'none'} "
            f"(files in {folder}); add it with: expressway import {how}"
        )
    return validate(DatasetConfig, read_yaml(path), str(path))


def variants(settings: Settings, stage: str) -> dict[str, Any]:
    """Return the variants of a stage: name -> configuration."""
    found: dict[str, Any] = getattr(settings.stages, stage)
    return found


def reference_problems(settings: Settings) -> list[str]:
    """Return one line per name that leads nowhere."""
    return [
        *_stage_references(settings),
        *_store_references(settings),
        *_model_references(settings),
        *_evaluation_references(settings),
        *_comparison_references(settings),
        *_table_references(settings),
    ]


def _missing(where: str, name: str, known: Any) -> list[str]:
    if name in known:
        return []
    names = ", ".join(sorted(known)) or "none"
    return [f"{where}: no {name!r}{nearest(name, known)}; known: {names}"]


def _stage_references(settings: Settings) -> list[str]:
    found = []
    for stage in stages.NAMES:
        for name, config in variants(settings, stage).items():
            for upstream, variant in config.upstream().items():
                where = f"stages.{stage}.{name}.{upstream}"
                found += _variant(settings, where, upstream, variant)
    return found


def _variant(settings: Settings, where: str, stage: str, variant: str) -> list[str]:
    if stage not in stages.NAMES:
        return _missing(where, stage, stages.NAMES)
    return _missing(where, variant, variants(settings, stage))


def _store_references(settings: Settings) -> list[str]:
    return [
        problem
        for index, name in enumerate(settings.prepare)
        for problem in _variant(settings, f"prepare.{index}", *name.split("/"))
    ]


def _model_references(settings: Settings) -> list[str]:
    found = []
    for name, model in settings.models.items():
        for stage, variant in model.stores.items():
            found += _variant(settings, f"models.{name}.stores.{stage}", stage, variant)
        if (model.protocol == "regression") != bool(model.targets):
            found.append(f"models.{name}.targets: regression, and only it, names target columns")
        if model.backbone is None and "visual_features" not in model.stores:
            found.append(f"models.{name}.backbone: name the CLIP, no visual_features tell it")
        found += _start_problems(settings, name)
    return found


def _start_problems(settings: Settings, name: str) -> list[str]:
    """Return what is wrong with where a model starts: no such model, or in the end itself."""
    where, chain = f"models.{name}.start_from", [name]
    while (above := settings.models[chain[-1]].start_from) is not None:
        if above in chain:
            return [f"{where}: leads back to {above}: {' <- '.join([*chain, above])}"]
        if above not in settings.models:
            folder = "/" in above  # of imported weights
            return [] if folder or len(chain) > 1 else _missing(where, above, settings.models)
        chain.append(above)
    return []


def _evaluation_references(settings: Settings) -> list[str]:
    found = []
    for name, evaluation in settings.evaluations.items():
        for model in evaluation.models:
            found += _missing(f"evaluations.{name}.models", model, settings.models)
        if evaluation.protocol in NEEDS_PROMPTS and not evaluation.prompts:
            needed = f"{evaluation.protocol} needs a class prompt set"
            found.append(f"evaluations.{name}.prompts: {needed}")
        if evaluation.unknown and evaluation.protocol != "open_set":
            found.append(f"evaluations.{name}.unknown: only open_set has unknown clips")
        elif evaluation.unknown and evaluation.unknown.dataset == evaluation.dataset:
            found.append(f"evaluations.{name}.unknown.dataset: name another data set")
    return found


def _results(settings: Settings) -> set[str]:
    return {
        f"{model}/{name}"
        for name, evaluation in settings.evaluations.items()
        for model in evaluation.models
    }


def _comparison_references(settings: Settings) -> list[str]:
    known = _results(settings)
    return [
        problem
        for index, comparison in enumerate(settings.comparisons)
        for side, result in (("a", comparison.a), ("b", comparison.b))
        for problem in _missing(f"comparisons.{index}.{side}", result, known)
    ]


def _table_references(settings: Settings) -> list[str]:
    return [
        problem for name in settings.tables for problem in _missing("tables", name, table_names())
    ]


@lru_cache(maxsize=1)
def json_schema() -> str:
    """Return the JSON schema of ``config/config.yaml``, as it is committed."""
    return json.dumps(Settings.model_json_schema(), indent=1, sort_keys=True) + "\n"
