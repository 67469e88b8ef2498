"""Times of jobs, from Snakemake's benchmark tables."""

import csv
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Job:
    """One run of a job: seconds since the epoch, CPU seconds, memory in MB."""

    start: float
    end: float
    cpu: float | None
    memory: float | None

    @property
    def seconds(self) -> float:
        """Wall time."""
        return self.end - self.start


def jobs(path: Path) -> list[Job]:
    """Return the runs of a table, which ended one after the other as the file was written."""
    with path.open(encoding="utf-8", newline="") as handle:
        rows = list(csv.DictReader(handle, delimiter="\t"))
    found: list[Job] = []
    end = path.stat().st_mtime
    for row in reversed(rows):
        seconds = _number(row.get("s"))
        if seconds is not None:
            cpu, memory = _number(row.get("cpu_time")), _number(row.get("max_rss"))
            found.append(Job(end - seconds, end, cpu, memory))
            end -= seconds
    return found


def _number(value: str | None) -> float | None:
    """Snakemake writes `-` or `NA` where it could not measure."""
    try:
        return float(value) if value else None
    except ValueError:
        return None
