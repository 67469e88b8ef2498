"""Captions of a data set: examples, what became of all answers, and what they are worth."""

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray

from expressway.core.columns import from_arrow
from expressway.core.errors import StoreError
from expressway.core.manifest import Clip
from expressway.core.store import Store, read_footer, read_table
from expressway.faces import agreement
from expressway.language.leak import Leak, audit
from expressway.reporting.drawing.filmstrips import FRAMES, evenly, thumbnail
from expressway.reporting.drawing.streams import Films, films
from expressway.reporting.open_dataset import OpenDataset

COLUMNS = ("raw", "refined", "flags", "measurements", "model", "prompt_id", "decoding")
STRONGEST = 6
EXAMPLES, USELESS = 6, 2
# Clips whose film strip shows the image streams: they are large and look alike.
STREAMED = 2
# A classifier for every fold of 40 000 captions would take longer than all the rest of a report.
JUDGED = 2000


@dataclass(frozen=True)
class Entry:
    """One clip and what was said of it.

    Attributes:
        state: clip_id, status, error_type, error_message of its captions row.
        movements: the strongest measured ones in words.
        films: name -> thumbnails; one row of pictures each.
    """

    clip: Clip
    truth: str | None
    state: Mapping[str, Any]
    raw: str | None
    refined: str | None
    flags: Sequence[str]
    movements: Sequence[str]
    films: Films


@dataclass(frozen=True)
class Findings:
    """What the whole store looks like.

    Attributes:
        statuses: status -> rows.
        flags: flag -> rows.
        changed: captions from which refining took something away.
        leaks: raw and refined -> what a bag of words makes of them.
        told_by: facts about the captioner that hold for all rows.
        sampled: the leaks are those of a sample of clips.
    """

    statuses: Mapping[str, int]
    flags: Mapping[str, int]
    changed: int
    leaks: Mapping[str, Leak] = field(default_factory=dict)
    told_by: Mapping[str, str] = field(default_factory=dict)
    sampled: bool = False


@dataclass(frozen=True)
class Agreement:
    """Measured against drawn action units: the scores of all units, visible ones first."""

    clips: int
    scores: Sequence[agreement.UnitScore]
    recall: float | None
    precision: float | None


@dataclass(frozen=True)
class Told:
    """What the report says about one captions variant."""

    variant: str
    findings: Findings
    examples: Sequence[Entry]
    agreement: Agreement | None


def told(dataset: OpenDataset, thumbnails: bool) -> list[Told]:
    """One per captions variant of a data set that has rows.

    Raises:
        StoreError: a shard table or a table of drawn units cannot be read.
    """
    stores = {v: s for (stage, v), s in dataset.stores.items() if stage == "captions" and len(s)}
    truths = _Truths(dataset.truth if stores else [])
    return [
        Told(
            variant=variant,
            findings=findings(store, _labels(dataset), dataset.folds, JUDGED),
            examples=examples(dataset, store, thumbnails),
            agreement=truths.agreement(store),
        )
        for variant, store in stores.items()
    ]


def _labels(dataset: OpenDataset) -> dict[str, str]:
    return labels(dataset.clips, dataset.task) if dataset.task else {}


def labels(clips: Iterable[Clip], task: str) -> dict[str, str]:
    """Clip id -> label name; clips without one are left out."""
    return {clip.id: clip.labels[task] for clip in clips if task in clip.labels}


def examples(dataset: OpenDataset, store: Store, thumbnails: bool) -> list[Entry]:
    """A few captions and a few useless answers, drawn by a hash of the ids."""
    known = drawn((clip for clip in dataset.clips if clip.id in store), 0)
    useful = [clip for clip in known if store.usable(clip.id)][:EXAMPLES]
    useless = [c for c in known if store.status(c.id) in ("refused", "invalid")][:USELESS]
    faces = dataset.first("faces") if thumbnails else None
    found = []
    for place, clip in enumerate([*useful, *useless]):
        streams = films(dataset, clip.id) if thumbnails and place < STREAMED else {}
        found.append(entry(store, clip, dataset.task, streams or film(faces, clip.id)))
    return found


def drawn(clips: Iterable[Clip], seed: int) -> list[Clip]:
    """The clips in an order that only seed and ids decide."""
    return sorted(clips, key=lambda clip: lot(seed, clip.id))


