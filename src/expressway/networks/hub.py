"""Files from the Hugging Face hub are held to the hashes that they are named by.

The hub's client compares sizes only. In its cache ``models--OWNER--NAME/blobs/HASH`` is a file and
``snapshots/COMMIT/FILE`` a link to it. HASH is the sha256 of a large file and git's sha1 of a small
one. Where a server gives other names, or the cache has no links, there is nothing to compare with.
"""

import gc
import hashlib
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from expressway.core.errors import SystemicError
from expressway.core.fingerprints import file_digest

NAMED_BY_HASH = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")


class Damaged(NamedTuple):
    """A file whose content had another hash (``found``) than its name; it is removed."""

    blob: Path
    name: str
    found: str


def checked(load: Callable[[], object]) -> Iterator[str]:
    """Load, and load again while files come damaged; yield a line for each that is fetched again.

    Only repositories that a file came to are read, since a cache may hold hundreds of gigabytes.

    Raises:
        SystemicError: a file came damaged twice; it is not kept.
        Exception: what ``load`` raises when no file is damaged.
    """
    fetched: set[Path] = set()
    while damaged := _damaged_by(load):
        for blob, name, found in damaged:
            if blob in fetched:
                raise SystemicError(_twice(name, blob.name, found))
            yield f"{name} came damaged (its hash is {found}) and is fetched once more"
        fetched.update(blob for blob, _, _ in damaged)
        gc.collect()


def _damaged_by(load: Callable[[], object]) -> list[Damaged]:
    before = _blobs()
    try:
        load()
    except Exception:
        # loaders fail on damaged files in their own ways
        if damaged := _damaged_since(before):
            return damaged
        raise
    return _damaged_since(before)


def _damaged_since(before: set[Path]) -> list[Damaged]:
    after = _blobs()
    # a run that was killed may have left files that nobody has read yet
    changed = {blob.parent for blob in after - before}
    found = [(blob, _mismatch(blob)) for blob in sorted(after) if blob.parent in changed]
    return [Damaged(blob, _remove(blob), wrong) for blob, wrong in found if wrong]


def _blobs() -> set[Path]:
    from huggingface_hub import constants

    found = Path(constants.HF_HUB_CACHE).glob("models--*/blobs/*")
    return {path for path in found if NAMED_BY_HASH.fullmatch(path.name) and path.is_file()}


def _mismatch(blob: Path) -> str | None:
    """Return the hash of the content where the file is not named by it."""
    if len(blob.name) == 64:
        found = [file_digest(blob)]
    else:
        # mirrors may name small files by the sha1 of their content alone
        found = [_sha1(blob, b"blob %d\0" % blob.stat().st_size), _sha1(blob, b"")]
    return None if blob.name in found else found[0]


def _sha1(path: Path, header: bytes) -> str:
    start = hashlib.sha1(header, usedforsecurity=False)
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, start.copy).hexdigest()


def _remove(blob: Path) -> str:
    """Remove a file and the links to it; return what they were called on the hub."""
    repository, content = blob.parents[1], blob.resolve()
    links = [
        path
        for path in repository.glob("snapshots/*/**/*")
        if path.is_symlink() and path.resolve() == content
    ]
    for path in (*links, blob):
        path.unlink(missing_ok=True)
    # what several repositories have in common is one file outside of them
    if content.is_relative_to(repository.parent.resolve()):
        content.unlink(missing_ok=True)
    owner = repository.name.removeprefix("models--").replace("--", "/")
    files = {"/".join(link.relative_to(repository).parts[2:]) for link in links}
    return f"{owner}: {', '.join(sorted(files)) or blob.name}"


def _twice(name: str, expected: str, found: str) -> str:
    return (
        f"{name} came damaged twice and was removed; expected hash {expected}, found {found}. "
        "Fetch later, or over another network; where a proxy or a mirror (HF_ENDPOINT) stands "
        "between, its copy is the damaged one"
    )
