"""Film strips: a few frames of real clips with face boxes, landmarks and what models said."""

import base64
import hashlib
import io
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from markupsafe import Markup

from expressway.core.errors import USABLE
from expressway.core.manifest import Clip
from expressway.core.store import Store, read_table
from expressway.reporting.open_dataset import NOT_COMPUTED, OpenDataset
from expressway.reporting.results import Summary

if TYPE_CHECKING:
    from PIL.Image import Image

FRAMES = 6
THUMB = 96
RIGHT = 6
WRONG = 6
TABLE_ROWS = 200
FOUND_STRIPS = 24


@dataclass(frozen=True)
class Verdict:
    """What one model said about one clip."""

    model: str
    evaluation: str
    prediction: str
    right: bool


@dataclass(frozen=True)
class Strip:
    """One clip to look at: SVG thumbnails of frames and of aligned crops."""

    clip: Clip
    truth: str | None
    verdicts: tuple[Verdict, ...]
    frames: tuple[Markup, ...]
    crops: tuple[Markup, ...]
    times: tuple[float, ...]


@dataclass(frozen=True)
class Choice:
    """Clips of which a reference model was surest, right and wrong."""

    reference: Summary
    right: tuple[Strip, ...]
    wrong: tuple[Strip, ...]


@dataclass(frozen=True)
class Found:
    """What was found in one clip of a data set that nobody evaluated."""

    clip: Clip
    stage: str | None
    status: str
    message: str | None
    fps: float | None
    frames: int | None
    declared: int | None
    valid: float | None
    tracks: int | None


def choose(dataset: OpenDataset, summaries: Sequence[Summary], thumbnails: bool) -> Choice | None:
    """Film strips for an evaluated data set, None where there is nothing to show.

    The reference is the row with the highest mean recall; every class gets its turn before any
    gets a second clip, and of a class the clips come first whose best score is furthest ahead of
    the second; between equals the hash of the id decides.
    """
    mine = [s for s in summaries if _tells_classes(s) and s.facts.get("dataset") == dataset.name]
    if not mine or not thumbnails:
        return None
    reference = max(mine, key=_score)
    task = reference.facts["task"]
    spoken = {summary_key(s): _verdicts(s) for s in mine if s.facts["task"] == task}
    known, lead = spoken[summary_key(reference)], _leads(reference)
    usable = [c for c in dataset.clips if c.id in known and _has_pictures(dataset, c.id)]
    usable.sort(key=lambda clip: (-lead.get(clip.id, 0.0), lot(clip.id)))
    right = _turns([c for c in usable if known[c.id].right], reference, RIGHT)
    wrong = _turns([c for c in usable if not known[c.id].right], reference, WRONG)
    strips = [
        tuple(_strip(dataset, clip, reference, list(spoken.values())) for clip in clips)
        for clips in (right, wrong)
    ]
    return Choice(reference, *strips) if right or wrong else None


def _tells_classes(summary: Summary) -> bool:
    return summary.kind == "classes" and summary.has_confusion


def summary_key(summary: Summary) -> tuple[str, str]:
    """Model and evaluation."""
    return summary.model, summary.evaluation


def _score(summary: Summary) -> float:
    measure = summary.measures.get("unweighted_average_recall")
    return measure.mean if measure and measure.mean is not None else -1.0


def _verdicts(summary: Summary) -> dict[str, Verdict]:
    return {
        one.ids[i]: Verdict(
            summary.model, summary.evaluation, one.labels[one.guess[i]], bool(one.hits[i])
        )
        for one in (member.outcomes for member in summary.members)
        for i in np.flatnonzero(one.predicted)
    }


def _leads(summary: Summary) -> dict[str, float]:
    """Clip id -> how far the best score is ahead of the second; clips without scores are absent."""
    found = {}
    for member in summary.members:
        table = read_table(member.folder / "predictions.parquet", ("clip_id", "scores"))
        for row in table.to_pylist():
            scores = sorted(row["scores"] or ())
            if len(scores) > 1:
                found[row["clip_id"]] = scores[-1] - scores[-2]
    return found


def _turns(clips: Sequence[Clip], reference: Summary, number: int) -> list[Clip]:
    """The first clips when classes take turns in label order."""
    task = str(reference.facts["task"])
    queues = [
        [clip for clip in clips if clip.labels.get(task) == label] for label in reference.labels
    ]
    depth = max((len(queue) for queue in queues), default=0)
    drawn = [queue[turn] for turn in range(depth) for queue in queues if turn < len(queue)]
    return drawn[:number]


