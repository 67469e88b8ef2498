"""The report as a browser shows it: phone, desk, paper, dark; sorting; hostile text."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import protocol_world
import pytest
from report_world import COMPARISON, LOST, World, clip

from expressway.core.files import write_json
from expressway.reporting import build, clip_page, published_table

CHROMIUM = Path("/usr/bin/chromium")
ARGUMENTS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
HOSTILE = "\"><script>window.pwned=1</script><img src=x onerror='window.pwned=1'>" + "W" * 5000


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    if not CHROMIUM.exists():
        pytest.skip(f"{CHROMIUM} is not installed; tests/install-system.sh installs it")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=CHROMIUM, args=list(ARGUMENTS))
        yield running
        running.close()


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A report with two models, and a second data set whose every free text is hostile."""
    root = tmp_path_factory.mktemp("report")
    world = World(root, [clip(i) for i in range(16)], lost={"clip-005"})
    world.write_stores()
    world.write_captions()
    world.write_attention()
    world.write_truth()
    for fold in ("fold1", "fold2"):
        history = [{"epoch": e, "contrastive": 2 / e, HOSTILE: 1.0} for e in (1, 2, 3)]
        world.models.append(root / f"results/models/emoclip/{fold}-seed0/model.json")
        write_json(world.models[-1], {"method": "emoclip", "history": history})
    for model, guess in (("clip", "neutral"), ("emoclip", None)):
        for fold, clips in (("fold1", world.clips[:8]), ("fold2", world.clips[8:])):
            world.write_evaluation(model, fold, clips, lambda c, g=guess: g or c.labels["emotion"])
    world.comparisons.append(root / "comparison.json")
    write_json(world.comparisons[0], COMPARISON)
    world.write_benchmark("prepare_faces", ("70", "640"))
    hostile = [replace(c, id=f"{c.id}{HOSTILE}", path=HOSTILE) for c in world.clips[:4]]
    other = World(root / "other", hostile, lost={hostile[0].id}, name=HOSTILE[:60])
    other.name = "other"
    other.write_stores(faces={hostile[1].id: {**LOST, "error_message": HOSTILE}})
    datasets = [world.dataset(), other.dataset()]
    changes = {"title": HOSTILE, "config": {HOSTILE: HOSTILE}, "datasets": datasets}
    return build(world.spec(**changes), root / "report")


@pytest.fixture
def page(browser: Any, report: Path) -> Iterator[Any]:
    """The report in a fresh context whose console errors and requests fail the test."""
    yield from opened_page(browser, report)


