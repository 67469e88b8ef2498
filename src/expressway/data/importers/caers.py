"""``expressway import caers``: CAER-S, still images in folders of their classes."""

from pathlib import Path

from expressway.data.importers import facts, tree
from expressway.data.importers.layout import Layout
from expressway.data.importers.write import Found
from expressway.language.emotions import BASIC

EXPECTED = (
    "train/Happy/*.png and test/Happy/*.png  (also below CAER-S or CAERS_Face)",
    "classes: Anger, Disgust, Fear, Happy, Neutral, Sad, Surprise",
)


def scan(root: Path, media: str | None = None) -> Found:
    """Return the images of CAER-S.

    Args:
        media: folder below the root that holds ``train`` and ``test``.

    Raises:
        ManifestError: the layout is another one, or a folder is no class.
    """
    layout = Layout(facts.CAERS.title, root, EXPECTED)
    return tree.scan(layout, media, {"emotion": BASIC}, facts.CAERS, ("image",))
