"""The world: which person shows what in clip number i, as a function of (seed, i) alone."""

import re
import zlib
from dataclasses import dataclass

import numpy as np

from expressway.core.errors import ManifestError
from expressway.data.demo.dynamics import Script, write_script
from expressway.data.demo.identity import Identity, make_identity
from expressway.data.demo.scene import Scene, make_scene
from expressway.data.demo.units import COMPOUNDS, EMOTIONS, Expression, sample_expression

SUBJECTS = 48
FOLDS = 5
_EMOTION_SHARE = 5
_KIND_BLOCK = EMOTIONS * _EMOTION_SHARE + COMPOUNDS
_STILL_KINDS = EMOTIONS


def stream(seed: int, purpose: str, *numbers: int) -> np.random.Generator:
    """An independent source of randomness for one purpose; purposes never share draws."""
    return np.random.default_rng([seed, zlib.crc32(purpose.encode()), *numbers])


@dataclass(frozen=True)
class Performance:
    """All that is needed to draw a clip or a still."""

    kind: str
    identity: Identity
    scene: Scene
    expression: Expression
    script: Script


def clip_id(number: int) -> str:
    """Name of clip `number`."""
    return f"demo-{number:05d}"


def still_id(number: int) -> str:
    """Name of still `number`."""
    return f"still-{number:05d}"


def number_of(name: str) -> tuple[str, int]:
    """Prefix (`demo` or `still`) and number of a clip id.

    Raises:
        ManifestError: the id is not one of a demo world.
    """
    found = re.fullmatch(r"(demo|still)-(\d+)", name)
    if found is None:
        raise ManifestError(
            f"{name!r} is no clip of a demo world; expected demo-00012, still-00003"
        )
    return found[1], int(found[2])


def kind_of(seed: int, number: int) -> str:
    """What clip `number` shows: shuffled blocks, so that any world is balanced."""
    return _KIND_BLOCK[_shuffled(seed, "kinds", number, len(_KIND_BLOCK))]


def subject_of(seed: int, number: int) -> int:
    """Who is seen in clip `number`."""
    return _shuffled(seed, "subjects", number, SUBJECTS)


def _shuffled(seed: int, purpose: str, number: int, length: int) -> int:
    block, place = divmod(number, length)
    return int(stream(seed, purpose, block).permutation(length)[place])


def fold_of(subject: int) -> int:
    """The fold, 1 to 5, in whose test part a subject is."""
    return subject % FOLDS + 1


def identity_of(seed: int, subject: int) -> Identity:
    """Looks of a subject."""
    return make_identity(stream(seed, "identity", subject))


def expressivity_of(seed: int, subject: int) -> float:
    """How strongly a subject tends to show emotions, in [0, 1]."""
    return float(stream(seed, "expressivity", subject).uniform(0.0, 1.0))


def strength(rng: np.random.Generator, expressivity: float) -> float:
    """Intensity of one showing by a person of this expressivity."""
    return float(np.clip(0.42 + 0.45 * expressivity + rng.normal(0.0, 0.08), 0.3, 1.0))


def performance(seed: int, number: int) -> Performance:
    """Everything about clip `number`."""
    subject = subject_of(seed, number)
    rng = stream(seed, "clip", number)
    kind, identity = kind_of(seed, number), identity_of(seed, subject)
    expression = sample_expression(rng, kind, strength(rng, expressivity_of(seed, subject)))
    script = write_script(rng, expression)
    return Performance(kind, identity, make_scene(rng, identity), expression, script)


def still(seed: int, number: int) -> Performance:
    """Everything about still `number`: a person of its own, near the apex of a clip."""
    rng = stream(seed, "still", number)
    identity = make_identity(stream(seed, "still-identity", number))
    kind = _STILL_KINDS[int(rng.integers(len(_STILL_KINDS)))]
    expression = sample_expression(rng, kind, strength(rng, float(rng.uniform())))
    script = write_script(rng, expression)
    return Performance(kind, identity, make_scene(rng, identity), expression, script)
