"""The captions section: counts, leak audit, agreement, image streams; hostile answers stay text."""

import base64
import io
import re
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from pages import HOSTILE, Tags
from PIL import Image

from expressway.core.errors import StoreError
from expressway.faces.overlays import PALETTE
from expressway.faces.parsing import encode_mask
from expressway.reporting.drawing.streams import films
from expressway.reporting.open_dataset import OpenDataset
from expressway.reporting.page import render
from expressway.reporting.sections.captions import JUDGED, findings, labels, told

REFUSED = {
    "status": "refused",
    "error_type": "Answer",
    "error_message": "refusal: 'I cannot'",
    "raw": "I cannot look at people.",
    "refined": None,
    "flags": ["refusal", "prompt_echo"],
    "measurements": None,
}


@pytest.fixture
def captioned(world: Any) -> Any:
    """The small world with parsing, captions (one refused) and drawn units."""
    world.write_captions(captions={"clip-003": REFUSED})
    world.write_truth()
    return world


def section(world: Any, **changes: Any) -> str:
    """The captions section of the page, empty where there is none."""
    found = re.search(
        r'<section id="captions".*?</section>', render(world.spec(**changes)), re.DOTALL
    )
    return found[0] if found else ""


def cells(page: str, row: str) -> list[str]:
    """The texts of the table row whose heading starts like that."""
    found = re.search(rf'<tr role="row"><th[^>]*>{row}.*?</tr>', page, re.DOTALL)
    assert found, row
    plain = (re.sub(r"<[^>]*>", "", cell) for cell in re.findall(r"<td.*?</td>", found[0]))
    return [" ".join(text.split()) for text in plain]


def test_without_captions_there_is_no_section(world: Any) -> None:
    assert section(world) == ""
    assert "#captions" not in render(world.spec())


def test_the_section_comes_after_the_clips(captioned: Any) -> None:
    page = render(captioned.spec())
    order = [page.index(f'<section id="{name}"') for name in ("clips", "captions", "coverage")]
    assert order == sorted(order)
    assert '<a href="#captions">' in page


def test_answers_are_counted_by_status_and_flag(captioned: Any) -> None:
    counts = cells(section(captioned), "<bdi>native</bdi><span")
    assert counts == ["14 ok, 1 refused, 1 skipped", "1 refusal, 1 prompt echo", "14"]


def test_the_leak_of_raw_stands_beside_refined_and_the_commonest_label(captioned: Any) -> None:
    page = section(captioned)
    raw, refined = (cells(page, f"<bdi>native</bdi>, {name}") for name in ("raw", "refined"))
    assert raw[:3] == ["14", "100.0", "100.0"]
    assert refined[0] == "14"
    # All refined captions are the same, so one label for all is the best that can be said.
    assert float(refined[1]) < 40
    assert 0 < float(refined[3]) < 40


def test_without_folds_the_audit_says_what_it_needs(captioned: Any) -> None:
    captioned.folds = []
    page = section(captioned)
    assert "No leak audit" in page
    assert "Accuracy" not in page


def test_large_data_sets_are_judged_on_a_sample(captioned: Any) -> None:
    data = OpenDataset(captioned.dataset())
    store, names = data.first("captions"), labels(data.clips, "emotion")
    assert store is not None
    found = findings(store, names, data.folds, limit=8)
    assert found.sampled
    assert (
        found.leaks["raw"].captions <= 8 < findings(store, names, data.folds).leaks["raw"].captions
    )
    assert not findings(store, names, data.folds, limit=JUDGED).sampled


def test_measured_units_are_scored_against_drawn_ones(captioned: Any) -> None:
    page = section(captioned)
    # AU 26 is drawn in the 8 even clips and found in 4 of them; AU 12 is drawn in 2 and found in
    # those and in 2 more.
    assert cells(page, "AU 26")[:4] == ["8", "6", "50.0", "100.0"]
    assert cells(page, "AU 12")[:4] == ["2", "12", "100.0", "50.0"]
    assert "recall 75.0" in page


def test_no_agreement_without_truth_or_without_measurements(captioned: Any) -> None:
    answers = {clip.id: {"measurements": None} for clip in captioned.clips}
    captioned.write_captions(captions=answers)
    assert "drawn action units" not in section(captioned)
    captioned.write_captions()
    assert "drawn action units" in section(captioned)
    captioned.truth = [captioned.root / "not-rendered-yet.parquet"]
    assert "drawn action units" not in section(captioned)


def test_truth_of_other_units_is_refused(captioned: Any) -> None:
    captioned.write_truth(("AU01", "AU02"), "00001")
    with pytest.raises(StoreError, match=r"00001\.truth\.parquet: other action units"):
        section(captioned)


def test_examples_show_raw_and_refined_and_useless_answers_last(captioned: Any) -> None:
    articles = section(captioned).split("<article")[1:]
    assert len(articles) == 7
    assert all("A face of" in article for article in articles[:-1])
    assert "I cannot look at people." in articles[-1]
    assert "refusal: &#39;I cannot&#39;" in articles[-1]
    assert any("jaw drop 0.75 at 0.08 s" in article for article in articles)


def test_two_clips_show_the_image_streams(captioned: Any) -> None:
    articles = section(captioned).split("<article")[1:]
    assert [article.count('class="film"') for article in articles] == [3, 3, 1, 1, 1, 1, 1]
    assert "data:image" not in section(captioned, thumbnails=False)


def pixels(thumbnail: str) -> Any:
    encoded = re.search(r"base64,([^\"]+)", thumbnail)
    assert encoded
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(encoded[1]))), float)


def test_the_parsing_stream_is_half_the_palette(captioned: Any) -> None:
    shown = films(OpenDataset(captioned.dataset()), "clip-000")
    assert list(shown) == ["frames", "parsing", "landmarks"]
    plain, parsed = (pixels(shown[name][0]) for name in ("frames", "parsing"))
    # Two JPEGs of their own lie between the pictures, so their means are compared.
    expected = plain.mean((0, 1)) / 2 + PALETTE[1] / 2
    assert np.abs(parsed.mean((0, 1)) - expected).max() < 4


def test_parsing_of_another_faces_variant_is_left_alone(captioned: Any) -> None:
    captioned.stores["faces", "other"] = captioned.stores.pop(("faces", "native"))
    assert films(OpenDataset(captioned.dataset()), "clip-000") == {}


def test_a_label_map_that_does_not_fit_leaves_the_faces(captioned: Any) -> None:
    small = [encode_mask(np.ones((8, 8), np.uint8))] * 9
    captioned.write_captions(parsing={clip.id: {"masks": small} for clip in captioned.clips})
    assert {len(one.films) for one in told(OpenDataset(captioned.dataset()), True)[0].examples} == {
        1
    }


@pytest.mark.parametrize("text", [HOSTILE, "x" * 1_000_000], ids=["markup", "long"])
def test_hostile_answers_are_inert(captioned: Any, text: str) -> None:
    captioned.clips = [
        replace(c, labels={"emotion": text[: 10 + i % 3]}) for i, c in enumerate(captioned.clips)
    ]
    said = {"raw": text, "refined": text, "flags": [text], "model": text, "prompt_id": text}
    captioned.write_captions(captions={clip.id: said for clip in captioned.clips})
    captioned.task = "emotion"
    captioned.stores["captions", text] = captioned.stores["captions", "native"]
    page = section(captioned)
    assert Tags(page).active == []
    assert "\u202e" not in page
    assert len(page) < 500_000
