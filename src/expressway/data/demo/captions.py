"""Sentences about faces as a person would say them: movements and looks, never an emotion.

A caption names what moves, roughly how strongly and on which side; like people, it sometimes
leaves out a weak movement, and it never mentions what is not there.
"""

import numpy as np

from expressway.data.demo.identity import Identity
from expressway.data.demo.units import INDEX, UNITS, FloatArray

NOTICED = 0.2
_WEAK, _STRONG = 0.42, 0.72

# Movements of several units that people see as one; the first match takes its units.
_TOGETHER: tuple[tuple[tuple[int, ...], tuple[str, ...]], ...] = (
    (
        (1, 2, 4),
        (
            "the brows are raised and drawn together",
            "both eyebrows go up and knit together",
            "the lifted brows are pulled towards each other",
        ),
    ),
    (
        (1, 2),
        (
            "the brows are raised high",
            "both eyebrows shoot up",
            "the eyebrows go up and the forehead wrinkles",
            "the forehead creases above lifted brows",
        ),
    ),
    (
        (1, 4),
        (
            "the inner brows are raised and drawn together",
            "the inner ends of the eyebrows are pulled up and together",
            "the brows slant upwards in the middle",
        ),
    ),
    (
        (6, 12),
        (
            "the cheeks are raised and the corners of the mouth are pulled up into a smile",
            "a wide smile lifts the cheeks and crinkles the eyes",
            "the mouth curves up and small wrinkles appear beside the eyes",
        ),
    ),
    (
        (9, 10),
        (
            "the nose is wrinkled and the upper lip is raised",
            "the nose scrunches up and the upper lip lifts",
        ),
    ),
    (
        (25, 26),
        (
            "the jaw drops open",
            "the mouth falls open",
            "the jaw drops and the lips part",
            "the mouth is wide open",
        ),
    ),
    (
        (20, 25),
        (
            "the lips are stretched sideways and show the teeth",
            "the open mouth is pulled wide to both sides",
            "the lips are stretched apart",
        ),
    ),
)
_SINGLE: dict[int, tuple[str, ...]] = {
    1: ("the inner brows are raised", "the inner ends of the eyebrows go up"),
    2: ("the outer brows are raised", "the outer ends of the eyebrows lift"),
    4: (
        "the brows are lowered and drawn together",
        "the eyebrows are pulled down",
        "the brow is knitted",
        "vertical lines appear between the lowered brows",
    ),
    5: ("the eyes are wide open", "the upper eyelids are raised", "the eyes widen"),
    6: ("the cheeks are raised", "the cheeks push up under the eyes"),
    7: ("the eyes are narrowed", "the eyelids tighten", "the eyes squint"),
    9: ("the nose is wrinkled", "the nose is scrunched up", "wrinkles run across the nose"),
    10: ("the upper lip is raised", "the upper lip lifts", "the upper lip is drawn up"),
    12: (
        "the corners of the mouth are pulled up",
        "the mouth curves upwards",
        "the lip corners rise into a smile",
    ),
    14: ("the corners of the mouth are tightened", "dimples form beside the mouth"),
    15: (
        "the corners of the mouth turn down",
        "the lip corners are pulled down",
        "the mouth bends downwards",
    ),
    17: ("the chin is pushed up", "the chin bulges and wrinkles"),
    20: ("the lips are stretched sideways", "the mouth is stretched wide"),
    23: (
        "the lips are pressed tight",
        "the lips become thin and tight",
        "the mouth is pressed into a thin line",
    ),
    25: ("the lips part", "the mouth is open", "the lips come apart"),
    26: ("the jaw drops", "the chin drops"),
    43: ("the eyes close", "the eyelids fall shut"),
}
_ONE_SIDED: dict[int, tuple[str, ...]] = {
    12: ("one corner of the mouth is pulled up", "the mouth rises on one side only"),
    14: (
        "one corner of the mouth is tightened",
        "a dimple forms on one side of the mouth",
        "one lip corner is tucked in",
    ),
    2: ("one eyebrow is raised", "a single eyebrow lifts"),
}
_LOPSIDED = (
    "one corner of the mouth is tightened and pulled up on one side",
    "a lopsided half smile tightens one corner of the mouth",
    "only one side of the mouth is drawn up and tucked in",
)
_AT_REST = (
    "the face is at rest and nothing moves",
    "the face stays still and relaxed",
    "no part of the face moves",
    "the brows, eyes and mouth are at rest",
)
_TALKING = ("the person is talking", "the lips move as in speech", "the mouth moves in talk")
_BLINKING = ("the eyes blink", "there is a blink")
_ENDS = ("", "", "", " and then the face relaxes again", " for a moment", " briefly")
_OPENINGS = ("", "", "in this clip ", "here ", "we see that ", "slowly ")


