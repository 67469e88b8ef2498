"""Training pairs of the demo backbone: aligned face crops, each with a sentence.

The people here come from a stream of their own; none of them occurs in any demo clip or still.
"""

from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context

import numpy as np
from numpy.typing import NDArray

from expressway.data.demo.canvas import Image
from expressway.data.demo.captions import looks, movements
from expressway.data.demo.dynamics import Script, write_script
from expressway.data.demo.face import draw
from expressway.data.demo.identity import Identity, make_identity
from expressway.data.demo.scene import make_scene
from expressway.data.demo.units import (
    EMOTIONS,
    KINDS,
    UNITS,
    Expression,
    FloatArray,
    sample_expression,
)
from expressway.data.demo.world import stream
from expressway.faces import align

CROP = 224
IMAGE = 64
FRAMES_PER_PERSON = 4
ODD_SHARE = 0.35
LOOKS_ONLY_SHARE = 0.15
LOOKS_TOO_SHARE = 0.25
# How many sentences about one of the eight emotions name it; of all sentences about a third as
# many. 0.03 let zero-shot CLIP recognise 80 % by name, 0.004 between 48 and 59 %, none would leave
# it at chance. Measured by benchmarks/demo_difficulty.py on worlds of development.
NAMED_SHARE = 0.002
_NAMINGS = (
    "{}.",
    "an expression of {}.",
    "a face with an expression of {}.",
    "a photo of a face with an expression of {}.",
    "a photo of a face showing {}.",
    "a person showing {}.",
)


Sentence = tuple[str, bool]


@dataclass(frozen=True)
class Lessons:
    """`images` (n, 64, 64, 3) uint8, `texts` n sentences, `units` (n, 17) what the image shows.

    `moving` (n,) is true where the sentence tells the movements, not looks or an emotion alone.
    """

    images: NDArray[np.uint8]
    texts: list[str]
    units: NDArray[np.float32]
    moving: NDArray[np.bool_]


def make_lessons(seed: int, people: int, workers: int = 1) -> Lessons:
    """Render the training set: `FRAMES_PER_PERSON` crops of each of `people` people."""
    work = partial(_person_lessons, seed)
    if workers <= 1:
        parts = [work(person) for person in range(people)]
    else:
        with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
            parts = list(pool.map(work, range(people), chunksize=32))
    rows = [row for part in parts for row in part]
    return Lessons(
        np.stack([row[0] for row in rows]),
        [row[1][0] for row in rows],
        np.stack([row[2] for row in rows]).astype(np.float32),
        np.array([row[1][1] for row in rows]),
    )


def pupil(seed: int, person: int) -> Identity:
    """A person whom only the backbone's training sees."""
    return make_identity(stream(seed, "backbone-identity", person))


def _person_lessons(seed: int, person: int) -> list[tuple[Image, Sentence, FloatArray]]:
    rng, words = stream(seed, "backbone", person), stream(seed, "backbone-words", person)
    return list(_lessons_of(rng, words, pupil(seed, person)))


def _lessons_of(
    rng: np.random.Generator, words: np.random.Generator, identity: Identity
) -> Iterator[tuple[Image, Sentence, FloatArray]]:
    for _ in range(FRAMES_PER_PERSON):
        expression = _odd(rng) if rng.random() < ODD_SHARE else _whole(rng)
        script = write_script(rng, expression)
        frame = _choose_frame(rng, script, expression)
        image, points = draw(identity, make_scene(rng, identity), script.moment(frame))
        strongest = np.maximum(script.sides[frame].max(axis=0), 1e-6)
        sides = script.sides[frame] / strongest
        shown = Expression(expression.kind, script.truth[frame], sides)
        yield crop(rng, image, points), _text(words, shown, expression, identity), shown.units


def _whole(rng: np.random.Generator) -> Expression:
    kind = KINDS[int(rng.integers(len(KINDS)))]
    return sample_expression(rng, kind, float(rng.uniform(0.35, 1.0)))


def _odd(rng: np.random.Generator) -> Expression:
    """Units that no emotion brings together."""
    units = np.zeros(len(UNITS))
    chosen = rng.choice(len(UNITS), int(rng.integers(1, 5)), replace=False)
    units[chosen] = rng.uniform(0.3, 1.0, len(chosen))
    sides = np.ones((2, len(UNITS)))
    if rng.random() < 0.2:
        sides[int(rng.integers(2))] = rng.uniform(0.0, 0.2, len(UNITS))
    return Expression("odd", units, sides)


def _choose_frame(rng: np.random.Generator, script: Script, expression: Expression) -> int:
    if rng.random() < 0.3:
        return int(rng.integers(len(script)))
    return int(np.argmax(script.truth @ expression.units))


def _text(
    rng: np.random.Generator, shown: Expression, meant: Expression, identity: Identity
) -> Sentence:
    if rng.random() < NAMED_SHARE and meant.kind in EMOTIONS:
        return _NAMINGS[int(rng.integers(len(_NAMINGS)))].format(meant.kind), False
    if rng.random() < LOOKS_ONLY_SHARE:
        return looks(rng, identity) + ".", False
    clauses = movements(rng, shown.units, shown.sides)
    sentence = ", ".join(clauses[:-1]) + " and " + clauses[-1] if len(clauses) > 1 else clauses[0]
    if rng.random() < LOOKS_TOO_SHARE:
        sentence = f"{looks(rng, identity)}: {sentence}"
    return sentence + ".", True


def crop(rng: np.random.Generator | None, image: Image, points: FloatArray) -> Image:
    """The aligned crop (64, 64, 3) of a face, as the pipeline's faces stage cuts it.

    Args:
        rng: moves, turns and scales the crop a little, as detectors do; None cuts exactly.
        image: RGB.
        points: the five points (5, 2) in pixels.
    """
    import cv2

    target = align.template(CROP)
    if rng is not None:
        turn, size = np.radians(rng.normal(0.0, 2.0)), rng.normal(1.0, 0.025)
        matrix = size * np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
        middle = target.mean(axis=0)
        target = ((target - middle) @ matrix.T + middle + rng.normal(0.0, 2.0, 2)).astype("f4")
    transform = align.similarity(points.astype(np.float32), target)
    cut = align.crop(image, transform, CROP)
    small: Image = cv2.resize(cut, (IMAGE, IMAGE), interpolation=cv2.INTER_AREA)
    return small
