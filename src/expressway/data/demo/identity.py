"""Identity of a rendered face: looks that no expression changes."""

from dataclasses import dataclass

import numpy as np

Colour = tuple[float, float, float]

SKINS: dict[str, Colour] = {
    "very fair": (226, 192, 172),
    "fair": (214, 172, 146),
    "olive": (196, 152, 116),
    "tan": (176, 128, 92),
    "brown": (150, 103, 72),
    "dark brown": (112, 76, 56),
}
HAIRS: dict[str, Colour] = {
    "black": (34, 28, 28),
    "dark brown": (66, 44, 34),
    "brown": (104, 70, 46),
    "auburn": (134, 66, 40),
    "red": (176, 88, 46),
    "blond": (208, 170, 106),
    "grey": (142, 140, 138),
    "white": (214, 212, 206),
}
EYES: dict[str, Colour] = {
    "brown": (92, 58, 36),
    "dark": (52, 36, 28),
    "blue": (84, 130, 172),
    "green": (92, 130, 84),
    "grey": (122, 134, 142),
    "hazel": (128, 98, 54),
}
STYLES: tuple[str, ...] = ("short", "fringe", "parted", "long", "bob", "curly", "bun", "shaved")
_DARK_SKIN_HAIRS = ("black", "dark brown", "grey", "white")
_SHORT_STYLES = ("short", "parted", "shaved", "curly", "fringe")


@dataclass(frozen=True)
class Identity:
    """Looks of one person; `shape` holds factors around 1 and offsets (mm) around 0."""

    skin: str
    hair: str
    eyes: str
    style: str
    beard: str
    glasses: bool
    skin_colour: Colour
    hair_colour: Colour
    eye_colour: Colour
    lip_colour: Colour
    shape: dict[str, float]


# name -> (mean, standard deviation, low, high)
_SHAPE: dict[str, tuple[float, float, float, float]] = {
    "width": (1.0, 0.045, 0.91, 1.09),
    "jaw": (1.0, 0.09, 0.82, 1.15),
    "chin": (0.0, 4.0, -7.0, 7.0),
    "eye_size": (1.0, 0.07, 0.87, 1.14),
    "eye_gap": (0.0, 1.4, -2.5, 2.5),
    "eye_tilt": (0.0, 1.0, -1.8, 2.0),
    "lid": (1.0, 0.1, 0.8, 1.2),
    "brow_height": (0.0, 1.7, -3.0, 3.0),
    "brow_arch": (0.8, 0.25, 0.3, 1.2),
    "brow_thickness": (1.05, 0.22, 0.7, 1.5),
    "brow_tilt": (0.0, 0.9, -1.6, 1.6),
    "nose_width": (1.0, 0.12, 0.8, 1.25),
    "nose_length": (0.0, 2.4, -4.0, 4.5),
    "mouth_width": (1.0, 0.07, 0.87, 1.13),
    "mouth_height": (0.0, 1.6, -3.0, 3.0),
    "lips": (1.0, 0.2, 0.65, 1.4),
    "mouth_curve": (0.0, 0.8, -1.4, 1.4),
    "hairline": (0.0, 4.0, -7.0, 7.0),
    "lines": (0.35, 0.2, 0.1, 0.85),
}


def make_identity(rng: np.random.Generator) -> Identity:
    """Draw a person."""
    skin = _pick(rng, tuple(SKINS))
    dark = skin in ("brown", "dark brown")
    hair = _pick(rng, _DARK_SKIN_HAIRS if dark else tuple(HAIRS))
    style = _pick(rng, STYLES)
    bearded = style in _SHORT_STYLES and rng.random() < 0.38
    skin_colour = _jitter(rng, SKINS[skin], 7.0)
    eyes = _pick(rng, ("brown", "dark") if dark else tuple(EYES))
    return Identity(
        skin=skin,
        hair=hair,
        eyes=eyes,
        style=style,
        beard=_pick(rng, ("stubble", "full", "moustache")) if bearded else "",
        glasses=bool(rng.random() < 0.16),
        skin_colour=skin_colour,
        hair_colour=_jitter(rng, HAIRS[hair], 6.0),
        eye_colour=_jitter(rng, EYES[eyes], 5.0),
        lip_colour=_lips(rng, skin_colour),
        shape=_draw_shape(rng),
    )


def _pick(rng: np.random.Generator, names: tuple[str, ...]) -> str:
    return names[int(rng.integers(len(names)))]


def _jitter(rng: np.random.Generator, colour: Colour, spread: float) -> Colour:
    level = 1.0 + rng.normal(0.0, 0.006 * spread)
    red, green, blue = np.clip(np.array(colour) * level + rng.normal(0.0, 0.4 * spread, 3), 12, 250)
    return float(red), float(green), float(blue)


def _lips(rng: np.random.Generator, skin: Colour) -> Colour:
    """Lips are skin with more red and less light; made-up lips more so."""
    tint = rng.uniform(0.25, 0.75)
    red, green, blue = skin
    bare = np.array([red * 0.9, green * (0.78 - 0.28 * tint), blue * (0.84 - 0.24 * tint)])
    rose = np.array([176.0, 84.0, 86.0])
    share = 0.45 * (1.0 - red / 255.0)
    mixed = bare + (rose - bare) * share + (8.0 * tint, 0.0, 0.0)
    return float(mixed[0]), float(mixed[1]), float(mixed[2])


def _draw_shape(rng: np.random.Generator) -> dict[str, float]:
    return {
        name: float(np.clip(rng.normal(mean, spread), low, high))
        for name, (mean, spread, low, high) in _SHAPE.items()
    }
