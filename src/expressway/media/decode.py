"""The one door to pictures: a stretch of a video, a folder of frames, or a still image."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from expressway.errors import RowFailure
from expressway.media import together
from expressway.media.frames import Frames, Settings
from expressway.media.images import decode_folder, decode_image
from expressway.media.video import Stretch, open_stretch


@dataclass(frozen=True)
class Source:
    """Where the frames of a clip come from.

    Attributes:
        path: a video file, a folder of images, or an image.
        kind: ``video``, ``frames`` or ``image``.
        start, end: seconds from the first frame; ``start <= time < end``; not for images.
    """

    path: Path
    kind: str = "video"
    start: float | None = None
    end: float | None = None


def decode(sources: Sequence[Source], settings: Settings) -> list[Frames | RowFailure]:
    """Return the kept frames of each clip, or why there are none.

    The failures' statuses are ``unreadable``, ``timeout``, and ``invalid`` for a kind that does
    not exist. Short videos share a run of ffmpeg.
    """
    opened = [_open(source, settings) for source in sources]
    videos = iter(together.decode([one for one in opened if isinstance(one, Stretch)]))
    return [next(videos) if isinstance(one, Stretch) else one for one in opened]


def _open(source: Source, settings: Settings) -> Stretch | Frames | RowFailure:
    try:
        if source.kind == "video":
            return open_stretch(source.path, source.start, source.end, settings)
        if source.kind == "frames":
            return decode_folder(source.path, source.start, source.end, settings)
        if source.kind == "image":
            return decode_image(source.path, settings)
    except RowFailure as error:
        return error
    return RowFailure(
        "invalid", f"kind {source.kind!r} is unknown; expected video, frames or image"
    )
