"""A picture of one file's prediction: faces as the model saw them, and its classes over time."""

import io
import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from expressway.core.errors import USABLE
from expressway.core.files import atomic_path
from expressway.core.foreign_text import visible

if TYPE_CHECKING:
    from PIL.Image import Image
    from PIL.ImageDraw import ImageDraw

PAPER, INK, QUIET, LINE = "#fbfaf8", "#22262b", "#6b7078", "#dcd9d2"
BEST, OTHER, LOST = "#1d6a80", "#b9c9ce", "#eeece6"
WIDTH, MARGIN, NAMES = 1280, 40, 190
LEFT, RIGHT = MARGIN + NAMES, WIDTH - MARGIN
TITLE, TEXT, SMALL = 30, 20, 16
HEAD, TILE, ROW, FOOT = 116, 112, 40, 64
STEPS = (0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1200, 3600)
MOST_TICKS = 10
# The film strip has room for so many faces, each in the slot of its time.
SLOTS = 10
# Rows reach up to a round number, so that small shares can be told apart.
LEAST_TOP, TOP_STEP = 0.2, 0.1


@dataclass(frozen=True)
class Span:
    """A stretch of the file in seconds, with what the model says: class -> height of its bar."""

    start: float
    end: float
    status: str
    values: Mapping[str, float]
    prediction: str | None


@dataclass(frozen=True)
class Picture:
    """What to draw; ``crops`` are (seconds, encoded image), ``spans`` follow each other."""

    title: str
    subtitle: str
    spans: Sequence[Span]
    crops: Sequence[tuple[float, bytes]]

    @property
    def names(self) -> list[str]:
        """Return the classes, in the order of the scores."""
        return list(dict.fromkeys(name for span in self.spans for name in span.values))

    @property
    def limits(self) -> tuple[float, float]:
        """Return the values at the foot and at the top of a row, the same for all rows."""
        values = [value for span in self.spans for value in span.values.values()]
        high = math.ceil(max([LEAST_TOP, *values]) / TOP_STEP - 1e-9) * TOP_STEP
        return min([0.0, *values]), high

    def height(self, value: float) -> float:
        """Return a value as a share of its row's height."""
        low, high = self.limits
        return (value - low) / (high - low)

    def place(self, seconds: float) -> float:
        """Return the x of a moment."""
        begin, end = self.spans[0].start, self.spans[-1].end
        share = (seconds - begin) / max(end - begin, 1e-9)
        return LEFT + min(max(share, 0.0), 1.0) * (RIGHT - LEFT)


def write(image: "Image", out: Path) -> Path:
    """Write an image as PNG, atomically; return ``out``."""
    with atomic_path(out) as temporary:
        image.save(temporary, "PNG")
    return out


def draw(picture: Picture) -> "Image":
    """Return the picture: one stretch as lying bars, several as bars over time."""
    from PIL import Image, ImageDraw

    strip = TILE + 36 if picture.crops else 0
    top = HEAD + strip
    rows = max(1, len(picture.names))
    image = Image.new("RGB", (WIDTH, top + rows * ROW + FOOT), PAPER)
    pen = ImageDraw.Draw(image)
    pen.text((MARGIN, 28), visible(picture.title, 70), INK, _font(TITLE))
    pen.text((MARGIN, 72), visible(picture.subtitle, 140), QUIET, _font(SMALL))
    _crops(image, picture)
    if len(picture.spans) == 1:
        _bars(pen, picture, top)
    else:
        _timeline(pen, picture, top)
    return image


def _font(size: int) -> Any:
    from PIL import ImageFont

    return ImageFont.load_default(size)


def _crops(image: "Image", picture: Picture) -> None:
    """Put each face into the slot of its time."""
    from PIL import Image

    room = (RIGHT - LEFT) / SLOTS
    side = int(min(TILE, room - 4))
    for seconds, data in picture.crops:
        slot = min(int((picture.place(seconds) - LEFT) / room + 1e-6), SLOTS - 1)
        with Image.open(io.BytesIO(data)) as crop:
            image.paste(crop.convert("RGB").resize((side, side)), (round(LEFT + slot * room), HEAD))


def _bars(pen: "ImageDraw", picture: Picture, top: int) -> None:
    span = picture.spans[0]
    full = RIGHT - LEFT - 80
    for row, (name, value) in enumerate(span.values.items()):
        y = top + row * ROW
        _name(pen, name, y, name == span.prediction)
        right = LEFT + max(2.0, full * picture.height(value))
        colour = BEST if name == span.prediction else OTHER
        pen.rectangle((LEFT, y + 6, right, y + ROW - 10), colour)
        pen.text((right + 10, y + ROW / 2 - 2), f"{value:.2f}", QUIET, _font(SMALL), anchor="lm")


def _timeline(pen: "ImageDraw", picture: Picture, top: int) -> None:
    names = picture.names
    foot = top + max(1, len(names)) * ROW
    ends = [*(span.start for span in picture.spans[1:]), picture.spans[-1].end]
    stretches = [
        (picture.place(span.start), picture.place(end) - 1, span)
        for span, end in zip(picture.spans, ends, strict=True)
    ]
    chosen = {span.prediction for span in picture.spans}
    for row, name in enumerate(names):
        base = top + (row + 1) * ROW
        _name(pen, name, base - ROW, name in chosen)
        for left, right, span in stretches:
            if name in span.values:
                height = (ROW - 6) * picture.height(span.values[name])
                colour = BEST if name == span.prediction else OTHER
                pen.rectangle((left, base - 1 - height, max(left, right), base - 1), colour)
        pen.line((LEFT, base, RIGHT, base), LINE)
    for status, group in itertools.groupby(stretches, key=lambda stretch: stretch[2].status):
        lost = list(group)
        if status not in USABLE:
            _lost(pen, (lost[0][0], top, lost[-1][1], foot), status)
    _axis(pen, picture, foot)
    if names:
        low, high = picture.limits
        scale = f"rows: {low:.1f} to {high:.1f}"
        pen.text((RIGHT, top - 8), scale, QUIET, _font(SMALL), anchor="rb")


def _lost(pen: "ImageDraw", box: tuple[float, float, float, float], status: str) -> None:
    left, top, right, foot = box
    pen.rectangle(box, LOST)
    said = status.replace("_", " ")
    if pen.textlength(said, _font(SMALL)) < right - left:
        middle = ((left + right) / 2, (top + foot) / 2)
        pen.text(middle, said, QUIET, _font(SMALL), anchor="mm")


def _name(pen: "ImageDraw", name: str, y: float, best: bool) -> None:
    shown = visible(name.replace("_", " "), 18)
    colour = INK if best else QUIET
    pen.text((LEFT - 14, y + ROW / 2 - 2), shown, colour, _font(TEXT), anchor="rm")


def _axis(pen: "ImageDraw", picture: Picture, foot: int) -> None:
    begin, end = picture.spans[0].start, picture.spans[-1].end
    step = next((s for s in STEPS if (end - begin) / s <= MOST_TICKS), STEPS[-1])
    for number in range(int((end - begin) / step) + 1):
        moment = begin + number * step
        x = picture.place(moment)
        pen.line((x, foot, x, foot + 6), QUIET)
        pen.text((x, foot + 12), clock(moment), QUIET, _font(SMALL), anchor="ma")


def clock(seconds: float) -> str:
    """Return a moment as people write it: ``1.5 s``, from a minute on ``2:05``."""
    if seconds < 60:
        return f"{seconds:g} s"
    return f"{int(seconds // 60)}:{int(seconds % 60):02d}"
