"""Changes that the user vouches for: a fingerprint that counts as the one before it."""

import json
from datetime import UTC, datetime
from pathlib import Path

from expressway.core.errors import ConfigError

LEDGER = Path("state/accepted.jsonl")


class Accepted:
    """The ledger of ``expressway adopt --accept``: computed fingerprint -> the one it counts as."""

    def __init__(self, path: Path = LEDGER) -> None:
        self.path = path
        self._earlier: dict[str, str] = {}
        for number, line in enumerate(self._lines(), 1):
            try:
                entry = json.loads(line)
                self._earlier[entry["fingerprint"]] = entry["counts_as"]
            except (ValueError, KeyError, TypeError) as error:
                raise ConfigError(
                    f"{path}:{number}: not an entry of this ledger ({error}); remove the line"
                ) from error

    def _lines(self) -> list[str]:
        return self.path.read_text("utf-8").splitlines() if self.path.is_file() else []

    def __call__(self, fingerprint: str) -> str:
        """Return the fingerprint that an output is held to."""
        return self._earlier.get(fingerprint, fingerprint)

    def add(self, name: str, fingerprint: str, counts_as: str) -> None:
        """Note that ``fingerprint`` of what is called ``name`` counts as an earlier one."""
        now = datetime.now(UTC).isoformat(timespec="seconds")
        entry = {"time": now, "name": name, "fingerprint": fingerprint, "counts_as": counts_as}
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.open("a", encoding="utf-8") as handle:
            handle.write(json.dumps(entry) + "\n")
        self._earlier[fingerprint] = counts_as
