"""Decide which outputs are current, by identity and content, never by time."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

from expressway import stages
from expressway.core.errors import StoreError
from expressway.core.rows import row_identity
from expressway.core.store import row_contents, row_identities
from expressway.planning.outputs import Output, Outputs
from expressway.planning.records import record

Kind = Literal[
    "missing", "unreadable", "code", "configuration", "weights", "upstream", "rows", "content"
]
PARTS: dict[str, Kind] = {
    "code": "code",
    "config": "configuration",
    "weights": "weights",
    "upstream": "upstream",
}


@dataclass(frozen=True)
class Cause:
    """One reason for which an output is not current; ``what`` names the part that differs."""

    kind: Kind
    what: str

    def __str__(self) -> str:
        return f"{self.kind}: {self.what}"


class Staleness:
    """Holds what outputs say of themselves against the plan."""

    def __init__(self, outputs: Outputs) -> None:
        self.outputs = outputs
        self.causes = lru_cache(maxsize=None)(self._causes)
        self.changing_clips = lru_cache(maxsize=None)(self._changing_clips)

    def is_current(self, output: Output) -> bool:
        """Return whether an output is there, and what a job would make now."""
        return not self.causes(output)

    def _causes(self, output: Output) -> tuple[Cause, ...]:
        if not Path(output.path).exists():
            return (Cause("missing", output.path),)
        found = record(output.path)
        if found is None:
            return (Cause("unreadable", f"{output.path} does not say what it was made of"),)
        return tuple(self._differences(output, found))

    def _differences(self, output: Output, found: Mapping[str, Any]) -> Iterator[Cause]:
        made_of = output.made_of
        if found.get("fingerprint") != self.outputs.plan.accepted(made_of.fingerprint):
            yield from _different_parts(found, made_of.parts)
        if found.get("rows") != made_of.rows:
            yield Cause("rows", "rows of the manifest or the splits")
        known = found.get("read") or {}
        for name, content in output.read().items():
            if content is not None and known.get(name) != content:
                yield Cause("content", name)
        clips = None if output.clips is None else output.clips()
        for above in output.inputs():
            changing = self.changing_clips(above)
            if changing and (clips is None or clips & changing):
                yield Cause("content", above.path)

    def _changing_clips(self, output: Output) -> frozenset[str]:
        """Return the clips whose rows in a shard will change, since rows that they read did."""
        if output.rule not in stages.NAMES:
            return frozenset()
        found = frozenset[str]().union(*map(self.changing_clips, output.inputs()))
        said = record(output.path) or {}
        read = {name: content for name, content in output.read().items() if content is not None}
        if said and any(said.get("read", {}).get(name) != each for name, each in read.items()):
            found |= self._different_rows(output)
        return found

    def _different_rows(self, output: Output) -> frozenset[str]:
        """Return the clips whose rows were made of other upstream rows than there are now."""
        keys = output.row_keys()
        above = sorted(each.path for each in output.inputs() if each.rule in stages.NAMES)
        try:
            made_of = row_identities(Path(output.path))
            read = [row_contents(Path(path)) for path in above]
        except StoreError:
            return frozenset(keys)
        return frozenset(
            clip
            for clip, key in keys.items()
            if made_of.get(clip) != row_identity(key, [contents.get(clip) for contents in read])
        )

    def due(self, wanted: list[Output]) -> dict[Output, tuple[Cause, ...]]:
        """Return the outputs that a run would make, each with its causes, upstream first."""
        found: dict[Output, tuple[Cause, ...]] = {}
        for output in wanted:
            self._add(output, found)
        return found

    def _add(self, output: Output, found: dict[Output, tuple[Cause, ...]]) -> None:
        if output in found:
            return
        if causes := self.causes(output):
            for above in output.inputs():
                self._add(above, found)
            found[output] = causes
            return
        for above in output.inputs():
            if Path(above.path).exists():
                self._add(above, found)


def _different_parts(found: Mapping[str, Any], wanted: Mapping[str, Any]) -> list[Cause]:
    """Return the parts that differ: modules, keys, files, upstream stores."""
    differing = [
        Cause(kind, name)
        for part, kind in PARTS.items()
        for name in _different_keys(_plain(found.get(part)), _plain(wanted[part]))
    ]
    return differing or [Cause("code", "definitions moved or were renamed")]


def _plain(value: Any) -> dict[str, Any]:
    """Return a mapping as JSON would give it back."""
    plain = json.loads(json.dumps(value, default=str))
    return plain if isinstance(plain, dict) else {}


def _different_keys(
    found: Mapping[str, Any], wanted: Mapping[str, Any], where: str = ""
) -> list[str]:
    keys = []
    for key in dict.fromkeys([*found, *wanted]):
        old, new = found.get(key), wanted.get(key)
        if isinstance(old, dict) and isinstance(new, dict):
            keys += _different_keys(old, new, f"{where}{key}.")
        elif old != new:
            keys.append(f"{where}{key}")
    return keys
