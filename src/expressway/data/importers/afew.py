"""``expressway import afew``: training and validation clips in folders of their classes."""

from pathlib import Path

from expressway.data.importers import class_schemes, facts, tree
from expressway.data.importers.layout import Layout
from expressway.data.importers.listed import hidden_test
from expressway.data.importers.write import Found
from expressway.language.emotions import BASIC

EXPECTED = (
    "Train_AFEW/Angry/*.avi and Val_AFEW/Angry/*.avi, or",
    "AFEW_Face/train/Anger/CLIP/*.jpg and AFEW_Face/validation/Anger/CLIP/*.jpg",
)
KINDS = ("video", "frames")


def scan(root: Path, media: str | None = None) -> Found:
    """Return the clips of AFEW, whose test labels are not public.

    The scheme ``official`` has train and validation; in ``published`` the validation clips are the
    test, as in all published tables.

    Args:
        media: folder below the root that holds the parts, when not the root or the first in it.

    Raises:
        ManifestError: the layout is another one, or a folder is no class.
    """
    schemes = {
        "open": class_schemes.hesp("afew", BASIC, "published", ["published"]),
        "without": class_schemes.leave_one_out(BASIC, "published", ["published"]),
    }
    layout = Layout(facts.AFEW.title, root, EXPECTED)
    return tree.scan(layout, media, {"emotion": BASIC}, facts.AFEW, KINDS, hidden_test, schemes)
