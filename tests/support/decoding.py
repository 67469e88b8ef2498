"""One clip through the door that takes many."""

from expressway.errors import RowFailure
from expressway.media.decode import Source
from expressway.media.decode import decode as decode_all
from expressway.media.frames import Settings


def decode(path, kind="video", start=None, end=None, settings=None):
    [found] = decode_all([Source(path, kind, start, end)], settings or Settings())
    if isinstance(found, RowFailure):
        raise found
    return found
