"""From the lines of official lists to manifest rows and splits, with all mismatches."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import TypeVar

from expressway.core.errors import ManifestError
from expressway.core.manifest import CHINESE, ClassScheme
from expressway.data.importers.compare import differences
from expressway.data.importers.facts import Published
from expressway.data.importers.folder import clip_id, make_unique
from expressway.data.importers.layout import File, Media
from expressway.data.importers.write import Found
from expressway.media.images import natural

SHOWN = 10
Place = tuple[str, str, str]
Key = TypeVar("Key")
Line = TypeVar("Line")


@dataclass(frozen=True)
class Entry:
    """What one line of a list says of a clip.

    ``key`` is the clip's path below the folder of clips, ``where`` the line; ``places`` are
    (scheme, split, part), ``labels`` label column -> name, ``frames`` how many the list counts.
    """

    key: str
    where: str
    labels: Mapping[str, str] = field(default_factory=dict)
    places: Sequence[Place] = ()
    caption: str = ""
    caption_zh: str = ""
    frames: int | None = None


def official(part: str) -> list[Place]:
    """Return a part's place in the split ``official`` of the scheme of that name."""
    return [("official", "official", part)]


def hidden_test(part: str) -> list[Place]:
    """Return a part's places where test labels are not public.

    In the scheme ``published`` the validation clips are the test, as in all published tables.
    """
    tested = "test" if part == "validation" else part
    return [*official(part), ("published", "published", tested)]


@dataclass
class Clip:
    """All that the lists say of one clip; values stand with the line that said so."""

    key: str
    labels: dict[str, tuple[str, str]] = field(default_factory=dict)
    parts: dict[tuple[str, str], tuple[str, str]] = field(default_factory=dict)
    captions: dict[str, str] = field(default_factory=dict)
    frames: int | None = None


class Problems:
    """Collects what is wrong with lines, so that a user sees all of it at once."""

    def __init__(self) -> None:
        self._lines: dict[str, None] = {}

    @property
    def lines(self) -> list[str]:
        """What was noted, each line once."""
        return list(self._lines)

    def add(self, line: str) -> None:
        """Note a problem."""
        self._lines[line] = None

    def entries(
        self, lines: Iterable[tuple[str, Line]], read: Callable[[str, Line], Entry | None]
    ) -> Iterator[Entry]:
        """Yield what ``read`` makes of each (where, line); None is passed over."""
        for where, line in lines:
            try:
                entry = read(where, line)
            except ManifestError as error:
                self.add(f"{where}: {error}")
                continue
            if entry is not None:
                yield entry

    def check(self) -> None:
        """Raise what was noted, the first lines in full.

        Raises:
            ManifestError: something was noted.
        """
        lines = self.lines
        if lines:
            more = len(lines) - 2 * SHOWN
            tail = [f"and {more} more problem(s)"] if more > 0 else []
            raise ManifestError("\n".join([*lines[: 2 * SHOWN], *tail]))


def merge(entries: Iterable[Entry], problems: Problems) -> list[Clip]:
    """Return a clip per key in natural order; lists that contradict each other are problems."""
    clips: dict[str, Clip] = {}
    for entry in entries:
        clip = clips.setdefault(entry.key, Clip(entry.key))
        for task, name in entry.labels.items():
            _agree(clip.labels, task, name, f"{task} of", entry, problems)
        for scheme, split, part in entry.places:
            _agree(clip.parts, (scheme, split), part, f"part in {split} of", entry, problems)
        for column, text in (("caption", entry.caption), (CHINESE, entry.caption_zh)):
            if text:
                clip.captions.setdefault(column, text)
        clip.frames = entry.frames if clip.frames is None else clip.frames
    return sorted(clips.values(), key=lambda clip: natural(clip.key))


