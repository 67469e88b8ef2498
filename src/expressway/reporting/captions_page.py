"""The captions audit: one self-contained page of random clips for a person to check.

Film strip, raw and refined caption of each, what became of all answers, and how well captions
alone give the label away.
"""

import hashlib
import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from expressway.errors import StoreError
from expressway.language.leak import Leak, audit
from expressway.manifest import Clip
from expressway.reporting import ReportDataset, text
from expressway.reporting.filmstrips import FRAMES, evenly, thumbnail
from expressway.reporting.html import policy
from expressway.store import Store, atomic_path

COLUMNS = ("raw", "refined", "flags", "measurements", "model", "prompt_id", "decoding")
TEXT_LIMIT = 2000
STRONGEST = 6


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


@dataclass(frozen=True)
class Entry:
    """One clip on the page."""

    clip: Clip
    truth: str | None
    state: Mapping[str, Any]
    raw: str | None
    refined: str | None
    flags: Sequence[str]
    movements: Sequence[str]
    film: Sequence[Markup]


@dataclass(frozen=True)
class Findings:
    """What the whole store looks like.

    Attributes:
        statuses: status -> rows.
        flags: flag -> rows.
        leaks: raw and refined -> what a bag of words makes of them.
        told_by: facts about the captioner that hold for all rows.
    """

    statuses: Mapping[str, int]
    flags: Mapping[str, int]
    leaks: Mapping[str, Leak] = field(default_factory=dict)
    told_by: Mapping[str, str] = field(default_factory=dict)


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
            f"snakemake results/{spec.dataset.name}/captions/{spec.variant}/coverage.json"
        )
    style = _asset("report.css")
    return (
        _environment()
        .get_template("captions.html.j2")
        .render(
            spec=spec,
            entries=list(entries(spec, store)),
            findings=findings(spec, store),
            style=style,
            policy=policy(style, ""),
            text_limit=TEXT_LIMIT,
        )
    )


def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("expressway.reporting"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(visible=text.visible, percent=text.percent, count=text.count)
    return environment


def _asset(name: str) -> str:
    folder = resources.files("expressway.reporting") / "templates"
    return (folder / name).read_text(encoding="utf-8")


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
    known = [clip for clip in spec.dataset.manifest if clip.id in store]
    for clip in sorted(known, key=lambda each: _lot(spec.seed, each.id))[: spec.clips]:
        row = store.row(clip.id, COLUMNS)
        yield Entry(
            clip=clip,
            truth=clip.labels.get(spec.task),
            state=store.state(clip.id),
            raw=row["raw"],
            refined=row["refined"],
            flags=row["flags"] or (),
            movements=_movements(row["measurements"]),
            film=list(_film(faces, clip.id)),
        )


def _lot(seed: int, clip_id: str) -> str:
    return hashlib.sha256(f"{seed}/{clip_id}".encode()).hexdigest()


def _movements(measurements: str | None) -> list[str]:
    """Return the strongest movements of the structured fields, in a few words each."""
    if measurements is None:
        return []
    return [
        f"{each['name'].replace('_', ' ')} {each['strength']:.2f} "
        f"at {each['apex']['seconds']:.2f} s"
        for each in json.loads(measurements)["movements"][:STRONGEST]
    ]


def _film(faces: Store | None, clip_id: str) -> Iterator[Markup]:
    if faces is None or not faces.usable(clip_id):
        return
    row = faces.row(clip_id, ("time", "crops"))
    for index in evenly(len(row["crops"]), FRAMES):
        label = f"face at {float(row['time'][index]):.2f} s"
        yield thumbnail(row["crops"][index], label, Markup(""))


def findings(spec: AuditSpec, store: Store) -> Findings:
    """Return what the whole store looks like."""
    statuses, flags = Counter[str](), Counter[str]()
    texts: dict[str, dict[str, str]] = {"raw": {}, "refined": {}}
    told_by: dict[str, str] = {}
    for clip_id in store:
        statuses[store.status(clip_id)] += 1
        row = store.row(clip_id, COLUMNS)
        flags.update(row["flags"] or ())
        for column, found in texts.items():
            if store.usable(clip_id) and row[column]:
                found[clip_id] = row[column]
        if row["model"] and not told_by:
            told_by = {name: row[name] for name in ("model", "prompt_id", "decoding") if row[name]}
    labels = {
        clip.id: clip.labels[spec.task]
        for clip in spec.dataset.manifest
        if spec.task in clip.labels
    }
    leaks = {name: audit(found, labels, spec.folds) for name, found in texts.items()}
    return Findings(statuses, flags, leaks, told_by)
