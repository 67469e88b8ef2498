"""The picture of a prediction: bars stand where and as high as the numbers say."""

import pytest
from crops import crop

from expressway.models.prediction.picture import (
    BEST,
    LEFT,
    LOST,
    OTHER,
    RIGHT,
    ROW,
    Picture,
    Span,
    clock,
    draw,
    write,
)


def colours(image, x, ys):
    return {"#{:02x}{:02x}{:02x}".format(*image.getpixel((round(x), y))) for y in ys}


def span(start, end, joy, fear):
    best = "joy" if joy > fear else "fear"
    return Span(start, end, "ok", {"joy": joy, "fear": fear}, best)


def test_one_stretch_is_lying_bars_and_the_best_stands_out():
    picture = Picture("a.mp4   joy", "linear", [span(0, 2, 0.8, 0.2)], [])
    image = draw(picture)
    column = colours(image, LEFT + 5, range(image.height))
    assert {BEST, OTHER} <= column
    far = colours(image, LEFT + (RIGHT - LEFT) * 0.6, range(image.height))
    assert BEST in far
    assert OTHER not in far


def test_several_stretches_are_bars_over_time():
    lost = Span(2, 3, "no_face", {}, None)
    picture = Picture("a.mp4", "m", [span(0, 1, 0.9, 0.1), span(1, 2, 0.2, 0.8), lost], [])
    image = draw(picture)
    joy, fear = (range(116 + row * ROW, 116 + (row + 1) * ROW) for row in range(2))
    first, second, third = (picture.place(t) for t in (0.5, 1.5, 2.2))
    assert BEST in colours(image, first, joy)
    assert BEST not in colours(image, first, fear)
    assert BEST in colours(image, second, fear)
    assert LOST in colours(image, third, joy)


def test_rows_reach_to_a_round_number_and_hold_negative_ones():
    picture = Picture("a", "m", [Span(0, 1, "ok", {"valence": -0.5, "arousal": 0.61}, None)], [])
    assert picture.limits == pytest.approx((-0.5, 0.7))
    assert picture.height(-0.5) == 0
    assert Picture("a", "m", [span(0, 1, 0.1, 0.05)], []).limits == pytest.approx((0, 0.2))


def test_faces_stand_at_their_time_and_odd_names_do_no_harm(tmp_path):
    spans = [span(0, 1, 0.6, 0.4), span(1, 2, 0.6, 0.4)]
    picture = Picture("\u202egpj.\n" * 40, "m", spans, [(0.1, crop(1)), (1.9, crop(2))])
    image = draw(picture)
    strip = range(120, 200)
    assert len(colours(image, LEFT + 20, strip)) > 20
    assert len(colours(image, (LEFT + RIGHT) / 2, strip)) == 1
    assert len(colours(image, RIGHT - 40, strip)) > 20
    assert write(image, tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")


def test_a_file_without_any_answer_has_a_picture_too():
    assert draw(Picture("a", "m: no", [Span(0, 1, "unreadable", {}, None)], [])).height > 100


@pytest.mark.parametrize(("seconds", "said"), [(0.5, "0.5 s"), (12, "12 s"), (125, "2:05")])
def test_clock(seconds, said):
    assert clock(seconds) == said
