"""Pictures are cut out of ffmpeg's output however it comes in pieces."""

import struct
from pathlib import Path

import cv2
import numpy as np
import pytest

from expressway.core.errors import RowFailure
from expressway.media.decoder import Decoded, Request, _Pictures, arguments
from expressway.media.frames import Settings

SIZES = [(1, 1), (64, 48), (2, 3), (2, 3), (300, 10), (1, 1), (64, 48)]


def output():
    """Pictures of several sizes as ffmpeg writes them, and their colours."""
    colours = [(40 * n, 200 - 20 * n, 10 * n) for n in range(len(SIZES))]
    pictures = [
        struct.pack("<12sHHBB", bytes([0, 0, 2]), width, height, 24, 32)
        + bytes(colour[::-1]) * (width * height)
        + b"TRUEVISION-XFILE.".rjust(25, b"\0")
        + b"\0"
        for (width, height), colour in zip(SIZES, colours, strict=True)
    ]
    return b"".join(pictures), colours


def request(quality, wanted=None):
    return Request(Path("clip.mp4"), 0, Settings(quality=quality), wanted=wanted)


def feed(pictures, data, sizes):
    """Hand data over as the pump does, at most so many bytes at a time."""
    sent = 0
    while sent < len(data):
        place = pictures.room()
        piece = data[sent : sent + min(next(sizes), len(place))]
        assert piece, "no room for the next piece"
        place[: len(piece)] = piece
        pictures.feed(place[: len(piece)])
        sent += len(piece)


@pytest.mark.parametrize("seed", range(5))
def test_pictures_of_any_size_in_pieces_of_any_size(seed):
    random, (data, colours) = np.random.default_rng(seed), output()
    decoded = Decoded()
    most = [1, 7, 100, 5000, 1 << 20][seed]
    feed(_Pictures(decoded, request(100)), data, iter(lambda: int(random.integers(1, most + 1)), 0))
    assert decoded.ordinals == list(range(len(SIZES)))
    for image, (width, height), colour in zip(decoded.images, SIZES, colours, strict=True):
        pixels = cv2.imdecode(np.frombuffer(image, np.uint8), cv2.IMREAD_COLOR_RGB)
        assert pixels.shape == (height, width, 3)
        # JPEG rounds colours by a level or two
        np.testing.assert_allclose(pixels, np.broadcast_to(colour, pixels.shape), atol=3)


def test_only_wanted_pictures_are_encoded():
    decoded = Decoded()
    feed(_Pictures(decoded, request(95, frozenset({1, 4}))), output()[0], iter(lambda: 1000, 0))
    assert decoded.ordinals == [1, 4]
    assert decoded.size == (300, 10)


def test_what_is_no_picture_is_refused():
    with pytest.raises(RowFailure, match="did not answer with pictures"):
        feed(_Pictures(Decoded(), request(95)), b"x" * 1000, iter(lambda: 10, 0))


def test_inputs_and_outputs_stand_in_the_order_of_the_requests():
    # ffmpeg numbers its inputs, and what it says of one is told by that number
    names = ["z", "a", "m", "b"]
    requests = [Request(Path(f"/{name}.mp4"), 0, Settings()) for name in names]
    found = arguments(requests, [7, 5, 9, 11], [8, 6, 10, 12])
    inputs = [found[place + 1] for place, word in enumerate(found) if word == "-i"]
    assert inputs == [f"file:/{name}.mp4" for name in names]
    assert [word for word in found if word.startswith("pipe:")] == [
        f"pipe:{number}" for number in (7, 5, 9, 11)
    ]
