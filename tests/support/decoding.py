"""Clips of files that stand in no manifest, through the door that takes many."""

from expressway.core.errors import RowFailure
from expressway.core.manifest import Clip
from expressway.media.decode import decode as decode_all
from expressway.media.frames import Settings


def part(path, kind="video", start=None, end=None):
    return path, Clip(path.name, path.name, kind=kind, start=start, end=end)


def decode(path, kind="video", start=None, end=None, settings=None):
    [found] = decode_all([part(path, kind, start, end)], settings or Settings())
    if isinstance(found, RowFailure):
        raise found
    return found