def lot(seed: int, clip_id: str) -> str:
    """A clip's place in the draw."""
    return hashlib.sha256(f"{seed}/{clip_id}".encode()).hexdigest()


def entry(store: Store, clip: Clip, task: str | None, pictures: Films) -> Entry:
    """What a captions store holds of a clip, beside its pictures."""
    row = store.row(clip.id, COLUMNS)
    return Entry(
        clip=clip,
        truth=clip.labels.get(task) if task else None,
        state=store.state(clip.id),
        raw=row["raw"],
        refined=row["refined"],
        flags=row["flags"] or (),
        movements=movements(row["measurements"]),
        films=pictures,
    )


def movements(measurements: str | None) -> list[str]:
    """Return the strongest movements of the structured fields, in a few words each."""
    if measurements is None:
        return []
    return [
        f"{each['name'].replace('_', ' ')} {each['strength']:.2f} "
        f"at {each['apex']['seconds']:.2f} s"
        for each in json.loads(measurements)["movements"][:STRONGEST]
    ]


def film(faces: Store | None, clip_id: str) -> Films:
    """The faces of a clip as one film strip; nothing without a usable row."""
    if faces is None or not faces.usable(clip_id):
        return {}
    row = faces.row(clip_id, ("time", "crops"))
    return {
        "faces": [
            thumbnail(row["crops"][i], f"face at {float(row['time'][i]):.2f} s", Markup(""))
            for i in evenly(len(row["crops"]), FRAMES)
        ]
    }


def findings(
    store: Store,
    labels: Mapping[str, str],
    folds: Sequence[Mapping[str, str]],
    limit: int | None = None,
) -> Findings:
    """What the whole store looks like; leaks are judged on at most ``limit`` labelled clips."""
    statuses, flags = Counter[str](), Counter[str]()
    raw: dict[str, str] = {}
    refined: dict[str, str] = {}
    told_by: dict[str, str] = {}
    for clip_id in store:
        statuses[store.status(clip_id)] += 1
        row = store.row(clip_id, COLUMNS)
        flags.update(row["flags"] or ())
        for column, found in (("raw", raw), ("refined", refined)):
            if store.usable(clip_id) and row[column]:
                found[clip_id] = row[column]
        if row["model"] and not told_by:
            told_by = {name: row[name] for name in ("model", "prompt_id", "decoding") if row[name]}
    sample = sorted(labels.keys() & raw.keys(), key=lambda clip_id: lot(0, clip_id))[:limit]
    judged = {clip_id: labels[clip_id] for clip_id in sample}
    return Findings(
        statuses=statuses,
        flags=flags,
        changed=sum(refined[clip_id] != raw.get(clip_id) for clip_id in refined),
        leaks={"raw": audit(raw, judged, folds), "refined": audit(refined, judged, folds)},
        told_by=told_by,
        sampled=limit is not None and len(labels.keys() & raw.keys()) > limit,
    )


class _Truths:
    """The action units that a renderer drew, clip by clip."""

    def __init__(self, paths: Sequence[Path]) -> None:
        self.units: list[int] = []
        self.intensities: dict[str, NDArray[np.floating]] = {}
        for path in paths:
            self._read(path)

    def _read(self, path: Path) -> None:
        units = [int(name.removeprefix("AU")) for name in read_footer(path)["units"]]
        if self.units not in ([], units):
            raise StoreError(f"{path}: other action units than the shards before; render it again")
        self.units = units
        table = read_table(path, ("clip_id", "intensities"))
        kind = table.schema.field("intensities")
        for index, clip_id in enumerate(table["clip_id"].to_pylist()):
            self.intensities[clip_id] = from_arrow(table["intensities"], index, kind)

    def agreement(self, store: Store) -> Agreement | None:
        """Scores of a captions store, None where nothing was measured or nothing is known."""
        known = [i for i in store if store.usable(i) and i in self.intensities]
        told = [(store.row(i, COLUMNS)["measurements"], self.intensities[i]) for i in known]
        measured = [(fields, truth) for fields, truth in told if fields is not None]
        if not measured:
            return None
        scores = agreement.score(measured, self.units)
        scores.sort(key=lambda score: score.unit not in agreement.VISIBLE_UNITS)
        return Agreement(len(measured), scores, *agreement.means(scores))
