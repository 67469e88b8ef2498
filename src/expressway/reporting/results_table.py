"""Results as files for papers, spreadsheets and a plain page."""

from collections.abc import Iterable, Mapping
from pathlib import Path

from expressway.core.files import atomic_path
from expressway.reporting import cells
from expressway.reporting.page import tables_page
from expressway.reporting.results import summarise


def write(name: str, caption: str, evaluations: Iterable[Path], folder: Path) -> list[Path]:
    """Write ``folder``/``name``.{csv,md,tex,html} from evaluation folders; return the paths.

    The CSV holds one number per cell, as shares between 0 and 1; the others hold percentages
    as mean ± standard deviation over runs, with the pooled value and its intervals.
    """
    summaries = summarise(evaluations)
    readable = cells.readable_tables(caption, summaries)
    page = tables_page(caption, [cells.to_html(table) for table in readable])
    found = cells.texts(cells.number_table(caption, summaries), readable)
    return save(name, folder, {**found, "html": page})


def save(name: str, folder: Path, contents: Mapping[str, str]) -> list[Path]:
    """Write a file per suffix; return the paths."""
    paths = {folder / f"{name}.{suffix}": content for suffix, content in contents.items()}
    for path, content in paths.items():
        with atomic_path(path) as temporary:
            temporary.write_text(content, encoding="utf-8")
    return list(paths)
