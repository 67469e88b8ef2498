"""The budgets of the design beside what the benchmarks found: writes docs/benchmarks.md.

Run: make bench, which leaves every benchmark's output in state/bench/NAME.txt; then this.
"""

import argparse
import os
import platform
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from expressway.core.fingerprints import package_versions

ROOT = Path(__file__).resolve().parents[1]
OUTPUT, PAGE = ROOT / "state/bench", ROOT / "docs/benchmarks.md"
PACKAGES = ("expressway", "snakemake", "torch", "pyarrow", "mediapipe", "open_clip_torch")
NUMBERS = r"([-\d.]+) +([-\d.]+) +([-\d.]+)"
SCALE = r"{}  +([\d.]+ / [\d.]+ / [\d.]+) +([\d.]+ / [\d.]+ / [\d.]+) +(\d+)"
LARGE = r"^40,000 clips, shards of 256[\s\S]*?^"


@dataclass(frozen=True)
class Budget:
    """One line of the table; each match of ``found`` in the output is shown."""

    what: str
    aim: str
    benchmark: str
    found: str
    shown: str


RATIOS = (
    Budget(
        "frames stage over bare `ffmpeg -f null`, clips/s, per size, length and sampling",
        "≥ 0.7", "frames", rf"^ +(?:16|all) frames +{NUMBERS}", "{1} ({0} to {2})",
    ),
    Budget(
        "Exp-CLIP epoch: recomputed over cached",
        "≥ 100", "expclip_epoch", rf"^recomputed / cached: {NUMBERS}", "{1} ({0} to {2})",
    ),
    Budget(
        "EmoCLIP epoch, intended widths: recomputed over cached",
        "≥ 100", "emoclip_epoch", rf"^intended .*cached: {NUMBERS}", "{1} ({0} to {2})",
    ),
    Budget(
        "EmoCLIP epoch, released widths",
        "reported", "emoclip_epoch", rf"^released .*cached: {NUMBERS}", "{1} ({0} to {2})",
    ),
    Budget(
        "frames + faces + landmarks: 2 cores over 1",
        "≥ 1.7", "faces", rf"^2 cores against 1: {NUMBERS}", "{1} ({0} to {2})",
    ),
    Budget(
        "1 % new clips of 40,000: shards made again, per stage",
        "≤ 1 % + 1", "scale", LARGE + r"1 % more .*?(\d+) of (\d+) shards", "{0} of {1}",
    ),
)  # fmt: skip
ABSOLUTE = (
    Budget(
        "demo from a clean checkout",
        "≤ 6 min (≤ 8 with every protocol)", "demo", r"^demo on (\d+) cores: (\d+) s",
        "{1} s on {0} cores",
    ),
    Budget("largest job of the demo", "≤ 4 GB", "demo", r"^largest job: (\d+) MB", "{0} MB"),
    Budget(
        "`snakemake` with nothing changed",
        "≤ 5 s", "demo", rf"^nothing changed: {NUMBERS} s", "{1} s ({0} to {2})",
    ),
    Budget(
        "dry run, 40,000 clips, all stages and one table",
        "≤ 15 s, ≤ 1 GB", "scale", LARGE + SCALE.format("dry run"),
        "{1} s of the clock, {0} s of CPU, {2} MB",
    ),
    Budget(
        "detect + landmarks per core (MediaPipe)",
        "≥ 250 frames/s", "faces", r"^auto +[\d.]+ +[\d.]+ +(\d+)", "{0} frames/s",
    ),
    Budget(
        "Exp-CLIP head at paper size, 5 epochs",
        "≤ 3 min", "expclip_epoch", r"^paper size: .*steps: (\d+) s of the clock", "{0} s",
    ),
    Budget(
        "memory of a CPU stage",
        "≤ 2 GB", "demo", r"^stage (\w+): (\d+) MB", "{0} {1} MB",
    ),
    Budget(
        "job overhead without torch",
        "≤ 1.5 s", "demo", rf"^job without torch: {NUMBERS} s", "{1} s ({0} to {2})",
    ),
    Budget(
        "job overhead with torch, beyond its imports",
        "≤ 1 s", "demo", rf"^job with torch, beyond imports: {NUMBERS} s", "{1} s ({0} to {2})",
    ),
)  # fmt: skip


def main() -> None:
    """Write the page and print its tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--outputs", type=Path, default=OUTPUT, help="folder of NAME.txt")
    parser.add_argument("--page", type=Path, default=PAGE)
    options = parser.parse_args()
    texts = {path.stem: path.read_text("utf-8") for path in sorted(options.outputs.glob("*.txt"))}
    tables = "\n".join([*rows("Ratios", RATIOS, texts), "", *rows("Absolute", ABSOLUTE, texts)])
    options.page.write_text(page(tables, texts), "utf-8")
    print(f"{tables}\n\nwritten: {options.page}")


def rows(title: str, budgets: Iterable[Budget], texts: dict[str, str]) -> list[str]:
    """Return a Markdown table: what, aim, found."""
    head = [f"| {title} | aim | median (lowest to highest) | benchmark |", "|---|---|---|---|"]
    lines = [
        f"| {b.what} | {b.aim} | {value(b, texts.get(b.benchmark, ''))} | `{b.benchmark}.py` |"
        for b in budgets
    ]
    return [*head, *lines]


def value(budget: Budget, text: str) -> str:
    """Return what a benchmark's output says of a budget."""
    found = re.finditer(budget.found, text, re.MULTILINE)
    return "; ".join(budget.shown.format(*each.groups()) for each in found) or "not measured"


def page(tables: str, texts: dict[str, str]) -> str:
    """Return the whole page: the machine, the tables, and what every benchmark printed."""
    parts = [
        "# Benchmarks",
        "Written by `make bench` (`benchmarks/table.py`). Each benchmark compares with what one "
        "would do without it, in the same run; its first lines say how.",
        f"Machine: {machine()}.",
        tables,
        "## What every benchmark printed",
        *(f"### {name}\n\n```\n{text.strip()}\n```" for name, text in texts.items()),
    ]
    return "\n\n".join(parts) + "\n"


def machine() -> str:
    """Return processor, cores, memory, system and versions."""
    facts = Path("/proc/cpuinfo")
    text = facts.read_text("utf-8") if facts.is_file() else ""
    model = re.search(r"^model name\s*: (.+)$", text, re.MULTILINE)
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    versions = ", ".join(f"{k} {v}" for k, v in package_versions(PACKAGES).items())
    return (
        f"{model[1] if model else platform.processor() or platform.machine()}, "
        f"{os.cpu_count()} cores, {memory:.0f} GB, {platform.system()} "
        f"{platform.release().split('-')[0]}, Python {platform.python_version()}; {versions}"
    )


if __name__ == "__main__":
    main()
