"""The report, one self-contained HTML page, and the tables of results.

The graph fills a `ReportSpec` with paths; `build` reads stores, predictions and metrics
and never computes anything that costs more than a bootstrap.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from expressway.core.manifest import Clip

if TYPE_CHECKING:
    from expressway.reporting.published_table import Sheet

__all__ = ["ReportDataset", "ReportSpec", "build"]


@dataclass(frozen=True)
class ReportDataset:
    """One data set: its clips in manifest order and the shard tables made from them.

    `stores` maps (stage, variant) to the shard paths in shard order, `coverage` to what tells
    the states of clips whose shard was removed; what neither has is reported as not computed.
    `truth` are tables of the action units that a renderer
    drew; those that exist are read. `task` is the label that captions should not give away,
    `folds` one mapping per fold, clip id -> train, validation or test, on which that is tried.
    `overlaps` say in words what the parts of a split have in common.
    """

    name: str
    manifest: Sequence[Clip]
    stores: Mapping[tuple[str, str], Sequence[Path]]
    truth: Sequence[Path] = ()
    task: str | None = None
    folds: Sequence[Mapping[str, str]] = ()
    overlaps: Sequence[str] = ()
    coverage: Mapping[tuple[str, str], Path] = field(default_factory=dict)


@dataclass(frozen=True)
class ReportSpec:
    """Everything a report shows, as paths and plain values.

    `evaluations` are folders with predictions.parquet and metrics.json; `models` are
    model.json files; `comparisons` are JSON files of paired tests; `benchmarks` pairs a
    rule's name with one of Snakemake's benchmark tables. `thumbnails` decides whether
    pictures of faces, which are personal data, enter the file. `table` stands before all
    else; `pages` are titles and addresses of other pages.
    """

    title: str
    demo: bool
    thumbnails: bool
    datasets: Sequence[ReportDataset] = ()
    evaluations: Sequence[Path] = ()
    models: Sequence[Path] = ()
    comparisons: Sequence[Path] = ()
    benchmarks: Sequence[tuple[str, Path]] = ()
    config: Mapping[str, Any] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)
    table: "Sheet | None" = None
    pages: Sequence[tuple[str, str]] = ()


def build(spec: ReportSpec, out: Path) -> Path:
    """Write the report to `out` (an .html path or a folder for index.html); return its path.

    Raises StoreError when a shard table or an evaluation cannot be read.
    """
    from expressway.core.files import atomic_path
    from expressway.reporting.page import render

    target = out if out.suffix == ".html" else out / "index.html"
    target.parent.mkdir(parents=True, exist_ok=True)
    page = render(spec)
    with atomic_path(target) as temporary:
        temporary.write_text(page, encoding="utf-8")
    return target
