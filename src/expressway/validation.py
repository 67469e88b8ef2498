"""``expressway validate``: every problem of configuration, tables and files, before any job."""

from pathlib import Path

from expressway import methods, schema
from expressway.config import validate
from expressway.datasets import Dataset
from expressway.errors import ExpresswayError, RowFailure
from expressway.manifest import contained, missing_files
from expressway.plan import Plan
from expressway.schema import Settings


def problems(config: Path) -> list[str]:
    """Return one line per problem; an empty list when a run may start."""
    try:
        settings = schema.load(config)
    except ExpresswayError as error:
        return str(error).splitlines()
    plan = Plan(settings)
    found: list[str] = []
    used = [m.dataset for m in settings.models.values()]
    used += [e.dataset for e in settings.evaluations.values()]
    for name in dict.fromkeys([*settings.datasets, *used]):
        try:
            found += _file_problems(plan.dataset(name))
        except ExpresswayError as error:
            found += str(error).splitlines()
    return found or [*_model_problems(plan, settings)]


def _file_problems(dataset: Dataset) -> list[str]:
    if dataset.config.demo_seed is not None:
        return []
    manifest = Path(dataset.config.manifest)
    found = missing_files(dataset.clips, dataset.root, manifest)
    for clip in dataset.clips:
        where = f"{manifest}, line {clip.line}"
        try:
            contained(dataset.root, clip.path, dataset.config.follow_symlinks)
        except RowFailure as error:
            found.append(f"{where}: {error}")
        now = dataset.contents[clip.path]
        if clip.sha256 and now and now != clip.sha256:
            found.append(
                f"{where}: {clip.path!r} differs from the sha256 in the manifest; if the file was "
                "replaced on purpose, empty that cell or import it again"
            )
    return found


def _model_problems(plan: Plan, settings: Settings) -> list[str]:
    found = []
    for name, model in settings.models.items():
        try:
            method = methods.get(model.method)
            method.check_protocol(model.protocol)
            validate(method.recipe_type, plan.recipe(name), f"models.{name}.recipe")
            plan.splits(name)
            plan.prompt_set(model.prompts)
        except ExpresswayError as error:
            found += [f"models.{name}: {line}" for line in str(error).splitlines()]
    for name, evaluation in settings.evaluations.items():
        try:
            plan.prompt_set(evaluation.prompts)
            plan.dataset(evaluation.dataset)
        except ExpresswayError as error:
            found += [f"evaluations.{name}: {line}" for line in str(error).splitlines()]
    return found
