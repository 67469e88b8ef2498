"""How many clips each store lost and why; the gate before anything is trained on it."""

from collections import Counter
from pathlib import Path
from typing import Any

from expressway.errors import USABLE, ExpresswayError
from expressway.files import write_json
from expressway.store import Store

JUDGED_FROM = 20
EXAMPLES = 5


class TooManyLost(ExpresswayError):
    """More clips of a data set were lost in a store than its configuration allows."""


def measure(paths: list[Path]) -> dict[str, Any]:
    """Return counts per status and per error type, and a few examples of each error type."""
    store = Store(paths)
    states = [store.state(clip_id) for clip_id in store]
    statuses = Counter(state["status"] for state in states)
    errors: dict[str, dict[str, Any]] = {}
    for state in states:
        if state["status"] != "ok":
            kind = f"{state['status']}: {state['error_type'] or 'no type'}"
            entry = errors.setdefault(kind, {"clips": 0, "examples": []})
            entry["clips"] += 1
            if len(entry["examples"]) < EXAMPLES:
                entry["examples"].append([state["clip_id"], state["error_message"]])
    usable = sum(number for status, number in statuses.items() if status in USABLE)
    return {
        "clips": len(states),
        "usable": usable,
        "statuses": dict(sorted(statuses.items())),
        "errors": dict(sorted(errors.items())),
    }


def write(paths: list[Path], out: Path, allowed: float, key: str) -> dict[str, Any]:
    """Write the coverage of a store as JSON.

    Args:
        allowed: share of clips that may be lost; judged from 20 clips on.
        key: configuration key to name in the message.

    Raises:
        TooManyLost: the share is larger; the message shows examples.
    """
    found = measure(paths)
    lost = found["clips"] - found["usable"]
    if found["clips"] >= JUDGED_FROM and lost > allowed * found["clips"]:
        raise TooManyLost(_message(found, lost, allowed, key, out.parent))
    write_json(out, found)
    return found


def _message(found: dict[str, Any], lost: int, allowed: float, key: str, store: Path) -> str:
    lines = [
        f"{store}: {lost} of {found['clips']} clips have no data; {key} allows {allowed:.0%}. "
        "Look at the examples, then mend the clips or raise the limit:"
    ]
    for kind, entry in found["errors"].items():
        lines += [f"  {kind} ({entry['clips']} clips)"]
        lines += [f"    {clip_id}: {message}" for clip_id, message in entry["examples"]]
    return "\n".join(lines)