@pytest.fixture(scope="module")
def protocols(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A report on open sets, held-out classes and numbers."""
    root = tmp_path_factory.mktemp("protocols")
    world = World(root, [clip(i) for i in range(4)])
    world.write_stores()
    protocol_world.write_protocols(world)
    return build(world.spec(), root / "report")


@pytest.fixture
def protocols_page(browser: Any, protocols: Path) -> Iterator[Any]:
    """That report, likewise."""
    yield from opened_page(browser, protocols)


def opened_page(browser: Any, report: Path) -> Iterator[Any]:
    """Open a report; afterwards nobody has complained or asked the network."""
    context = browser.new_context(viewport={"width": 1200, "height": 900})
    opened = context.new_page()
    complaints: list[str] = []
    opened.on("console", lambda message: complaints.append(message.text))
    opened.on("pageerror", lambda error: complaints.append(str(error)))
    opened.on("request", lambda request: complaints.append(request.url[:80]))
    opened.goto(report.as_uri())
    yield opened
    kept = [c for c in complaints if not c.startswith(("data:image/jpeg", report.as_uri()[:80]))]
    context.close()
    assert kept == []


@pytest.mark.parametrize("width", [320, 360, 768, 1200, 1920])
def test_the_page_never_scrolls_sideways(page: Any, width: int) -> None:
    page.set_viewport_size({"width": width, "height": 800})
    assert page.evaluate("document.documentElement.scrollWidth") <= width


@pytest.mark.parametrize("width", [320, 390, 768, 1000, 1200])
def test_no_protocol_scrolls_sideways(protocols_page: Any, width: int) -> None:
    protocols_page.set_viewport_size({"width": width, "height": 800})
    assert protocols_page.evaluate("document.documentElement.scrollWidth") <= width


@pytest.fixture
def table_page(browser: Any, tmp_path: Path) -> Iterator[Any]:
    """The page of one table: two methods, one of which only the paper has."""
    world = World(tmp_path, [clip(i) for i in range(16)])
    world.write_stores()
    ours = world.write_evaluation("clip", "fold1", world.clips, lambda c: c.labels["emotion"])
    printed = tmp_path / "published.csv"
    conditions = "Table 1,video,World,test,5,selects on test"
    printed.write_text(
        ",".join(published_table.COLUMNS)
        + f"\nmine,CLIP,World,unweighted_average_recall,0.5,{conditions}"
        + f"\nmine,C3D,World,unweighted_average_recall,0.9,{conditions}\n"
    )
    metrics = ["unweighted_average_recall", "weighted_average_recall"]
    rows = [("CLIP", {"World": [ours]}), ("Linear", {"Another world": [ours]})]
    spec = published_table.TableSpec("mine", "A table", "somebody", metrics, rows, printed)
    published_table.write(spec, world.spec(), tmp_path / "tables")
    yield from opened_page(browser, tmp_path / "tables/mine.html")


@pytest.mark.parametrize("width", [320, 390, 1200])
def test_a_table_never_scrolls_sideways(table_page: Any, width: int) -> None:
    table_page.set_viewport_size({"width": width, "height": 800})
    assert table_page.evaluate("document.documentElement.scrollWidth") <= width


def test_a_table_sorts_by_the_papers_number(table_page: Any) -> None:
    methods = table_page.locator("#table tbody th .name")
    assert methods.all_inner_texts() == ["CLIP", "Linear", "C3D"]
    table_page.locator("#table thead button", has_text="paper").first.click()
    assert methods.all_inner_texts() == ["C3D", "CLIP", "Linear"]
    assert "UAR paper, descending" in table_page.locator("#announce").inner_text()


def test_curves_histograms_and_scatter_plots_are_drawn(protocols_page: Any) -> None:
    planes = protocols_page.locator("svg.plane")
    assert planes.count() == 10
    for plane in planes.all():
        assert plane.bounding_box()["width"] > 200
    # three splits and their mean, twice for each of two models
    assert protocols_page.locator("svg.plane polyline.run").count() == 12
    assert protocols_page.locator("svg.plane polyline.mean").count() == 4
    assert protocols_page.locator("svg.plane rect.known").count() > 20
    assert protocols_page.locator("svg.plane circle.subject").count() == 2 * 2 * 20


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_of_every_protocol_stands_out(protocols_page: Any, scheme: str) -> None:
    protocols_page.emulate_media(color_scheme=scheme)
    assert protocols_page.evaluate(CONTRAST) >= 4.5


def test_training_windows_and_time_are_drawn(page: Any) -> None:
    assert page.locator("#training svg.plane polyline.mean").count() == 2
    assert page.locator("#training svg.plane polyline.run").count() == 4
    assert page.locator("#clips h3", has_text="Attention windows").count() == 1
    [lane] = page.locator("#time svg.lane").all()
    assert lane.bounding_box()["width"] > 200
    assert lane.get_attribute("aria-label") == "prepare_faces: from 0.0 s to 1 min 10 s"


@pytest.mark.parametrize("width", [320, 390, 1200])
def test_the_page_of_a_clip_never_scrolls_sideways(
    browser: Any, width: int, tmp_path: Path
) -> None:
    world = World(tmp_path, [clip(i) for i in range(16)])
    world.write_stores()
    world.write_captions()
    world.write_attention()
    world.write_evaluation("m", "fold1", world.clips, lambda c: c.labels["emotion"])
    out = clip_page.build(world.dataset(), "clip-001", world.evaluations, tmp_path / "clip.html")
    opened = opened_page(browser, out)
    page = next(opened)
    page.set_viewport_size({"width": width, "height": 800})
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.locator("#steps svg.thumb").count() > 20
    assert next(opened, None) is None


def test_hostile_text_is_shown_and_never_runs(page: Any) -> None:
    assert page.evaluate("window.pwned") is None
    assert page.locator("img").count() == 0
    assert "<script>window.pwned=1" in page.locator("h1").inner_text()


def names(page: Any) -> list[str]:
    return page.locator("#results tbody th .name").all_inner_texts()


def test_the_results_sort_by_click_and_by_keyboard(page: Any) -> None:
    assert names(page) == ["clip", "emoclip"]
    recall = page.locator("#results thead button", has_text="UAR")
    recall.click()
    assert names(page) == ["emoclip", "clip"]
    assert page.locator("#results thead th").nth(2).get_attribute("aria-sort") == "descending"
    recall.focus()
    page.keyboard.press("Enter")
    assert names(page) == ["clip", "emoclip"]
    assert "ascending" in page.locator("#announce").inner_text()


def test_the_skip_link_is_the_first_stop_and_leads_to_the_results(page: Any) -> None:
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    page.keyboard.press("Enter")
    assert page.evaluate("location.hash") == "#main"


def test_the_methods_text_can_be_copied_or_is_selected(page: Any) -> None:
    page.locator("button[data-copy]").click()
    page.wait_for_function("document.querySelector('button[data-copy]').textContent !== 'x'")
    assert page.locator("#methods-text").inner_text().startswith("The data set tiny holds 16")


def test_the_demo_notice_is_the_first_visible_line(page: Any) -> None:
    top = page.locator(".notice").bounding_box()["y"]
    assert top < page.locator("h1").bounding_box()["y"]
    assert page.locator(".notice").is_visible()


def test_pictures_are_drawn(page: Any) -> None:
    assert page.locator("svg.thumb image").count() > 50
    assert page.locator("svg.thumb").first.bounding_box()["width"] > 40


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_stands_out_from_its_ground(page: Any, scheme: str) -> None:
    """WCAG AA asks for a contrast of 4.5 for text of this size."""
    page.emulate_media(color_scheme=scheme)
    assert page.evaluate(CONTRAST) >= 4.5


# Chromium states mixed colours as color(srgb …) with shares; a canvas turns both forms to bytes.
CONTRAST = """() => {
  const context = document.createElement("canvas").getContext("2d", {willReadFrequently: true});
  const bytes = (colour) => {
    context.clearRect(0, 0, 1, 1);
    context.fillStyle = colour;
    context.fillRect(0, 0, 1, 1);
    return context.getImageData(0, 0, 1, 1).data;
  };
  const light = (colour) => {
    const [r, g, b] = Array.from(bytes(colour)).map((v) => v / 255)
      .map((v) => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const ground = (element) => {
    for (let e = element; e; e = e.parentElement) {
      const colour = getComputedStyle(e).backgroundColor;
      if (bytes(colour)[3] === 255) return colour;
    }
    return "white";
  };
  const texts = document.querySelectorAll("p, td, th, caption, .sub, dt, dd, a, li, summary");
  const ratios = Array.from(texts).filter((e) => e.textContent.trim()).map((e) => {
    const pair = [light(getComputedStyle(e).color), light(ground(e))].sort((x, y) => y - x);
    return (pair[0] + 0.05) / (pair[1] + 0.05);
  });
  return Math.min(...ratios);
}"""


def test_it_prints(browser: Any, report: Path, tmp_path: Path) -> None:
    page = browser.new_page()
    page.goto(report.as_uri())
    page.pdf(path=tmp_path / "report.pdf", format="A4")
    assert (tmp_path / "report.pdf").read_bytes().startswith(b"%PDF")
    page.emulate_media(media="print")
    assert not page.locator("nav").is_visible()
    page.close()
