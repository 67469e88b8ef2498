"""Facial action units, and what an emotion is in this world: an EMFACS prototype.

A *unit vector* is a float array of shape (17,), one intensity in [0, 1] per entry of `UNITS`.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from expressway.language import emotions

FloatArray = NDArray[np.float64]

UNITS: tuple[int, ...] = (1, 2, 4, 5, 6, 7, 9, 10, 12, 14, 15, 17, 20, 23, 25, 26, 43)
UNIT_NAMES: tuple[str, ...] = tuple(f"AU{unit:02d}" for unit in UNITS)
INDEX: dict[int, int] = {unit: index for index, unit in enumerate(UNITS)}

EMOTIONS = emotions.EIGHT
COMPOUNDS: tuple[str, ...] = (
    "happiness_surprise",
    "happiness_disgust",
    "sadness_anger",
    "sadness_fear",
    "fear_surprise",
    "anger_disgust",
)
KINDS: tuple[str, ...] = EMOTIONS + COMPOUNDS


@dataclass(frozen=True)
class Prototype:
    """Units that make up an expression: always there, or there with a probability."""

    core: dict[int, float]
    optional: dict[int, float]
    one_sided: tuple[int, ...] = ()


PROTOTYPES: dict[str, Prototype] = {
    "happiness": Prototype({6: 0.8, 12: 1.0}, {25: 0.6, 7: 0.15}),
    "sadness": Prototype({1: 0.9, 4: 0.65, 15: 0.9}, {17: 0.5, 43: 0.15}),
    "neutral": Prototype({}, {}),
    "anger": Prototype({4: 1.0, 7: 0.75, 23: 0.85}, {5: 0.45, 17: 0.35, 10: 0.15}),
    "surprise": Prototype({1: 0.95, 2: 0.95, 5: 0.85, 26: 0.9, 25: 0.7}, {}),
    "disgust": Prototype({9: 1.0, 10: 0.7}, {15: 0.4, 17: 0.5, 25: 0.25, 7: 0.3}),
    "fear": Prototype({1: 0.9, 2: 0.55, 4: 0.7, 5: 0.9, 20: 0.95, 25: 0.6}, {26: 0.3, 7: 0.25}),
    "contempt": Prototype({12: 0.6, 14: 0.95}, {17: 0.15, 2: 0.12}, one_sided=(12, 14, 2)),
    "happiness_surprise": Prototype({1: 0.8, 2: 0.8, 12: 0.9, 25: 0.8}, {5: 0.5, 26: 0.6, 6: 0.4}),
    "happiness_disgust": Prototype({10: 0.8, 12: 0.85, 25: 0.6}, {4: 0.4, 6: 0.5, 9: 0.5}),
    "sadness_anger": Prototype({4: 0.95, 15: 0.85}, {7: 0.5, 17: 0.6, 23: 0.3}),
    "sadness_fear": Prototype({1: 0.9, 4: 0.8, 15: 0.7, 20: 0.7}, {25: 0.6, 5: 0.5}),
    "fear_surprise": Prototype({1: 0.9, 2: 0.8, 5: 0.95, 20: 0.6, 25: 0.8}, {4: 0.4, 26: 0.5}),
    "anger_disgust": Prototype({4: 0.9, 9: 0.6, 10: 0.8, 7: 0.6}, {17: 0.6, 23: 0.4}),
}

# How often a person shows only part of a prototype, or something that does not belong to it.
OMISSION = 0.12
INTRUSION = 0.35
INTRUDERS: tuple[int, ...] = (1, 2, 4, 7, 14, 15, 17, 20, 23, 25)


@dataclass(frozen=True)
class Expression:
    """What a face does at its apex.

    `units` (17,) holds intensities of the stronger side; `sides` (2, 17) multiplies them for the
    left and the right side as seen in the image.
    """

    kind: str
    units: FloatArray
    sides: FloatArray


def sample_expression(rng: np.random.Generator, kind: str, strength: float) -> Expression:
    """Draw one showing of an expression.

    Args:
        rng: source of all randomness.
        kind: a name of `KINDS`.
        strength: how strongly the person shows it at the apex, in [0, 1].
    """
    prototype = PROTOTYPES[kind]
    units = np.zeros(len(UNITS))
    core = list(prototype.core)
    if len(core) > 2 and rng.random() < OMISSION * len(core):
        core.remove(core[rng.integers(len(core))])
    for unit in core:
        units[INDEX[unit]] = prototype.core[unit] * strength * rng.uniform(0.7, 1.1)
    for unit, chance in prototype.optional.items():
        if rng.random() < chance:
            units[INDEX[unit]] = strength * rng.uniform(0.35, 0.8)
    if rng.random() < INTRUSION:
        stranger = INDEX[INTRUDERS[rng.integers(len(INTRUDERS))]]
        units[stranger] = max(units[stranger], rng.uniform(0.1, 0.35))
    return Expression(kind, np.clip(units, 0.0, 1.0), _sample_sides(rng, prototype.one_sided))


def _sample_sides(rng: np.random.Generator, one_sided: tuple[int, ...]) -> FloatArray:
    """Faces are never quite symmetric; some expressions live on one side only."""
    sides = np.ones((2, len(UNITS)))
    weaker = rng.integers(2, size=len(UNITS))
    sides[weaker, np.arange(len(UNITS))] = rng.uniform(0.82, 1.0, size=len(UNITS))
    quiet = int(rng.integers(2))
    for unit in one_sided:
        sides[quiet, INDEX[unit]] = rng.uniform(0.0, 0.15)
        sides[1 - quiet, INDEX[unit]] = 1.0
    return sides
