"""Movements as sentences; which of several wordings is taken depends on the clip and a seed.

Sentences say what moves, roughly how far and when. Times are seconds since the clip's start.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from expressway.faces.movements import Movement

SLIGHT, STRONG = 0.6, 1.05
TOGETHER_SECONDS = 0.3
MAIN, OTHERS = 3, 4
TALK_EPISODES = 3
BROAD_SMILE = 0.9
# Landmarks hardly show these; weak ones are as often wrong as right and are not put into words.
GUESSED = frozenset({"cheek_raise", "lids_narrow", "corner_tighten", "chin_raise"})

CLAUSES: dict[str, tuple[str, ...]] = {
    "brows_raise": ("the brows are raised", "both eyebrows go up", "the eyebrows lift"),
    "inner_brow_raise": ("the inner brows are raised", "the inner ends of the eyebrows go up"),
    "outer_brow_raise": ("the outer brows are raised", "the outer ends of the eyebrows lift"),
    "brow_lower": ("the brows are lowered", "the eyebrows are pulled down"),
    "lids_widen": ("the eyes widen", "the upper eyelids are raised", "the eyes open wide"),
    "cheek_raise": ("the lower eyelids are pushed up", "the cheeks push up under the eyes"),
    "lids_narrow": ("the eyes narrow", "the eyelids tighten"),
    "nose_wrinkle": ("the nose wrinkles", "the nose is drawn up"),
    "upper_lip_raise": ("the upper lip is raised", "the upper lip lifts"),
    "lip_corners_up": (
        "the corners of the mouth are pulled up and outwards",
        "the lip corners rise and the mouth widens",
    ),
    "corner_tighten": ("one corner of the mouth is tucked in", "one lip corner tightens"),
    "lip_corners_down": (
        "the corners of the mouth turn down",
        "the lip corners are pulled down",
    ),
    "chin_raise": ("the chin is pushed up", "the chin boss rises"),
    "lip_stretch": ("the lips are stretched sideways", "the mouth is stretched wide"),
    "lip_press": ("the lips are pressed tight", "the lips become thin and tight"),
    "lips_part": ("the lips part", "the lips come apart", "the mouth opens"),
    "talk": (
        "the lips open and close again and again",
        "the mouth opens and closes as in speech",
    ),
    "jaw_drop": ("the jaw drops", "the mouth falls open", "the chin drops"),
    "eyes_close": ("the eyes close", "the eyelids fall shut"),
}
STILL = (
    "the face is at rest and nothing moves",
    "the face stays still",
    "the brows, eyes and mouth are at rest",
    "no part of the face moves",
)
BLINKS = ("the eyes blink {times}", "there {is_are} {count}")
HEAD = ("the head {what}",)
GAZE = ("the gaze shifts {where}", "the eyes look {where}")
TIMES = {1: "once", 2: "twice"}
COUNTS = {1: "a blink", 2: "two blinks"}


@dataclass(frozen=True)
class Scene:
    """What is to be told.

    Attributes:
        clip_id: together with ``seed`` it chooses the wording.
        times: ``(frames,)`` seconds since the clip's start.
        movements: strongest first, blinks left out.
        blinks: how many.
        head: such as ``turns to the left``, or empty.
        gaze: such as ``to the left``, or empty.
    """

    clip_id: str
    times: Sequence[float]
    movements: Sequence[Movement]
    blinks: int
    head: str
    gaze: str


def caption(scene: Scene, seed: int) -> str:
    """Return one to three sentences."""
    key = hashlib.sha256(f"{seed}/{scene.clip_id}".encode()).digest()
    rng = np.random.default_rng(int.from_bytes(key[:8], "big"))
    told = _merged(scene.movements)
    main, others = _split(told, scene.times)
    sentences = [_main(rng, main, scene.times), _others(rng, others, scene.times)]
    if not told:
        sentences = [_pick(rng, STILL)]
    sentences.append(_extras(rng, scene))
    return " ".join(_sentence(part) for part in sentences if part)


def _merged(movements: Sequence[Movement]) -> list[Movement]:
    """Movements that people see as one take one name: both ends of the brows, talk."""
    by_name = {movement.name: movement for movement in movements}
    inner, outer = by_name.get("inner_brow_raise"), by_name.get("outer_brow_raise")
    told = []
    for movement in movements:
        if inner and outer and inner.side == outer.side and movement in (inner, outer):
            if movement is max(inner, outer, key=lambda end: end.strength):
                told.append(_renamed(movement, "brows_raise"))
        elif movement.name == "lips_part" and movement.episodes >= TALK_EPISODES:
            told.append(_renamed(movement, "talk"))
        elif not (_unsure(movement) or _implied(movement, by_name)):
            told.append(movement)
    return told


def _unsure(movement: Movement) -> bool:
    return movement.name in GUESSED and movement.strength < SLIGHT


def _implied(movement: Movement, by_name: dict[str, Movement]) -> bool:
    """One-sided corners say already that a corner is tucked in; a raised mouth stretches."""
    if movement.name not in ("corner_tighten", "lip_stretch"):
        return False
    up = by_name.get("lip_corners_up")
    return up is not None and up.strength > movement.strength


def _renamed(movement: Movement, name: str) -> Movement:
    return replace(movement, name=name)


def _split(
    told: Sequence[Movement], times: Sequence[float]
) -> tuple[list[Movement], list[Movement]]:
    """Return the strongest movement with those that start with it, and the rest by time."""
    if not told:
        return [], []
    start = _start(told[0], times)
    near = [m for m in told if abs(_start(m, times) - start) <= TOGETHER_SECONDS][:MAIN]
    rest = [m for m in told if m not in near][:OTHERS]
    return near, sorted(rest, key=lambda m: (_start(m, times), m.apex))


def _start(movement: Movement, times: Sequence[float]) -> float:
    return float(times[movement.onset]) if movement.onset is not None else 0.0


def _main(rng: np.random.Generator, main: Sequence[Movement], times: Sequence[float]) -> str:
    if not main:
        return ""
    first = main[0]
    clauses = _joined([_clause(rng, movement) for movement in main])
    if len(times) < 2:
        return clauses
    if first.onset is None:
        opening = _pick(rng, ("from the start", "already at the start"))
    else:
        at = f"{times[first.onset]:.1f} s"
        opening = _pick(rng, (f"from {at} on", f"after {at}", f"starting at {at}"))
    ending = "" if first.name == "talk" else _ending(rng, main, times)
    return f"{opening} {clauses}{ending}"


def _ending(rng: np.random.Generator, main: Sequence[Movement], times: Sequence[float]) -> str:
    """When the strongest is at its apex, and when the last of them is over."""
    most = _pick(rng, (", most at {:.1f} s", ", at its strongest at {:.1f} s"))
    peak = most.format(times[main[0].apex])
    offsets = [movement.offset for movement in main if movement.offset is not None]
    if len(offsets) < len(main):
        return peak + _pick(rng, (", until the end", ", and this lasts to the end"))
    over = f"{times[max(offsets)]:.1f} s"
    return peak + _pick(rng, (f", and this is over by {over}", f", then relaxing by {over}"))


def _others(rng: np.random.Generator, others: Sequence[Movement], times: Sequence[float]) -> str:
    if not others:
        return ""
    clauses = [f"{_clause(rng, m)}{_when(m, times)}" for m in others]
    return _pick(rng, ("", "also, ", "besides, ")) + _joined(clauses)


def _when(movement: Movement, times: Sequence[float]) -> str:
    if len(times) < 2 or movement.name == "talk":
        return ""
    share = float(times[movement.apex]) / max(float(times[-1]), 1e-6)
    return " early on" if share < 0.33 else " half-way" if share < 0.67 else " towards the end"


def _clause(rng: np.random.Generator, movement: Movement) -> str:
    clause = _pick(rng, CLAUSES[movement.name])
    if movement.name != "talk" and "wide" not in clause:
        clause += _degree(rng, movement.strength)
    if movement.side != "both" and movement.name != "corner_tighten":
        clause += f" on the {movement.side} side only"
    if movement.name == "lip_corners_up" and movement.side == "both":
        clause += ", a broad smile," if movement.strength >= BROAD_SMILE else ", a smile,"
    return clause


def _degree(rng: np.random.Generator, strength: float) -> str:
    if strength < SLIGHT:
        return _pick(rng, (" slightly", " a little"))
    return _pick(rng, (" strongly", " a lot")) if strength > STRONG else ""


def _extras(rng: np.random.Generator, scene: Scene) -> str:
    parts = []
    if scene.blinks:
        parts.append(_blinks(rng, scene.blinks))
    if scene.head:
        parts.append(_pick(rng, HEAD).format(what=scene.head))
    if scene.gaze:
        parts.append(_pick(rng, GAZE).format(where=scene.gaze))
    return _joined(parts) if parts else ""


def _blinks(rng: np.random.Generator, number: int) -> str:
    return _pick(rng, BLINKS).format(
        times=TIMES.get(number, "several times"),
        is_are="is" if number == 1 else "are",
        count=COUNTS.get(number, "several blinks"),
    )


def _joined(parts: Sequence[str]) -> str:
    if len(parts) == 1:
        return parts[0].rstrip(",")
    head = ", ".join(part.rstrip(",") for part in parts[:-1])
    comma = "," if parts[-2].endswith(",") else ""
    return f"{head}{comma} and {parts[-1].rstrip(',')}"


def _sentence(text: str) -> str:
    return text[0].upper() + text[1:] + "."


def _pick(rng: np.random.Generator, choices: Sequence[str]) -> str:
    return choices[int(rng.integers(len(choices)))]
