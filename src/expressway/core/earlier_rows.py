"""Rows that a store holds already, looked up by what they are made of."""

from collections.abc import Iterable, Sequence
from pathlib import Path

from expressway.core.errors import StoreError
from expressway.core.store import ShardReader, ShardWriter

# Asked again whenever its shard is made again: it may have been the machine's fault.
PASSING = frozenset({"timeout"})


class EarlierRows:
    """The rows among ``wanted`` that shards hold; a shard without any is not kept open."""

    def __init__(self, shards: Iterable[Path], wanted: Sequence[str]) -> None:
        self._rows: dict[str, tuple[ShardReader, int]] = {}
        missing = {identity for identity in wanted if identity}
        for path in shards:
            if not missing:
                break
            self._take(path, missing)
            missing -= self._rows.keys()

    def _take(self, path: Path, missing: set[str]) -> None:
        try:
            reader = ShardReader(path)
        except StoreError:
            return  # what cannot be read is computed
        for index, identity in enumerate(reader.identities):
            if identity in missing and reader.states[index]["status"] not in PASSING:
                self._rows[identity] = reader, index

    def __contains__(self, identity: object) -> bool:
        return identity in self._rows

    def copy(self, identity: str, writer: ShardWriter) -> str:
        """Write the row as it is; return its status."""
        reader, index = self._rows[identity]
        writer.copy(reader, index)
        return str(reader.states[index]["status"])
