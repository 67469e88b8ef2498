"""Coverage of a store: lost clips with reasons, and the limit before training.

Coverage outlives the shards that it counts: whoever has trained may remove a store to save disk.
"""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from expressway.core.errors import USABLE, ExpresswayError
from expressway.core.files import write_json
from expressway.core.store import ShardReader, read_footer

MINIMUM_CLIPS_JUDGED = 20
EXAMPLES = 5


class TooManyLost(ExpresswayError):
    """More clips of a data set were lost in a store than its configuration allows."""


def measure(shards: Sequence[Path], earlier: Path | None = None) -> dict[str, Any]:
    """Return counts per status and per error type with examples, and the troubles of each shard.

    Args:
        earlier: a coverage file, from which shards are taken that are not there any more.
    """
    known = read(earlier)
    counted = {path.stem: _shard(path, known) for path in shards}
    there = [path for path in shards if path.exists()]
    troubles = [state for shard in counted.values() for state in shard["troubles"]]
    clips = sum(shard["clips"] for shard in counted.values())
    statuses = Counter(state["status"] for state in troubles)
    lost = sum(number for status, number in statuses.items() if status not in USABLE)
    if clips > len(troubles):
        statuses["ok"] = clips - len(troubles)
    return {
        "clips": clips,
        "usable": clips - lost,
        "statuses": dict(sorted(statuses.items())),
        "errors": dict(sorted(_errors(troubles).items())),
        "shards": counted,
        "footer": _made_with(there[0]) if there else footer(earlier),
    }


def _made_with(shard: Path) -> dict[str, Any]:
    found = read_footer(shard)
    return {key: found.get(key) for key in ("fingerprint", "packages", "config")}


def footer(path: Path | None) -> dict[str, Any]:
    """Return what a store was made with: ``fingerprint``, ``packages``, ``config``."""
    found = _content(path).get("footer")
    return found if isinstance(found, dict) else {}


def _content(path: Path | None) -> dict[str, Any]:
    """Return a coverage file; an empty mapping where there is none yet, or a damaged one."""
    try:
        found = json.loads(path.read_text("utf-8")) if path else {}
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _shard(path: Path, known: Mapping[str, Any]) -> dict[str, Any]:
    if not path.exists() and path.stem in known:
        return dict(known[path.stem])
    reader = ShardReader(path)
    troubles = [state for state in reader.states if state["status"] != "ok"]
    return {"clips": len(reader), "troubles": troubles}


def read(path: Path | None) -> dict[str, Any]:
    """Return shard -> ``clips`` (how many) and ``troubles`` (states that are not ok)."""
    shards = _content(path).get("shards")
    return shards if isinstance(shards, dict) else {}


def states(path: Path, ids: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Return clip id -> its state, of all clips that a coverage file counts.

    Args:
        ids: of the data set's clips, in manifest order.
    """
    found: dict[str, dict[str, Any]] = {}
    start = 0
    for shard in read(path).values():
        end = start + shard["clips"]
        found |= {clip_id: {"clip_id": clip_id, "status": "ok"} for clip_id in ids[start:end]}
        found |= {state["clip_id"]: state for state in shard["troubles"]}
        start = end
    return found


def _errors(troubles: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    errors: dict[str, dict[str, Any]] = {}
    for state in troubles:
        kind = f"{state['status']}: {state['error_type'] or 'no type'}"
        entry = errors.setdefault(kind, {"clips": 0, "examples": []})
        entry["clips"] += 1
        if len(entry["examples"]) < EXAMPLES:
            entry["examples"].append([state["clip_id"], state["error_message"]])
    return errors


def write(
    shards: Sequence[Path], out: Path, allowed: float, key: str, store: str
) -> dict[str, Any]:
    """Write the coverage of a store as JSON; shards that were counted before need not be there.

    Args:
        allowed: share of clips that may be lost; judged from 20 clips on.
        key: configuration key to name in the message.
        store: folder to name in it.

    Raises:
        TooManyLost: the share is larger; the message shows examples.
        StoreError: a shard is missing that nobody counted.
    """
    found = measure(shards, out)
    lost = found["clips"] - found["usable"]
    if found["clips"] >= MINIMUM_CLIPS_JUDGED and lost > allowed * found["clips"]:
        raise TooManyLost(_message(found, lost, allowed, key, store))
    write_json(out, found)
    return found


def _message(found: dict[str, Any], lost: int, allowed: float, key: str, store: str) -> str:
    lines = [
        f"{store}: {lost} of {found['clips']} clips have no data; {key} allows {allowed:.0%}. "
        "Look at the examples, then mend the clips or raise the limit:"
    ]
    for kind, entry in found["errors"].items():
        lines += [f"  {kind} ({entry['clips']} clips)"]
        lines += [f"    {clip_id}: {message}" for clip_id, message in entry["examples"]]
    return "\n".join(lines)
