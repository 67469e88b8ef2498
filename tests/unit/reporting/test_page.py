"""The page: self-contained, in order, accessible, and inert whatever the data say."""

import base64
import hashlib
import re
from dataclasses import replace
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from expressway.reporting import ReportDataset, build

HOSTILE = (
    "<script>window.pwned=1</script>",
    '"><img src=x onerror="window.pwned=1">',
    "=cmd|' /C calc'!A0",
    "photo\u202egnp.exe",
    "{{ 7 * 191 }}",
    "A" * 100_000,
)


class Page(HTMLParser):
    """Collects what the tests ask about."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.words.append(data)

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())


def write(world: Any, **changes: Any) -> str:
    return build(world.spec(**changes), world.root / "report").read_text(encoding="utf-8")


def test_what_parts_of_a_split_share_is_shown(world: Any) -> None:
    line = "folds fold1: 2 subject(s) in test and train: p1, p2"
    assert line not in Page(write(world)).text
    own = replace(world.dataset(), overlaps=[line])
    assert line in Page(write(world, datasets=[own])).text


def test_the_first_line_says_that_demo_numbers_are_demo_numbers(evaluated: Any) -> None:
    body = write(evaluated).split("<header>")[1]
    assert "These are demo numbers." in body.split("<h1>")[0]
    assert "demo numbers" not in write(evaluated, demo=False)


def test_sections_come_in_the_order_in_which_people_ask(evaluated: Any) -> None:
    ids = [a["id"] for a in Page(write(evaluated)).all("section")]
    expected = "results comparisons confusions training clips coverage time provenance methods"
    assert ids == expected.split()


def test_the_results_table_holds_the_numbers(evaluated: Any) -> None:
    text = Page(write(evaluated)).text
    for piece in ("pooled 79.2", "UAR", "1 without prediction", "last epoch", "2 splits"):
        assert piece in text, piece
    assert "1 234 567" in text


def test_comparisons_say_what_their_interval_means(evaluated: Any) -> None:
    text = Page(write(evaluated)).text
    assert "+25.0" in text
    assert "interval includes 0" in text


def test_nothing_is_loaded_from_outside(evaluated: Any) -> None:
    page = Page(write(evaluated))
    sources = [a.get(key) for _, a in page.tags for key in ("src", "href", "xlink:href")]
    outside = [s for s in sources if s and not s.startswith(("#", "data:image/jpeg;base64,"))]
    assert outside == []
    assert page.all("link") == []


def test_the_policy_allows_exactly_our_style_and_script(evaluated: Any) -> None:
    html = write(evaluated)
    policy = next(a["content"] for a in Page(html).all("meta") if a.get("http-equiv"))
    for tag in ("style", "script"):
        [content] = re.findall(rf"<{tag}>(.*?)</{tag}>", html, re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()
        assert f"{tag}-src 'sha256-{digest}'" in (policy or "")
    assert (policy or "").startswith("default-src 'none'")


def test_no_inline_handler_or_style_attribute(evaluated: Any) -> None:
    for _, attributes in Page(write(evaluated)).tags:
        assert not [name for name in attributes if name.startswith("on") or name == "style"]


def test_landmarks_headings_captions_and_names(evaluated: Any) -> None:
    html = write(evaluated)
    page = Page(html)
    assert [len(page.all(tag)) for tag in ("main", "h1", "nav", "footer")] == [1, 1, 1, 1]
    levels = [int(tag[1]) for tag, _ in page.tags if re.fullmatch(r"h[1-6]", tag)]
    assert all(later - earlier <= 1 for earlier, later in pairwise(levels))
    assert html.count("<caption>") == len(page.all("table"))
    assert all(a.get("aria-label") for a in page.all("svg"))
    assert all(a.get("scope") for a in page.all("th"))
    ids = [a["id"] for _, a in page.tags if "id" in a]
    assert len(ids) == len(set(ids))


def test_every_shade_has_a_rule(evaluated: Any) -> None:
    html = write(evaluated)
    style = html.split("<style>")[1].split("</style>")[0]
    used = {int(n) for n in re.findall(r"shade-(\d+)", html.split("</style>")[1])} - {0}
    assert used
    assert used <= {int(n) for n in re.findall(r"\.shade-(\d+) ", style)}


def test_faces_are_shown_only_when_asked_for(evaluated: Any) -> None:
    assert "data:image/" in write(evaluated)
    hidden = write(evaluated, thumbnails=False)
    assert "data:image/" not in hidden
    assert "Film strips are switched off" in Page(hidden).text


def test_data_without_labels_get_what_was_found(world: Any) -> None:
    text = Page(write(world, demo=False)).text
    for piece in ("What was found in tiny", "no face", "25.00", "88.9", "All 16 clips"):
        assert piece in text, piece
    assert "Confusion" not in text


def test_the_methods_text_follows_the_facts(evaluated: Any) -> None:
    text = Page(write(evaluated)).text
    for piece in ("16 clips from 4 recordings of 4 subjects", "MediaPipe", "arXiv 2310.16640"):
        assert piece in text, piece
    assert "arXiv 2404.17100" not in text


def test_provenance_shows_fingerprints_versions_and_config(evaluated: Any) -> None:
    text = Page(write(evaluated)).text
    for piece in ("faces0123456789a", "policy: longest", "pillow", "0.1.0", "abababababababab"):
        assert piece in text, piece


def test_the_same_spec_gives_the_same_bytes(evaluated: Any) -> None:
    assert write(evaluated) == write(evaluated)


def test_an_empty_spec_still_makes_a_page(world: Any) -> None:
    html = write(world, datasets=[], evaluations=[], models=[], comparisons=[], versions={})
    assert "<h1>" in html


def test_a_data_set_without_clips_still_makes_a_page(world: Any) -> None:
    assert "has no clips" in write(world, datasets=[ReportDataset("empty", (), {})])


@pytest.mark.parametrize("hostile", HOSTILE, ids=["script", "img", "csv", "rtl", "jinja", "long"])
def test_hostile_text_is_inert(world: Any, hostile: str) -> None:
    html = write_hostile(world, hostile)
    page = Page(html)
    assert len(page.all("script")) == 1
    assert page.all("img") == []
    assert "\u202e" not in html
    assert "1337" not in html
    assert len(html) < 3_000_000


def write_hostile(world: Any, hostile: str) -> str:
    """A report whose every free text is `hostile`."""
    world.clips = [
        replace(c, id=f"{c.id}{hostile}", path=hostile, captions=(hostile,), subject=hostile)
        for c in world.clips
    ]
    world.lost = {world.clips[5].id}
    note = {"status": "degraded", "error_type": hostile, "error_message": hostile}
    world.name = "tiny"
    world.write_stores(frames={world.clips[2].id: note})
    labels = ["happiness", "sadness", "neutral", hostile]
    world.write_evaluation(
        "m",
        "fold1",
        world.clips,
        lambda _: hostile,
        labels=labels,
        model=hostile,
        method=hostile,
        selection=hostile,
        prompts=hostile,
        notes=[hostile],
    )
    world.write_benchmark("rule", ("1", "2"))
    benchmarks = [(hostile, path) for _, path in world.benchmarks]
    own = ReportDataset(hostile, tuple(world.clips), dict(world.stores))
    return write(
        world,
        title=hostile,
        datasets=[world.dataset(), own],
        benchmarks=benchmarks,
        config={hostile: hostile},
        versions={hostile: hostile},
    )


def test_the_target_may_be_a_file_or_a_folder(world: Any, tmp_path: Path) -> None:
    assert build(world.spec(), tmp_path / "a").name == "index.html"
    assert build(world.spec(), tmp_path / "b.html") == tmp_path / "b.html"
