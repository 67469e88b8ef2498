"""Check the configuration, manifests, splits and files, before any job."""

from pathlib import Path
from typing import Annotated, get_args

import typer

from expressway import methods
from expressway.commands._options import CONFIG, ConfigOption
from expressway.core.errors import ConfigError, ExpresswayError, RowFailure
from expressway.core.manifest import contained, missing_files
from expressway.core.store import Store
from expressway.data.overlaps import Overlap, alike, looks, shared
from expressway.methods.description import Phase
from expressway.planning import paths
from expressway.planning import settings as schema
from expressway.planning.datasets import Dataset
from expressway.planning.plan import Plan, narrowed
from expressway.planning.settings import Settings


def problems(config: Path) -> list[str]:
    """Return one line per problem; an empty list when a run may start."""
    try:
        settings = schema.load(config)
    except ExpresswayError as error:
        return str(error).splitlines()
    plan = Plan(settings)
    found: list[str] = []
    for name in _named(settings):
        try:
            found += _file_problems(plan.dataset(name))
        except ExpresswayError as error:
            found += str(error).splitlines()
    if found:
        return found
    for each in (plan, *(narrowed(plan, table) for table in settings.tables)):
        found += _model_problems(each, each.settings)
    return list(dict.fromkeys(found))


def overlaps(config: Path, look_alikes: bool = False) -> list[str]:
    """Return one line per overlap between parts of a split: files, recordings, subjects.

    Args:
        look_alikes: also compare the face crops of clips; takes a finished store of ``faces``.
    """
    settings = schema.load(config)
    plan = Plan(settings)
    return [
        f"{dataset.config.splits}: {overlap}"
        for dataset in map(plan.dataset, _named(settings))
        for overlap in [
            *shared(dataset.clips, dataset.splits, dataset.contents, dataset.root),
            *(_alike(settings, dataset) if look_alikes else []),
        ]
    ]


def _alike(settings: Settings, dataset: Dataset) -> list[Overlap]:
    found = look_alike_pairs(settings, dataset)
    if found is None:
        raise ConfigError(
            f"data set {dataset.name}: look-alikes are found by face crops, and no store of faces "
            "is finished; make one first, such as with snakemake --cores all "
            f"{paths.report(dataset.name)}"
        )
    return found


def look_alike_pairs(settings: Settings, dataset: Dataset) -> list[Overlap] | None:
    """Return the pairs that look alike across parts; None when no store of faces is finished."""
    stores = (
        [Path(paths.shard(dataset.name, "faces", variant, shard)) for shard in dataset.shards]
        for variant in schema.variants(settings, "faces")
    )
    finished = next((files for files in stores if all(map(Path.is_file, files))), None)
    if finished is None:
        return None
    ids = {row.clip_id for row in dataset.splits}
    return alike(looks(Store(finished), sorted(ids)), dataset.splits)


def _named(settings: Settings) -> list[str]:
    """Return the data sets that the configuration names, and those that were imported."""
    models = [model.dataset for model in settings.models.values()]
    evaluations = [d for evaluation in settings.evaluations.values() for d in evaluation.datasets]
    imported = sorted(path.stem for path in Path(settings.dataset_folder).glob("*.yaml"))
    return list(dict.fromkeys([*settings.datasets, *models, *evaluations, *imported]))


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
            methods.describe(model.method).check_protocol(model.protocol)
            found += _missing_stores(plan, name)
            plan.models.splits(name)
            plan.configuration.prompt_set(model.prompts)
        except ExpresswayError as error:
            found += [f"models.{name}: {line}" for line in str(error).splitlines()]
    for name, evaluation in settings.evaluations.items():
        try:
            plan.configuration.prompt_set(evaluation.prompts)
            for dataset in evaluation.datasets:
                plan.dataset(dataset)
        except ExpresswayError as error:
            found += [f"evaluations.{name}: {line}" for line in str(error).splitlines()]
    return found


def _missing_stores(plan: Plan, name: str) -> list[str]:
    """Return what a model's method reads and the model names no variant of."""
    stores = plan.configuration.model(name).stores
    needed = {
        need.stage
        for phase in get_args(Phase)
        for need in plan.configuration.needs(name, phase)
        if not need.optional
    }
    return [
        f"models.{name}.stores: its method reads {stage} under this recipe; name a variant of it"
        for stage in sorted(needed - set(stores))
    ]


def command(
    look_alikes: Annotated[
        bool, typer.Option("--look-alikes", help="compare faces across parts of each split, too")
    ] = False,
    config: ConfigOption = CONFIG,
) -> None:
    """Check the configuration, manifests, splits and files; list all problems at once."""
    found = problems(config)
    for line in found:
        print(line)
    if found:
        raise ExpresswayError(f"{len(found)} problem(s); mend them and run validate again")
    for line in overlaps(config, look_alikes):
        print(f"warning: {line}")
    print("no problems found")
