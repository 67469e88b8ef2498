"""Records of what outputs were made of: in footers and model cards, else beside them."""

import json
from pathlib import Path
from typing import Any

from expressway.core.errors import StoreError
from expressway.core.files import write_json
from expressway.core.model_card import CARD
from expressway.core.store import read_footer

MADE_OF = "made_of"
SIDE_FILE = ".made_of.json"


def record(path: str) -> dict[str, Any] | None:
    """Return what an output says it was made of, if it does."""
    try:
        if path.endswith(".parquet"):
            found = read_footer(Path(path)).get(MADE_OF)
        elif Path(path).name == CARD:
            found = json.loads(Path(path).read_text("utf-8")).get(MADE_OF)
        else:
            found = json.loads(side_file(path).read_text("utf-8"))
    except (StoreError, OSError, ValueError, AttributeError):
        return None
    return found if isinstance(found, dict) else None


def side_file(path: str) -> Path:
    """Return the file beside an output that says what the output was made of."""
    return Path(path).with_suffix(SIDE_FILE)


def note(path: str, made_of: dict[str, Any]) -> None:
    """Write what an output was made of beside it; after the output itself."""
    write_json(side_file(path), made_of)
