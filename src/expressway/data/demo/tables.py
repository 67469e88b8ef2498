"""The files of a demo data set: manifest and splits, without rendering anything."""

import csv
import io
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from expressway.core import files
from expressway.data.demo.captions import clip_captions
from expressway.data.demo.units import EMOTIONS
from expressway.data.demo.world import (
    FOLDS,
    clip_id,
    expressivity_of,
    fold_of,
    performance,
    still_id,
    stream,
    subject_of,
)

COLUMNS = (
    *("id", "path", "kind", "video", "start", "end", "subject", "sha256"),
    *("caption", "caption_2", "caption_3", "emotion", "compound"),
    *("expressivity_rater_1", "expressivity_rater_2"),
)
STILL_COLUMNS = ("id", "path", "kind", "video", "start", "end", "subject", "sha256")
SCHEME = "folds"
_RATER_BIAS = (-0.2, 0.3)
_RATER_NOISE = 0.45


def write_manifest(out: Path, clips: int, seed: int) -> None:
    """Write `manifest.csv` and `splits.csv` of a world with this many clips into a folder."""
    rows = [manifest_row(seed, number) for number in range(clips)]
    _write(out / "manifest.csv", COLUMNS, rows)
    splits = [row for number in range(clips) for row in split_rows(seed, number)]
    splits.sort(key=lambda row: row[2])
    _write(out / "splits.csv", ("clip_id", "scheme", "split", "part"), splits)


def write_stills_manifest(out: Path, stills: int) -> None:
    """Write `manifest.csv` of the unlabelled stills into a folder."""
    rows = [
        (still_id(number), f"images/{still_id(number)}.jpg", "image", still_id(number), *[""] * 4)
        for number in range(stills)
    ]
    _write(out / "manifest.csv", STILL_COLUMNS, rows)


def manifest_row(seed: int, number: int) -> tuple[str, ...]:
    """Row of one clip, in the order of `COLUMNS`."""
    shown, name, subject = performance(seed, number), clip_id(number), subject_of(seed, number)
    captions = clip_captions(
        stream(seed, "captions", number),
        shown.expression.units,
        shown.expression.sides,
        shown.identity,
        shown.script.talks,
        shown.script.blinks,
    )
    single = shown.kind in EMOTIONS
    labels = (shown.kind, "") if single else ("", shown.kind)
    ratings = (str(rating) for rating in ratings_of(seed, subject))
    place = (name, f"clips/{name}.mp4", "video", name, "", "", f"s{subject + 1:02d}", "")
    return (*place, *captions, *labels, *ratings)


def ratings_of(seed: int, subject: int) -> tuple[float, float]:
    """What the two raters said of a subject's expressivity: 1 to 7, in half points."""
    truth = 1.0 + 6.0 * expressivity_of(seed, subject)
    rng = stream(seed, "ratings", subject)
    heard = truth + np.array(_RATER_BIAS) + rng.normal(0.0, _RATER_NOISE, 2)
    first, second = np.clip(np.round(2.0 * heard) / 2.0, 1.0, 7.0)
    return float(first), float(second)


def split_rows(seed: int, number: int) -> list[tuple[str, str, str, str]]:
    """Where a clip stands in each of the identity-disjoint folds."""
    own = fold_of(subject_of(seed, number))
    return [
        (clip_id(number), SCHEME, f"fold{fold}", "test" if fold == own else "train")
        for fold in range(1, FOLDS + 1)
    ]


def _write(path: Path, header: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    path.parent.mkdir(parents=True, exist_ok=True)
    with files.atomic_path(path) as temporary:
        temporary.write_text(text.getvalue(), encoding="utf-8")
