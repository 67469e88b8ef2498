"""The captions audit: one self-contained page of random clips for a person to check.

Film strip, raw and refined caption of each, what became of all answers, and how well captions
alone give the label away.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from expressway.core.errors import StoreError
from expressway.core.files import atomic_path
from expressway.core.store import Store
from expressway.reporting import ReportDataset
from expressway.reporting.page import asset, environment, policy
from expressway.reporting.sections.captions import Entry, drawn, entry, film, findings, labels

TEXT_LIMIT = 2000


@dataclass(frozen=True)
class AuditSpec:
    """What the page is about.

    Attributes:
        dataset: manifest and stores; film strips need a faces store in it.
        variant: of the captions store.
        task: label column that captions should not give away.
        folds: per fold clip id -> train, validation or test, for the leak audit.
        clips: how many clips are shown, drawn by a hash of seed and id.
        thumbnails: show pictures of faces; they are personal data.
    """

    dataset: ReportDataset
    variant: str
    task: str = "emotion"
    folds: Sequence[Mapping[str, str]] = ()
    clips: int = 24
    seed: int = 0
    thumbnails: bool = False


def build(spec: AuditSpec, out: Path) -> Path:
    """Write the page to ``out``; return its path.

    Raises:
        StoreError: there is no such captions store, or a shard of it cannot be read.
    """
    out.parent.mkdir(parents=True, exist_ok=True)
    page = render(spec)
    with atomic_path(out) as temporary:
        temporary.write_text(page, "utf-8")
    return out


def render(spec: AuditSpec) -> str:
    """Return the whole page as text."""
    store = _store(spec, "captions", spec.variant)
    if store is None:
        raise StoreError(
            f"{spec.dataset.name}: no shard of captions/{spec.variant}; make it with: "
            f"snakemake results/{spec.dataset.name}/coverage/captions/{spec.variant}.json"
        )
    style = asset("report.css")
    return (
        environment()
        .get_template("captions.html.j2")
        .render(
            spec=spec,
            entries=list(entries(spec, store)),
            findings=findings(store, labels(spec.dataset.manifest, spec.task), spec.folds),
            style=style,
            policy=policy(style, ""),
            text_limit=TEXT_LIMIT,
        )
    )


def _store(spec: AuditSpec, stage: str, variant: str | None = None) -> Store | None:
    """Return the shards that exist of a variant, or of a stage's first variant."""
    for (name, found), paths in spec.dataset.stores.items():
        there = [path for path in paths if path.exists()]
        if name == stage and variant in (None, found) and there:
            return Store(there)
    return None


def entries(spec: AuditSpec, store: Store) -> Iterator[Entry]:
    """Yield the drawn clips, in the order of the draw."""
    faces = _store(spec, "faces") if spec.thumbnails else None
    known = (clip for clip in spec.dataset.manifest if clip.id in store)
    for clip in drawn(known, spec.seed)[: spec.clips]:
        yield entry(store, clip, spec.task, film(faces, clip.id))
