"""Attention windows stand on the faces that they were found on, where pictures are asked for."""

from typing import Any

from expressway.reporting import build
from expressway.reporting.open_dataset import OpenDataset
from expressway.reporting.sections.windows import SHOWN, looks


def test_the_window_of_the_most_similar_class_is_drawn_on_every_face(world: Any) -> None:
    world.write_attention()
    found = looks(OpenDataset(world.dataset()), True)
    assert len(found) == SHOWN
    assert "clip-005" not in {look.clip.id for look in found}
    for look in found:
        assert look.nearest == look.clip.labels["emotion"]
        assert len(look.film) == 6
        # a quarter of 112 px around row 16, column 40 of 64
        box = 'class="box" x="56.0" y="14.0" width="28.0" height="28.0"'
        assert all(box in picture for picture in look.film)


def test_no_windows_without_a_store_or_where_pictures_are_not_asked_for(world: Any) -> None:
    assert looks(OpenDataset(world.dataset()), True) == []
    world.write_attention()
    assert looks(OpenDataset(world.dataset()), False) == []
    page = build(world.spec(thumbnails=False), world.root / "report").read_text("utf-8")
    assert "Attention windows" not in page
    assert "Attention windows" in build(world.spec(), world.root / "report").read_text("utf-8")