def lot(clip_id: str) -> str:
    """A key that sorts clips in an order that nobody chose."""
    return hashlib.sha256(clip_id.encode()).hexdigest()


def _has_pictures(dataset: OpenDataset, clip_id: str) -> bool:
    stores = (dataset.first("frames"), dataset.first("faces"))
    return any(store is not None and store.usable(clip_id) for store in stores)


def _strip(
    dataset: OpenDataset,
    clip: Clip,
    reference: Summary | None,
    spoken: Sequence[Mapping[str, Verdict]],
) -> Strip:
    frames = _row(dataset, "frames", clip.id)
    faces = _row(dataset, "faces", clip.id)
    landmarks = _row(dataset, "landmarks", clip.id)
    basis = faces or frames or {"source_index": np.zeros(0, np.int32), "time": np.zeros(0)}
    chosen = evenly(len(basis["source_index"]), FRAMES)
    return Strip(
        clip=clip,
        truth=clip.labels.get(str(reference.facts["task"])) if reference else None,
        verdicts=tuple(verdicts[clip.id] for verdicts in spoken if clip.id in verdicts),
        frames=tuple(_frames(frames, faces, basis, chosen)),
        crops=tuple(_crops(faces, landmarks, chosen)),
        times=tuple(float(basis["time"][i]) for i in chosen),
    )


def frame_film(dataset: OpenDataset, clip_id: str) -> list[Markup]:
    """Source frames of a clip, spread over its length, with face boxes where they were found."""
    frames, faces = _row(dataset, "frames", clip_id), _row(dataset, "faces", clip_id)
    basis = faces or frames
    if basis is None:
        return []
    return list(_frames(frames, faces, basis, evenly(len(basis["source_index"]), FRAMES)))


def face_film(faces: Store, landmarks: Store | None, clip_id: str) -> list[Markup]:
    """Aligned faces of a clip, with landmarks where a store of them is given."""
    if not faces.usable(clip_id):
        return []
    row = faces.row(clip_id)
    points = landmarks.row(clip_id) if landmarks and landmarks.usable(clip_id) else None
    return list(_crops(row, points, evenly(len(row["source_index"]), FRAMES)))


def _row(dataset: OpenDataset, stage: str, clip_id: str) -> dict[str, Any] | None:
    store = dataset.first(stage)
    return store.row(clip_id) if store is not None and store.usable(clip_id) else None


def evenly(length: int, number: int) -> list[int]:
    """Up to `number` distinct positions spread over 0 … length - 1, ends included."""
    if length <= number:
        return list(range(length))
    return [round(i * (length - 1) / (number - 1)) for i in range(number)]


def _frames(
    frames: Mapping[str, Any] | None,
    faces: Mapping[str, Any] | None,
    basis: Mapping[str, Any],
    chosen: Iterable[int],
) -> Iterable[Markup]:
    if frames is None:
        return
    place = {int(index): position for position, index in enumerate(frames["source_index"])}
    for i in chosen:
        position = place.get(int(basis["source_index"][i]))
        if position is not None:
            marks = Markup("") if faces is None else _box(faces, i)
            label = f"frame at {float(basis['time'][i]):.2f} s"
            yield thumbnail(frames["images"][position], label, marks)


def _box(faces: Mapping[str, Any], i: int) -> Markup:
    left, top, right, bottom = (float(value) for value in faces["box"][i])
    kind = "box" if faces["valid"][i] else "box filled"
    box = Markup('<rect class="{}" x="{:.1f}" y="{:.1f}" width="{:.1f}" height="{:.1f}"/>')
    radius = max(right - left, 1.0) / 40
    drawn = box.format(kind, left, top, right - left, bottom - top)
    return drawn + dots(faces["points"][i], radius)


def dots(points: npt.NDArray[np.float32], radius: float) -> Markup:
    """SVG circles at points (n, 2); points that are not finite are left out."""
    circle = Markup('<circle class="point" cx="{:.1f}" cy="{:.1f}" r="{:.1f}"/>')
    return Markup("").join(
        circle.format(float(x), float(y), radius) for x, y in points if np.isfinite([x, y]).all()
    )


