"""A trained model on any one file: a video, an image, or a folder of frames.

What ``model.json`` recorded of the model's data is done again to the file: the same stages, the
same shard tables (in a temporary folder), the same sampling, so that the scores are those that the
workflow would have written for the same clip.
"""

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from expressway.core import devices
from expressway.core.errors import ConfigError, RowFailure
from expressway.core.manifest import Clip
from expressway.core.model_card import ModelCard
from expressway.core.specs import PredictSpec, Prompts
from expressway.core.stage import Runtime
from expressway.core.store import Store
from expressway.data.clips import ClipStores
from expressway.data.importers.folder import IMAGE_SUFFIXES, clip_id
from expressway.language.prompts import SLOT, PromptSet
from expressway.media import images, probe
from expressway.models.prediction import scores as prediction
from expressway.models.prediction.picture import SLOTS, Picture, Span, draw
from expressway.models.prediction.picture import write as write_picture
from expressway.models.prediction.replay import Preparation, recorded
from expressway.networks.backbones import check_device

UNKNOWN = "unknown"
DEFAULT_TEMPLATE = f"an expression of {SLOT}."
# Where a model has no length of its own: about as long as the clips of the usual data sets.
WINDOW_SECONDS = 2.0
# Longer files are windows only: as one clip, all of their frames would be in memory at once.
ONE_CLIP_SECONDS = 60.0


@dataclass(frozen=True)
class Moment:
    """What a model says about one stretch of a file.

    Attributes:
        start, end: seconds from the first frame; None: from the beginning, to the end.
        status: ``ok`` or ``degraded`` with scores; else why there are none, told in ``message``.
        prediction: the class with the largest score, or ``unknown``; None for numbers.
        scores: class (or target) -> score, as an evaluation of the workflow has them.
        shares: class -> softmax of the scores, summing to one; None for numbers.
        known_score: how sure it is that the clip shows one of the model's classes.
    """

    start: float | None
    end: float | None
    status: str
    message: str | None = None
    prediction: str | None = None
    scores: Mapping[str, float] | None = None
    shares: Mapping[str, float] | None = None
    known_score: float | None = None

    def line(self) -> str:
        """Return one line for people."""
        stretch = f"{self.start or 0.0:8.2f} s to {self.end or 0.0:8.2f} s"
        if not self.scores:
            return f"{stretch}  {self.status}: {self.message}"
        if self.shares is None:
            return f"{stretch}  " + ", ".join(f"{n} {v:.3f}" for n, v in self.scores.items())
        best = max(self.shares, key=self.shares.__getitem__)
        return f"{stretch}  {self.prediction} ({best} {self.shares[best]:.3f})"


@dataclass(frozen=True)
class Prediction(Moment):
    """What a model says about a file.

    Attributes:
        file, model: as they were given.
        duration: seconds; None for images and where the container does not say.
        threshold: known scores below it mean ``unknown``; None for closed sets.
        windows: scores over time; empty for files not much longer than one window.
        crops: (seconds, JPEG) of some faces as the model saw them.
    """

    file: str = ""
    model: str = ""
    duration: float | None = None
    threshold: float | None = None
    windows: tuple[Moment, ...] = ()
    crops: tuple[tuple[float, bytes], ...] = ()

    def facts(self) -> dict[str, Any]:
        """Return everything but the pictures as JSON-like values."""
        return {name: value for name, value in asdict(self).items() if name != "crops"}

    def text(self) -> str:
        """Return lines for people: the verdict, the classes, the windows."""
        if not self.scores:
            return f"{self.file}: {self.status}: {self.message}"
        note = f" ({self.status}: {self.message})" if self.message else ""
        values = self.shares or self.scores
        ordered = (
            sorted(values.items(), key=lambda item: -item[1]) if self.shares else values.items()
        )
        verdict = self.prediction or ", ".join(f"{n} {v:.3f}" for n, v in ordered)
        lines = [f"{self.file}: {verdict}{note}"]
        if self.known_score is not None:
            lines.append(f"known score {self.known_score:.4g}, threshold {self.threshold:.4g}")
        lines += [f"  {value:6.3f}  {name}" for name, value in ordered]
        return "\n".join([*lines, *(window.line() for window in self.windows)])

    def picture(self, out: Path) -> Path:
        """Write a PNG: film strip of faces, and the classes over time; return ``out``."""
        spans = [
            Span(moment.start or 0.0, moment.end or self.duration or 1.0, moment.status,
                 moment.shares or moment.scores or {}, moment.prediction)
            for moment in self.windows or (self,)
        ]  # fmt: skip
        verdict = self.prediction or ("" if self.scores else self.status)
        title = f"{Path(self.file).name}   " + verdict.replace("_", " ")
        subtitle = ": ".join(part for part in (self.model, self.message) if part)
        return write_picture(draw(Picture(title, subtitle, spans, self.crops)), Path(out))


