"""Plain values that pages are made from: reports, tables, pages of clips."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from expressway.commands.validate import look_alike_pairs
from expressway.core.fingerprints import OWN_PACKAGES, package_versions
from expressway.data.overlaps import shared
from expressway.planning import paths, settings
from expressway.planning.plan import Plan
from expressway.reporting import ReportDataset, ReportSpec

REPORTED_PACKAGES = (
    *OWN_PACKAGES,
    *("torch", "open_clip_torch", "lightning", "mediapipe", "insightface", "av", "snakemake"),
)


def report_spec(plan: Plan, title: str, dataset: str | None = None) -> ReportSpec:
    """Return what a report shows: of everything, or of one data set."""
    names = [dataset] if dataset else plan.settings.datasets
    whole = dataset is None
    return ReportSpec(
        title=title,
        demo=any(plan.dataset(name).config.demo_seed is not None for name in names),
        thumbnails=plan.settings.report.thumbnails,
        datasets=[
            replace(report_dataset(plan, name), overlaps=_overlaps(plan, name)) for name in names
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


def report_dataset(plan: Plan, name: str) -> ReportDataset:
    """Return what pages show of one data set: clips, stores, coverage, folds."""
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
        folds=folds(plan, name, next((row.scheme for row in data.splits), "")),
    )


def _overlaps(plan: Plan, name: str) -> list[str]:
    """Return what parts of a data set's splits have in common; looks where faces are cut."""
    data = plan.dataset(name)
    found = [
        *shared(data.clips, data.splits, data.contents, data.root),
        *(look_alike_pairs(plan.settings, data) or []),
    ]
    return [str(overlap) for overlap in found]


def folds(plan: Plan, name: str, scheme: str) -> list[Mapping[str, str]]:
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
