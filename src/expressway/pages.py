"""What people read, as jobs write it: tables, reports, pages of clips and captions."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from expressway.core.errors import ConfigError
from expressway.core.files import write_json
from expressway.core.fingerprints import package_versions
from expressway.jobs import OWN_PACKAGES
from expressway.planning import paths, settings
from expressway.planning.outputs import Outputs
from expressway.planning.plan import Plan, narrowed
from expressway.planning.records import note

REPORTED_PACKAGES = (
    *OWN_PACKAGES,
    *("torch", "open_clip_torch", "lightning", "mediapipe", "insightface", "av", "snakemake"),
)
TABLES = Path("results/tables")


def table(plan: Plan, name: str) -> list[Path]:
    """Write ``results/tables/NAME.{csv,md,html,tex}``; return the files.

    ``results`` is the table of everything, with ``metrics.json``; the others stand in the
    configuration's ``tables``.
    """
    return _all_results(plan) if name == "results" else _published_table(plan, name)


def _published_table(plan: Plan, name: str) -> list[Path]:
    from expressway.reporting.tables import published

    described = settings.table(name)
    rows = [
        (
            title,
            {
                column: [Path(paths.evaluation(*result)) for result in results]
                for column, results in cells.items()
            },
        )
        for title, cells in plan.evaluations.table_rows(name)
    ]
    table = published.TableSpec(
        name=name,
        title=described.title,
        source=described.source,
        metrics=described.metrics,
        rows=rows,
        published=settings.TABLES / "published.csv",
    )
    chosen = narrowed(plan, name)
    outputs = Outputs(plan)
    output = outputs.table(name)
    made_of = outputs.record(output)
    written = published.write(table, _report_spec(chosen, described.title), TABLES)
    note(output.path, made_of)
    return written


def _all_results(plan: Plan) -> list[Path]:
    from expressway.reporting.sections import results
    from expressway.reporting.tables import formats as plain

    evaluations = [Path(path) for path in plan.evaluations.all_folders()]
    written = plain.write("results", plan.settings.report.title, evaluations, TABLES)
    metrics = {
        f"{row.model}/{row.evaluation}": {m: v.pooled for m, v in row.measures.items()}
        for row in results.summarise(evaluations)
    }
    write_json(TABLES / "metrics.json", metrics)
    outputs = Outputs(plan)
    output = outputs.results_table()
    note(output.path, outputs.record(output))
    return [*written, TABLES / "metrics.json"]


def report(plan: Plan, out: Path, dataset: str | None = None) -> Path:
    """Write the report on everything, or on what was found in one data set; return the file."""
    from expressway import reporting

    title = plan.settings.report.title if dataset is None else f"What was found in {dataset}"
    spec = _report_spec(plan, title, dataset)
    if dataset is None:
        plain = ("All results as plain tables", "../tables/results.html")
        spec = replace(spec, pages=[plain, *spec.pages])
    outputs = Outputs(plan)
    output = outputs.report(dataset)
    made_of = outputs.record(output)
    written = reporting.build(spec, out)
    if written == Path(output.path):
        note(output.path, made_of)
    return written


def _report_spec(plan: Plan, title: str, dataset: str | None = None) -> Any:
    from expressway.reporting import ReportSpec

    names = [dataset] if dataset else plan.settings.datasets
    whole = dataset is None
    return ReportSpec(
        title=title,
        demo=any(plan.dataset(name).config.demo_seed is not None for name in names),
        thumbnails=plan.settings.report.thumbnails,
        datasets=[
            replace(_report_dataset(plan, name), overlaps=_overlaps(plan, name)) for name in names
        ],
        evaluations=[Path(path) for path in plan.evaluations.all_folders()] if whole else [],
        models=[Path(path) for path in plan.models.cards()] if whole else [],
        comparisons=[Path(path) for path in plan.evaluations.comparison_paths] if whole else [],
        benchmarks=_benchmarks(None if whole else dataset),
        config=plan.settings.model_dump(mode="json"),
        versions=package_versions(REPORTED_PACKAGES),
        pages=_table_pages(plan) if whole else [],
    )


def _table_pages(plan: Plan) -> list[tuple[str, str]]:
    """Return title and address, seen from the report, of the tables in the configuration."""
    return [(settings.table(n).title, f"../tables/{n}.html") for n in plan.settings.tables]


def audit_captions(
    plan: Plan,
    dataset: str,
    variant: str,
    out: Path | None,
    clips: int,
    seed: int,
    task: str,
    scheme: str,
) -> Path:
    """Write the page on which a person checks captions; return the file."""
    from expressway.reporting.captions_page import AuditSpec, build

    folds = _folds(plan, dataset, scheme)
    shown, thumbnails = _report_dataset(plan, dataset), plan.settings.report.thumbnails
    spec = AuditSpec(shown, variant, task, folds, clips, seed, thumbnails)
    return build(spec, out or Path(f"results/{dataset}/captions/{variant}/audit.html"))


def inspect(plan: Plan, dataset: str | None, clip: str, out: Path | None) -> Path:
    """Write the page of one clip: what every stage and every model made of it; return the file.

    Raises:
        ConfigError: no data set has the clip, or several have it and none was named.
    """
    from expressway.reporting import clip_page

    name = dataset or _dataset_of(plan, clip)
    evaluations = [Path(path) for path in plan.evaluations.all_folders()]
    target = out or Path(f"results/{name}/clips/{clip}.html")
    return clip_page.build(_report_dataset(plan, name), clip, evaluations, target)


def _dataset_of(plan: Plan, clip: str) -> str:
    """Return the configured data set that has a clip; one alone answers for itself."""
    names = list(plan.settings.datasets)
    if len(names) > 1:
        names = [n for n in names if any(c.id == clip for c in plan.dataset(n).clips)]
    if len(names) != 1:
        found = f"is in {', '.join(names)}" if names else "is in no data set of the configuration"
        raise ConfigError(f"clip {clip!r} {found}; name its data set with --dataset")
    return names[0]


def _report_dataset(plan: Plan, name: str) -> Any:
    from expressway.reporting import ReportDataset

    stores = {
        (stage, variant): [Path(path) for path in plan.stores.paths(name, stage, variant)]
        for stage, variant in plan.stores.of_dataset(name)
    }
    data = plan.dataset(name)
    labelled = Counter(task for clip in data.clips for task in clip.labels)
    return ReportDataset(
        name=name,
        manifest=data.clips,
        stores=stores,
        coverage={store: Path(paths.coverage(name, *store)) for store in stores},
        truth=[Path(paths.truth(data.root, shard)) for shard in data.shards],
        task=max(data.config.labels, key=labelled.__getitem__, default=None),
        folds=_folds(plan, name, next((row.scheme for row in data.splits), "")),
    )


def _overlaps(plan: Plan, name: str) -> list[str]:
    """Return what parts of a data set's splits have in common; looks where faces are cut."""
    from expressway.commands.validate import look_alike_pairs
    from expressway.data.overlaps import shared

    data = plan.dataset(name)
    found = [
        *shared(data.clips, data.splits, data.contents, data.root),
        *(look_alike_pairs(plan.settings, data) or []),
    ]
    return [str(overlap) for overlap in found]


def _folds(plan: Plan, name: str, scheme: str) -> list[Mapping[str, str]]:
    """Return one mapping per split of a scheme: clip id -> part."""
    data = plan.dataset(name)
    return [data.split(scheme, split).parts for split in data.split_names(scheme)]


def _benchmarks(dataset: str | None) -> list[tuple[str, Path]]:
    """Return (rule, file) of every time that Snakemake took."""
    root = Path("logs/benchmarks")
    files = sorted((root / dataset if dataset else root).rglob("*.tsv"))
    return [(_rule_of(path.relative_to(root)), path) for path in files]


def _rule_of(path: Path) -> str:
    first = path.parts[0]
    if first in ("models", "evaluations", "comparisons"):
        if path.name.endswith(".predict.tsv"):
            return "predict"
        return {"models": "train", "evaluations": "evaluate", "comparisons": "compare"}[first]
    return path.parts[1] if len(path.parts) > 2 else path.stem