class Predictor:
    """A trained model with everything above it, loaded once, for any number of files."""

    def __init__(
        self,
        run: Path,
        labels: Sequence[str] = (),
        prompts: Prompts | None = None,
        device: str = "cpu",
        threads: int = 1,
        quiet: bool = True,
    ) -> None:
        """Load ``results/models/{model}/{split}-seed{seed}``.

        Args:
            labels: classes to choose from; only for methods that read classes as texts.
            prompts: class -> its texts; by default those that the model was trained with, or their
                template with the class's name in it.
            quiet: say nothing of how far it is.

        Raises:
            ConfigError: no model there, or classes, texts and method do not fit together.
            SystemicError: device or weights are not there.
        """
        check_device(device)
        torch.set_num_threads(threads)
        self.run, self.card, self.device = run, ModelCard.read(run), device
        chosen = tuple(labels) or self.card.labels
        self.spec = PredictSpec(
            evaluation="predict",
            protocol=self.card.protocol,
            dataset="",
            task=self.card.task or "",
            rows=(),
            stores={},
            labels=chosen,
            prompts=class_texts(self.card, chosen, prompts or {}),
        )
        self.method = prediction.load(run, self.card, self.spec, device)
        needs = self.method.stores(self.method.recipe, self.spec.protocol, "predict")
        self.needs = [n for n in needs if not n.optional or n.stage in self.card.stores]
        configs = recorded(self.card, [need.stage for need in self.needs], str(run))
        self.preparation = Preparation(configs, Runtime(device, threads), quiet)

    def predict(
        self, file: Path | str, window: float | None = None, step: float | None = None
    ) -> Prediction:
        """Return what the model says about a file.

        A file that cannot be used is no exception: ``status`` and ``message`` say why.

        Args:
            file: a video, an image, or a folder of frames.
            window: seconds of one window of the scores over time; default: the model's own length.
            step: seconds from one window to the next; default: ``window``.

        Raises:
            ConfigError: window or step are not above zero.
        """
        path = Path(file).absolute()
        whole = Clip(id=clip_id(Path(path.name)), path=path.name, kind=_kind(path))
        duration, fps = self._extent(path, whole.kind)
        length = self._length(fps) if window is None else window
        parts = cut(whole, duration, length, length if step is None else step)
        one = duration is None or duration <= ONE_CLIP_SECONDS
        clips = [whole, *parts] if one or not parts else parts
        moments, crops = self._moments(clips, path.parent, duration)
        windows = tuple(moments[clip.id] for clip in parts)
        total = moments[whole.id] if whole in clips else self._mean(windows)
        return Prediction(
            **vars(total),
            file=str(file),
            model=self.card.model,
            duration=duration,
            threshold=self.card.threshold,
            windows=tuple(replace(m, end=duration if m.end is None else m.end) for m in windows),
            crops=crops,
        )

    def _extent(self, path: Path, kind: str) -> tuple[float | None, float | None]:
        """Return seconds and frames per second; None where there is no telling."""
        try:
            if kind == "video":
                facts = probe.facts(path)
                return facts.duration, facts.fps
            if kind == "frames":
                rate = self.preparation.folder_rate
                return len(images.listed(path)) / rate, rate
        except RowFailure:
            pass  # the stages will say what is wrong with it
        return None, None

    def _length(self, fps: float | None) -> float:
        """Return the seconds that the model's own window of frames covers, where it has one."""
        frames, step = (getattr(self.method.recipe, n, None) for n in ("frames", "frame_step"))
        return frames * step / fps if frames and step and fps else WINDOW_SECONDS

    def _moments(
        self, clips: Sequence[Clip], root: Path, duration: float | None
    ) -> tuple[dict[str, Moment], tuple[tuple[float, bytes], ...]]:
        """Return clip id -> what the model says, and some faces of the first clips."""
        with tempfile.TemporaryDirectory(prefix="expressway-") as folder:
            tables = self.preparation.run(clips, root, Path(folder))
            stores = ClipStores({stage: [path] for stage, path in tables.items()}, self.needs)
            self.method.check_stores(stores)
            lost = {clip.id: stores.why_not(clip.id) for clip in clips}
            usable = [clip for clip in clips if lost[clip.id] is None]
            scored = prediction.scores(
                self.method, stores, usable, self.card, self.spec, self.device
            )
            opened = {stage: Store([path]) for stage, path in tables.items()}
            moments = {}
            for clip in clips:
                status, message = self.preparation.state(clip, opened, lost[clip.id])
                said = Moment(clip.start, clip.end, status, message)
                found = scored.get(clip.id)
                moments[clip.id] = self._said(said, found.scores, found.known) if found else said
            shown = clips[:1] if clips[0].start is None else clips
            return moments, faces(opened.get("faces"), shown, duration)

    def _said(self, moment: Moment, scores: Sequence[float], known: float) -> Moment:
        """Return a moment with its scores, and what follows from them."""
        names = self.method.context.labels
        named = dict(zip(names, scores, strict=True))
        if self.card.targets:
            return replace(moment, scores=named)
        shares = torch.tensor(scores, dtype=torch.float64).softmax(0).tolist()
        threshold = self.card.threshold
        unknown = threshold is not None and known < threshold
        return replace(
            moment,
            prediction=UNKNOWN if unknown else max(named, key=named.__getitem__),
            scores=named,
            shares=dict(zip(names, shares, strict=True)),
            known_score=None if threshold is None else known,
        )

    def _mean(self, windows: Sequence[Moment]) -> Moment:
        """Return what the usable windows of a long file say on average."""
        used = [window for window in windows if window.scores]
        if not used:
            return replace(windows[0], start=None, end=None)
        scores = [
            sum(window.scores[name] for window in used if window.scores) / len(used)
            for name in self.method.context.labels
        ]
        known = sum(window.known_score or 0.0 for window in used) / len(used)
        message = f"mean of {len(used)} of {len(windows)} windows"
        return self._said(Moment(None, None, "ok", message), scores, known)


