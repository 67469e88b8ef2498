"""The one door to pictures: a stretch of a video, a folder of frames, or a still image."""

from collections.abc import Sequence
from pathlib import Path

from expressway.core.errors import RowFailure
from expressway.core.manifest import Clip
from expressway.media.frames import Frames, Settings
from expressway.media.images import decode_folder, decode_image
from expressway.media.machine import shared_runs
from expressway.media.video import Stretch, open_stretch


def decode(clips: Sequence[tuple[Path, Clip]], settings: Settings) -> list[Frames | RowFailure]:
    """Return the kept frames of each clip, or why there are none.

    The failures' statuses are ``unreadable``, ``timeout``, and ``invalid`` for a kind that does
    not exist. Short videos share a run of ffmpeg.

    Args:
        clips: where each clip's video, folder of images or image is, and what of it is meant.
        settings: sampling and limits.
    """
    opened = [_open(path, clip, settings) for path, clip in clips]
    videos = iter(shared_runs.decode([one for one in opened if isinstance(one, Stretch)]))
    return [next(videos) if isinstance(one, Stretch) else one for one in opened]


def _open(path: Path, clip: Clip, settings: Settings) -> Stretch | Frames | RowFailure:
    try:
        if clip.kind == "video":
            return open_stretch(path, clip.start, clip.end, settings)
        if clip.kind == "frames":
            return decode_folder(path, clip.start, clip.end, settings)
        if clip.kind == "image":
            return decode_image(path, settings)
    except RowFailure as error:
        return error
    return RowFailure("invalid", f"kind {clip.kind!r} is unknown; expected video, frames or image")
