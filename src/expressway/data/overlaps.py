"""Clips in different parts of a split that share a file, a recording, a person or a look.

What is known of a clip from training is no test: numbers on such clips say how well faces are
remembered. Official splits have such clips too, so they are told and not refused.
"""

from collections import Counter, defaultdict
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from expressway.core.errors import RowFailure
from expressway.core.fingerprints import weights_digest as bytes_digest
from expressway.core.manifest import Clip, SplitRow, split_title
from expressway.core.store import Store
from expressway.faces.align import Image
from expressway.faces.pictures import decode

SHOWN = 5
# Of 128 bits. Among 60 rendered clips of 48 people no two differ in fewer than 14; copies at half
# or a quarter of the size, with JPEG qualities of 60 to 90, differ in 5 at most.
LIMIT = 6
BLOCK = 512

Looks = dict[str, NDArray[np.uint64]]
Members = dict[tuple[str, str], dict[str, str]]


@dataclass(frozen=True)
class Overlap:
    """What parts of one split have in common; ``examples`` are ids, or pairs of ids."""

    scheme: str
    split: str
    what: str
    parts: tuple[str, ...]
    count: int
    examples: tuple[str, ...]

    def __str__(self) -> str:
        more = f" and {self.count - len(self.examples)} more" if self.count > SHOWN else ""
        return (
            f"{split_title(self.scheme, self.split)}: {self.count} {self.what} in "
            f"{' and '.join(self.parts)}: {', '.join(self.examples)}{more}"
        )


def shared(
    clips: Sequence[Clip],
    splits: Iterable[SplitRow],
    contents: Mapping[str, str | None],
    root: Path,
) -> list[Overlap]:
    """Return which files, recordings and subjects stand in several parts of one split.

    Args:
        contents: path -> sha256 of the file; of names and sizes for a folder of frames.
        root: folder that the clips' paths start from.
    """
    contents = _exact(clips, contents, root)
    values: dict[str, dict[str, Hashable]] = {
        "file(s) with the same content": {c.id: _content(c, contents.get(c.path)) for c in clips},
        "recording(s)": {c.id: c.video or None for c in clips},
        "subject(s)": {c.id: c.subject for c in clips},
    }
    return [
        overlap
        for (scheme, split), parts in members(splits).items()
        for what, value in values.items()
        for overlap in _common(scheme, split, what, parts, value)
    ]


def _content(clip: Clip, sha256: str | None) -> Hashable:
    return (sha256, clip.start, clip.end) if sha256 else None


def _exact(
    clips: Iterable[Clip], contents: Mapping[str, str | None], root: Path
) -> Mapping[str, str | None]:
    """Return contents in which folders that seem the same are told apart by their bytes."""
    folders = {clip.path for clip in clips if clip.kind == "frames"}
    often = Counter(contents.get(path) for path in folders)
    doubtful = [path for path in folders if often[contents.get(path)] > 1]
    read = {path: bytes_digest(root / path) for path in doubtful if (root / path).is_dir()}
    return {**contents, **read}


def members(splits: Iterable[SplitRow]) -> Members:
    """Return (scheme, split) -> clip id -> part."""
    found: Members = defaultdict(dict)
    for row in splits:
        found[row.scheme, row.split][row.clip_id] = row.part
    return found


def _common(
    scheme: str, split: str, what: str, parts: Mapping[str, str], value: Mapping[str, Hashable]
) -> list[Overlap]:
    groups: dict[Hashable, dict[str, str]] = defaultdict(dict)
    for clip_id, part in parts.items():
        if value[clip_id] is not None:
            groups[value[clip_id]].setdefault(part, clip_id)
    found: dict[tuple[str, ...], list[str]] = defaultdict(list)
    for common, first in groups.items():
        if len(first) > 1:
            name = common if isinstance(common, str) else " = ".join(sorted(first.values()))
            found[tuple(sorted(first))].append(name)
    return [_overlap(scheme, split, what, *item) for item in found.items()]


def _overlap(
    scheme: str, split: str, what: str, parts: tuple[str, ...], names: Sequence[str]
) -> Overlap:
    return Overlap(scheme, split, what, parts, len(names), tuple(names[:SHOWN]))


def look(images: Sequence[bytes]) -> NDArray[np.uint64]:
    """Return the perceptual hashes (pHash) of the first and the last image: (2,)."""
    ends = (decode(images[0], 0), decode(images[-1], len(images) - 1))
    return np.concatenate([_hash(image) for image in ends])


def _hash(image: Image) -> NDArray[np.uint64]:
    import cv2

    # pHash samples single pixels of large images; the mean of all makes copies agree.
    small = cv2.resize(image, (32, 32), interpolation=cv2.INTER_AREA)
    grey = cv2.cvtColor(small, cv2.COLOR_RGB2GRAY)
    return cv2.img_hash.pHash(grey)[0].view(np.uint64)


def looks(store: Store, ids: Iterable[str]) -> Looks:
    """Return the looks of those clips whose face crops a store of ``faces`` holds."""
    found: Looks = {}
    for clip_id in ids:
        if clip_id not in store or not store.usable(clip_id):
            continue
        try:
            found[clip_id] = look(store.row(clip_id, ["crops"])["crops"])
        except RowFailure:
            continue
    return found


def alike(found: Looks, splits: Iterable[SplitRow], limit: int = LIMIT) -> list[Overlap]:
    """Return which pairs of clips in different parts of one split look alike.

    Args:
        limit: largest number of bits, of 128, in which two clips that look alike differ.
    """
    return [
        overlap
        for (scheme, split), parts in members(splits).items()
        for overlap in _pairs(scheme, split, parts, found, limit)
    ]


def _pairs(
    scheme: str, split: str, parts: Mapping[str, str], found: Looks, limit: int
) -> Iterable[Overlap]:
    for names in combinations(sorted(set(parts.values())), 2):
        first, second = ([i for i in parts if parts[i] == name and i in found] for name in names)
        pairs = [f"{first[a]} ~ {second[b]}" for a, b in _close(first, second, found, limit)]
        if pairs:
            yield _overlap(scheme, split, "pair(s) of clips that look alike", names, pairs)


def _close(
    first: Sequence[str], second: Sequence[str], found: Looks, limit: int
) -> Iterable[tuple[int, int]]:
    """Yield the places of pairs whose hashes differ in at most ``limit`` bits."""
    if not first or not second:
        return
    others = np.stack([found[i] for i in second])
    for start in range(0, len(first), BLOCK):
        block = np.stack([found[i] for i in first[start : start + BLOCK]])
        bits = sum(
            np.bitwise_count(block[:, None, end] ^ others[None, :, end]).astype(np.uint8)
            for end in range(2)
        )
        for a, b in np.argwhere(np.asarray(bits) <= limit):
            yield start + int(a), int(b)