def _agree(
    known: dict[Key, tuple[str, str]],
    key: Key,
    value: str,
    what: str,
    entry: Entry,
    problems: Problems,
) -> None:
    before, where = known.setdefault(key, (value, entry.where))
    if before != value:
        problems.add(f"{entry.where}: {what} {entry.key!r} is {value} here and {before} in {where}")


def found(
    media: Media,
    entries: Iterable[Entry],
    problems: Problems,
    labels: Mapping[str, Sequence[str]],
    published: Published | None = None,
    class_schemes: Mapping[str, ClassScheme] | None = None,
) -> Found:
    """Return rows and splits of the clips that lists name, compared with published numbers.

    A clip without a file keeps its row, so that it counts as lost in every number.

    Args:
        labels: label column -> its names in order.

    Raises:
        ManifestError: problems of lines, lists that contradict each other, or no clip on disk.
    """
    clips = merge(entries, problems)
    problems.check()
    files = {clip.key: media.find(clip.key) for clip in clips}
    if not any(files.values()):
        raise ManifestError(
            f"{media.folder}: none of the {len(clips)} listed clips is here, such as "
            f"{', '.join(clip.key for clip in clips[:3])}; is this the folder of the clips?"
        )
    rows = [_row(clip, files[clip.key] or media.guess(clip.key), labels) for clip in clips]
    make_unique(rows)
    splits = [
        {"clip_id": row["id"], "scheme": scheme, "split": split, "part": part}
        for row, clip in zip(rows, clips, strict=True)
        for (scheme, split), (part, _) in clip.parts.items()
    ]
    splits.sort(key=lambda row: (row["scheme"], natural(row["split"])))
    result = Found(
        media.root.resolve(),
        rows,
        splits,
        labels={task: list(names) for task, names in labels.items()},
        class_schemes=dict(class_schemes or {}),
        warnings=_warnings(clips, files, media),
        notes=_notes(files, media),
    )
    result.warnings.extend(differences(result, published) if published else [])
    return result


def _row(clip: Clip, file: File, labels: Mapping[str, Sequence[str]]) -> dict[str, str]:
    name = clip_id(Path(clip.key))
    row = {"id": name, "path": file.path, "kind": file.kind, "video": name}
    row |= {task: clip.labels.get(task, ("", ""))[0] for task in labels}
    return row | clip.captions


def _warnings(clips: Sequence[Clip], files: Mapping[str, File | None], media: Media) -> list[str]:
    missing = [clip.key for clip in clips if files[clip.key] is None]
    empty = [key for key, file in files.items() if file and file.frames == 0]
    mixed = [key for key, file in files.items() if file and file.others]
    lines = []
    if missing:
        lines.append(
            f"not in {media.place}: {len(missing)} of {len(clips)} listed clips "
            f"({_first(missing)}); their rows are kept, so that they count as lost"
        )
    if empty:
        lines.append(f"{len(empty)} folder(s) hold no images: {_first(empty)}")
    if mixed:
        lines.append(f"{len(mixed)} folder(s) hold files that are no images: {_first(mixed)}")
    return [*lines, *_frame_counts(clips, files)]


def _frame_counts(clips: Sequence[Clip], files: Mapping[str, File | None]) -> list[str]:
    others = [
        f"{clip.key} ({clip.frames} listed, {file.frames} on disk)"
        for clip in clips
        if (file := files[clip.key]) is not None
        and None not in (clip.frames, file.frames)
        and clip.frames != file.frames
    ]
    if not others:
        return []
    return [f"{len(others)} clip(s) have another number of frames than listed: {_first(others)}"]


def _notes(files: Mapping[str, File | None], media: Media) -> list[str]:
    counts = [file.frames for file in files.values() if file and file.frames]
    lines = [f"clips are read from {media.folder}"]
    if media.others:
        lines.append(f"also there, to be chosen with --media: {', '.join(media.others)}")
    if counts:
        lines.append(f"frames per clip: {min(counts)} to {max(counts)}, median {median(counts):g}")
    return lines


def _first(names: Sequence[str]) -> str:
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + more
