"""The one door to pictures: a stretch of a video, a folder of frames, or a still image."""

from pathlib import Path

from expressway.errors import RowFailure
from expressway.media.frames import Frames, Settings
from expressway.media.images import decode_folder, decode_image
from expressway.media.video import decode as decode_video


def decode(
    path: Path,
    kind: str = "video",
    start: float | None = None,
    end: float | None = None,
    settings: Settings | None = None,
) -> Frames:
    """Return the kept frames of a clip.

    Args:
        path: a video file, a folder of images, or an image.
        kind: ``video``, ``frames`` or ``image``.
        start, end: seconds from the first frame; ``start <= time < end``; not for images.
        settings: sampling and limits; by default every frame is kept.

    Raises:
        RowFailure: ``unreadable`` when nothing can be decoded, ``timeout``; ``invalid`` for a kind
            that does not exist.
    """
    settings = settings or Settings()
    if kind == "video":
        return decode_video(path, start, end, settings)
    if kind == "frames":
        return decode_folder(path, start, end, settings)
    if kind == "image":
        return decode_image(path, settings)
    raise RowFailure("invalid", f"kind {kind!r} is unknown; expected video, frames or image")
