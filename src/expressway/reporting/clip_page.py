"""One clip, stage by stage: what every store holds of it and what every model said.

The page is for a person who wants to judge the preparation by eye, so it always shows pictures.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from markupsafe import Markup

from expressway.core.config import nearest
from expressway.core.errors import ConfigError
from expressway.core.files import atomic_path
from expressway.core.manifest import Clip
from expressway.core.store import Store, read_footer, read_table
from expressway.reporting import ReportDataset
from expressway.reporting.drawing import filmstrips, streams
from expressway.reporting.open_dataset import OpenDataset
from expressway.reporting.page import asset, environment, policy
from expressway.reporting.sections import windows
from expressway.reporting.sections.captions import movements

Pictures = Mapping[str, Sequence[Markup]]


@dataclass(frozen=True)
class Step:
    """What one store holds of the clip; ``facts`` in the order of the columns."""

    stage: str
    variant: str
    state: Mapping[str, Any]
    facts: Mapping[str, str]
    films: Pictures


@dataclass(frozen=True)
class Answer:
    """What one model said under one evaluation; ``scores`` by falling score.

    ``right`` is None where nothing can be right: numbers, no prediction, a class that the model
    does not know.
    """

    model: str
    evaluation: str
    split: str
    prediction: str | None
    right: bool | None
    status: str
    scores: Sequence[tuple[str, float]]


def build(dataset: ReportDataset, clip_id: str, evaluations: Sequence[Path], out: Path) -> Path:
    """Write the page of one clip; return its path.

    Raises:
        ConfigError: the data set has no such clip.
    """
    opened = OpenDataset(dataset)
    clip = _clip(opened, clip_id)
    style = asset("report.css")
    page = (
        environment()
        .get_template("clip.html.j2")
        .render(
            dataset=dataset.name,
            clip=clip,
            steps=list(steps(opened, clip)),
            answers=list(answers(evaluations, dataset.name, clip_id)),
            style=style,
            policy=policy(style, ""),
        )
    )
    out.parent.mkdir(parents=True, exist_ok=True)
    with atomic_path(out) as temporary:
        temporary.write_text(page, "utf-8")
    return out


def _clip(dataset: OpenDataset, clip_id: str) -> Clip:
    for clip in dataset.clips:
        if clip.id == clip_id:
            return clip
    known = [clip.id for clip in dataset.clips]
    raise ConfigError(f"{dataset.name} has no clip {clip_id!r}{nearest(clip_id, known)}")


def steps(dataset: OpenDataset, clip: Clip) -> Iterator[Step]:
    """Yield what every store holds of a clip, in the order of the stages."""
    for (stage, variant), store in dataset.stores.items():
        state = dataset.state((stage, variant), clip.id)
        row = store.row(clip.id) if store.usable(clip.id) else {}
        films = _films(dataset, stage, store, clip) if row else {}
        yield Step(stage, variant, state, dict(_facts(row)), films)


def _films(dataset: OpenDataset, stage: str, store: Store, clip: Clip) -> Pictures:
    if stage == "frames":
        return {"frames": filmstrips.frame_film(dataset, clip.id)}
    if stage == "faces":
        return {"faces": filmstrips.face_film(store, None, clip.id)}
    if stage == "landmarks":
        faces = dataset.first("faces")
        return {"landmarks": filmstrips.face_film(faces, store, clip.id)} if faces else {}
    if stage == "parsing":
        drawn = streams.films(dataset, clip.id)
        return {name: film for name, film in drawn.items() if name == "parsing"}
    if stage == "attention":
        faces = windows.faces_of(dataset, store)
        return {"attention": windows.window_film(faces, store, clip.id)}
    return {}


def _facts(row: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield columns in words; pictures are shown instead, big arrays by their measures."""
    for name, value in row.items():
        if name in ("clip_id", "status", "error_type", "error_message") or value is None:
            continue
        shown = "; ".join(movements(value)) if name == "measurements" else _shown(value)
        if shown is not None:
            yield name, shown


def _shown(value: Any) -> str | None:
    if isinstance(value, np.ndarray):
        if value.dtype == bool:
            return f"{int(value.sum())} of {value.size}"
        if value.size <= 12:
            return ", ".join(f"{number:.4g}" for number in value.ravel().astype(float))
        low, high = float(np.nanmin(value)), float(np.nanmax(value))
        return f"{' by '.join(map(str, value.shape))}, from {low:.4g} to {high:.4g}"
    if isinstance(value, (list, tuple)):
        if value and isinstance(value[0], bytes):
            return f"{len(value)} images, {sum(map(len, value)) // 1024} KiB"
        return "; ".join(map(str, value)) or None
    return str(value)


def answers(evaluations: Sequence[Path], dataset: str, clip_id: str) -> Iterator[Answer]:
    """Yield what every model said about a clip, in the order of the evaluations."""
    for folder in evaluations:
        path = folder / "predictions.parquet"
        if not path.is_file():
            continue
        facts = read_footer(path)
        # clips of another data set, unknown ones of an open set, are told by its name
        name = clip_id if facts["dataset"] == dataset else f"{dataset}/{clip_id}"
        names = facts.get("targets") or facts["labels"]
        table = read_table(path, ("clip_id", "split", "label", "prediction", "scores", "status"))
        for row in table.to_pylist():
            if row["clip_id"] == name:
                told = row["prediction"] is not None and row["label"] in names
                scores = zip(names, row["scores"] or [], strict=False)
                yield Answer(
                    facts["model"],
                    facts["evaluation"],
                    row["split"] or "",
                    row["prediction"],
                    row["prediction"] == row["label"] if told else None,
                    row["status"],
                    sorted(scores, key=lambda pair: -pair[1]),
                )