def _crops(
    faces: Mapping[str, Any] | None, landmarks: Mapping[str, Any] | None, chosen: Iterable[int]
) -> Iterable[Markup]:
    if faces is None:
        return
    points = {}
    if landmarks is not None:
        rows = zip(landmarks["source_index"], landmarks["points"], landmarks["valid"], strict=True)
        points = {int(index): xy for index, xy, valid in rows if valid}
    for i in chosen:
        found = points.get(int(faces["source_index"][i]))
        marks = Markup("") if found is None else dots(found, 1.8)
        yield thumbnail(faces["crops"][i], f"face at {float(faces['time'][i]):.2f} s", marks)


def thumbnail(encoded: bytes, label: str, marks: Markup) -> Markup:
    """An SVG with the picture shrunk to `THUMB` px as a data URI, marks in its own pixels."""
    from PIL import Image

    with Image.open(io.BytesIO(encoded)) as image:
        return _svg(image.convert("RGB"), label, marks)


def drawn_thumbnail(pixels: npt.NDArray[np.uint8], label: str) -> Markup:
    """The same of an RGB picture (height, width, 3)."""
    from PIL import Image

    return _svg(Image.fromarray(pixels), label, Markup(""))


def _svg(small: "Image", label: str, marks: Markup) -> Markup:
    from PIL.Image import Resampling

    width, height = small.size
    small.thumbnail((2 * THUMB, THUMB), Resampling.LANCZOS)
    buffer = io.BytesIO()
    small.save(buffer, "JPEG", quality=74)
    data = base64.b64encode(buffer.getvalue()).decode()
    return Markup(
        '<svg class="thumb" viewBox="0 0 {0} {1}" role="img" aria-label="{2}">'
        '<image href="data:image/jpeg;base64,{3}" width="{0}" height="{1}"/>{4}</svg>'
    ).format(width, height, label, data, marks)


def found_strips(dataset: OpenDataset, thumbnails: bool) -> list[Strip]:
    """Film strips of the first clips of a data set without predictions."""
    if not thumbnails:
        return []
    clips = [clip for clip in dataset.clips if _has_pictures(dataset, clip.id)]
    return [_strip(dataset, clip, None, []) for clip in clips[:FOUND_STRIPS]]


Trouble = Mapping[str, tuple[str, str, str | None]]


def found(dataset: OpenDataset) -> list[Found]:
    """One line per clip (the first `TABLE_ROWS`) about what the stages found."""
    trouble = _trouble(dataset)
    return [_found(dataset, clip, trouble) for clip in dataset.clips[:TABLE_ROWS]]


def found_statuses(dataset: OpenDataset) -> dict[str, int]:
    """Status -> number of all clips whose worst row has it, most frequent first."""
    trouble = _trouble(dataset)
    worst = (trouble[c.id][1] if c.id in trouble else _fine(dataset, c.id) for c in dataset.clips)
    return dict(Counter(worst).most_common())


def _trouble(dataset: OpenDataset) -> Trouble:
    """Clip id -> stage, status and message of its worst row; a loss outweighs a remark."""
    return {
        str(state["clip_id"]): (loss.stage, loss.status, state.get("error_message"))
        for loss in reversed(dataset.losses)
        for state in loss.states
    }


def _found(dataset: OpenDataset, clip: Clip, trouble: Trouble) -> Found:
    stage, status, message = trouble.get(clip.id, (None, _fine(dataset, clip.id), None))
    frames = _facts(dataset, "frames", clip.id, ("fps", "decoded_frames", "declared_frames"))
    faces = _facts(dataset, "faces", clip.id, ("valid", "tracks"))
    valid = faces.get("valid")
    return Found(
        clip=clip,
        stage=stage,
        status=status,
        message=message,
        fps=frames.get("fps"),
        frames=frames.get("decoded_frames", None if valid is None else len(valid)),
        declared=frames.get("declared_frames"),
        valid=float(np.mean(valid)) if valid is not None and len(valid) else None,
        tracks=faces.get("tracks"),
    )


def _fine(dataset: OpenDataset, clip_id: str) -> str:
    seen = any(dataset.state(key, clip_id)["status"] != NOT_COMPUTED for key in dataset.stores)
    return "ok" if seen else NOT_COMPUTED


def _facts(
    dataset: OpenDataset, stage: str, clip_id: str, columns: Sequence[str]
) -> dict[str, Any]:
    store = dataset.first(stage)
    if store is None or clip_id not in store or store.status(clip_id) not in USABLE:
        return {}
    return store.row(clip_id, columns)