def clip_captions(
    rng: np.random.Generator,
    units: FloatArray,
    sides: FloatArray,
    identity: Identity,
    talks: bool,
    blinks: bool,
) -> tuple[str, str, str]:
    """Three phrasings of one clip: movements, movements in other words, looks and movements.

    Args:
        rng: source of randomness.
        units: intensities at the apex, (17,).
        sides: multipliers of the two sides, (2, 17).
        identity: who is seen.
        talks: whether the mouth also moves in speech.
        blinks: whether the eyes blink.
    """
    extras = [_pick(rng, _TALKING)] if talks and rng.random() < 0.35 else []
    extras += [_pick(rng, _BLINKING)] if blinks and rng.random() < 0.2 else []
    first = _sentence(movements(rng, units, sides), _pick(rng, _ENDS))
    moved = [*movements(rng, units, sides), *extras]
    second = _sentence([_pick(rng, _OPENINGS) + moved[0], *moved[1:]], "")
    third = f"{looks(rng, identity)}: {_join(movements(rng, units, sides))}."
    return first, second, third[0].upper() + third[1:]


def movements(rng: np.random.Generator, units: FloatArray, sides: FloatArray) -> list[str]:
    """What moves, as clauses; `units` (17,) and `sides` (2, 17) as in `Expression`."""
    left = {unit: float(units[INDEX[unit]]) for unit in UNITS if units[INDEX[unit]] >= NOTICED}
    if not left:
        return [_pick(rng, _AT_REST)]
    _forget(rng, left)
    one_sided = {unit for unit in left if float(sides[:, INDEX[unit]].min()) < 0.5}
    clauses: list[str] = []
    if {12, 14} <= one_sided:
        clauses.append(_qualified(rng, _pick(rng, _LOPSIDED), max(left.pop(12), left.pop(14))))
    for group, phrases in _TOGETHER:
        if all(unit in left and unit not in one_sided for unit in group):
            level = max(left.pop(unit) for unit in group)
            clauses.append(_qualified(rng, _pick(rng, phrases), level))
    for unit, level in left.items():
        bank = _ONE_SIDED if unit in one_sided and unit in _ONE_SIDED else _SINGLE
        clauses.append(_qualified(rng, _pick(rng, bank[unit]), level))
    return [clauses[index] for index in rng.permutation(len(clauses))]


def _forget(rng: np.random.Generator, left: dict[int, float]) -> None:
    """People overlook a weak movement when there are stronger ones."""
    weakest = min(left, key=lambda unit: left[unit])
    if len(left) > 2 and left[weakest] < _WEAK and rng.random() < 0.4:
        del left[weakest]


def _qualified(rng: np.random.Generator, clause: str, level: float) -> str:
    if rng.random() < 0.5 or "wide" in clause or "high" in clause:
        return clause
    if level < _WEAK:
        return f"{clause} {_pick(rng, ('a little', 'slightly'))}"
    return f"{clause} {_pick(rng, ('strongly', 'a lot'))}" if level > _STRONG else clause


_BEARDS = {"full": "a beard", "stubble": "stubble", "moustache": "a moustache"}


def looks(rng: np.random.Generator, identity: Identity) -> str:
    """The person in a few words."""
    hair = {"shaved": "very short", "parted": "side-parted"}.get(identity.style, identity.style)
    if identity.style in ("fringe", "bun", "bob"):
        traits = [f"{identity.hair} hair in a {identity.style}"]
    else:
        traits = [f"{hair} {identity.hair} hair"]
    if rng.random() < 0.6:
        traits.append(f"{identity.skin} skin")
    if identity.glasses:
        traits.append("glasses")
    if identity.beard:
        traits.append(_BEARDS[identity.beard])
    who = _pick(rng, ("a person", "someone", "a face"))
    return f"{who} with {_join(traits)}"


def _sentence(clauses: list[str], end: str) -> str:
    text = _join(clauses) + end
    return text[0].upper() + text[1:] + "."


def _join(parts: list[str]) -> str:
    return parts[0] if len(parts) == 1 else ", ".join(parts[:-1]) + " and " + parts[-1]


def _pick(rng: np.random.Generator, choices: tuple[str, ...]) -> str:
    return choices[int(rng.integers(len(choices)))]