def predict(
    run: Path,
    file: Path,
    labels: Sequence[str] = (),
    prompts: Prompts | None = None,
    window: float | None = None,
    step: float | None = None,
    gpus: int = 0,
    cores: int = 1,
) -> Prediction:
    """Load a model and return what it says about one file; ``expressway.load`` keeps it loaded."""
    with devices.claim(gpus) as device:
        predictor = Predictor(run, labels, prompts, device, cores, quiet=False)
        return predictor.predict(file, window, step)


def class_texts(card: ModelCard, labels: Sequence[str], given: Prompts) -> Prompts:
    """Return class -> texts: given, or the model's own, or its template with the class's name."""
    known = {**card.prompts, **given}
    missing = [label for label in labels if label not in known]
    texts = PromptSet(templates=templates(card)).expand(missing)
    return {label: known.get(label) or texts[label] for label in labels}


def templates(card: ModelCard) -> tuple[str, ...]:
    """Return the sentences that the model's own class texts have in common."""
    for label, texts in card.prompts.items():
        word = label.replace("_", " and ")
        found = tuple(text.replace(word, SLOT) for text in texts if word in text)
        if found:
            return found
    return (DEFAULT_TEMPLATE,)


def cut(whole: Clip, duration: float | None, length: float, step: float) -> list[Clip]:
    """Return the windows of a clip; none where it is not much longer than one.

    The last one ends with the file and has at least half of the length.

    Raises:
        ConfigError: ``length`` or ``step`` is not above zero.
    """
    if not (length > 0 and step > 0):
        raise ConfigError(f"window {length:g} s, step {step:g} s: expected more than 0 s")
    if duration is None or duration < 1.5 * length:
        return []
    count = 1 + int((duration - length / 2) / step + 1e-9)
    starts = [number * step for number in range(count)]
    return [
        replace(
            whole,
            id=f"{whole.id}-{number:04d}",
            start=start,
            end=None if number == count - 1 else min(start + length, duration),
        )
        for number, start in enumerate(starts)
    ]


def faces(
    store: Store | None, clips: Sequence[Clip], duration: float | None
) -> tuple[tuple[float, bytes], ...]:
    """Return (seconds, JPEG) of a face from the middle of each slot of the film strip."""
    if store is None:
        return ()
    rows = {c.id: store.row(c.id, ("time", "valid")) for c in clips if store.usable(c.id)}
    found = {
        float(row["time"][index]): (clip, int(index))
        for clip, row in rows.items()
        for index in np.flatnonzero(row["valid"])
    }
    room = (duration or 1.0) / SLOTS
    slots: dict[int, float] = {}
    for time in sorted(found, key=lambda t: abs(t / room % 1 - 0.5)):
        slots.setdefault(int(time / room), time)
    chosen = sorted(slots.values())
    return tuple((t, store.row(found[t][0], ("crops",))["crops"][found[t][1]]) for t in chosen)


def _kind(path: Path) -> str:
    if path.is_dir():
        return "frames"
    return "image" if path.suffix.lower() in IMAGE_SUFFIXES else "video"
