"""Section on time: jobs on one time line, with their cost."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from markupsafe import Markup

from expressway.core.foreign_text import duration
from expressway.core.job_times import Job, jobs
from expressway.reporting.drawing.figures import svg
from expressway.reporting.results import Interval

PAUSE = 60.0  # seconds without a job that the time line leaves out
WIDTH, HEIGHT, LEAST = 1000, 20, 2.0


@dataclass(frozen=True)
class RuleTime:
    """All jobs of one rule, by their start."""

    rule: str
    jobs: tuple[Job, ...]

    @property
    def total(self) -> float:
        """Wall time of all jobs."""
        return sum(job.seconds for job in self.jobs)

    @property
    def cpu(self) -> float | None:
        """CPU time of all jobs, None where nothing was measured."""
        found = [job.cpu for job in self.jobs if job.cpu is not None]
        return sum(found) if found else None

    @property
    def median(self) -> float:
        """Wall time of the median job."""
        return median(job.seconds for job in self.jobs)

    @property
    def longest(self) -> float:
        """Wall time of the longest job."""
        return max(job.seconds for job in self.jobs)

    @property
    def memory(self) -> float | None:
        """Peak memory of any job."""
        return max((job.memory for job in self.jobs if job.memory is not None), default=None)


@dataclass(frozen=True)
class Timeline:
    """Rules by their first start, and the stretches of time in which any job ran."""

    rules: tuple[RuleTime, ...]
    stretches: tuple[Interval, ...]

    @property
    def total(self) -> float:
        """Wall time of all jobs of all rules."""
        return sum(rule.total for rule in self.rules)

    @property
    def cpu(self) -> float:
        """CPU time of all jobs, as far as it was measured."""
        return sum(rule.cpu or 0.0 for rule in self.rules)

    @property
    def jobs(self) -> int:
        """Number of jobs."""
        return sum(len(rule.jobs) for rule in self.rules)

    @property
    def elapsed(self) -> float:
        """Length of the time line: from the first start to the last end, without the pauses."""
        return sum(end - start for start, end in self.stretches)

    def since(self, moment: float) -> float:
        """Seconds on the time line up to a moment."""
        return sum(min(max(moment - start, 0.0), end - start) for start, end in self.stretches)

    def lane(self, rule: RuleTime) -> Markup:
        """A strip as long as the time line: bars while any job of a rule ran, lines at pauses."""
        scale = WIDTH / (self.elapsed or 1.0)
        rect = Markup('<rect class="part-ok" x="{:.1f}" y="3" width="{:.1f}" height="14"/>')
        bars = Markup("").join(
            rect.format(self.since(a) * scale, max(LEAST, (self.since(b) - self.since(a)) * scale))
            for a, b in merged(((j.start, j.end) for j in rule.jobs), LEAST / scale)
        )
        line = Markup('<line class="pause" x1="{0:.1f}" x2="{0:.1f}" y1="0" y2="{1}"/>')
        pauses = Markup("").join(
            line.format(self.since(start) * scale, HEIGHT) for start, _ in self.stretches[1:]
        )
        track = Markup('<rect class="part-track" x="0" y="3" width="{}" height="14"/>').format(
            WIDTH
        )
        first, last = rule.jobs[0].start, max(job.end for job in rule.jobs)
        title = f"{rule.rule}: from {duration(self.since(first))} to {duration(self.since(last))}"
        return svg(title, WIDTH, HEIGHT, "bar lane", track + bars + pauses, stretch=True)


def timeline(benchmarks: Iterable[tuple[str, Path]]) -> Timeline:
    """The run as benchmark tables tell it; files that do not exist are left out."""
    found: dict[str, list[Job]] = {}
    for rule, path in benchmarks:
        if path.exists():
            found.setdefault(rule, []).extend(jobs(path))
    rules = [
        RuleTime(rule, tuple(sorted(ran, key=lambda job: job.start)))
        for rule, ran in found.items()
        if ran
    ]
    spans = ((job.start, job.end) for rule in rules for job in rule.jobs)
    by_start = sorted(rules, key=lambda rule: rule.jobs[0].start)
    return Timeline(tuple(by_start), tuple(merged(spans, PAUSE)))


def merged(spans: Iterable[Interval], gap: float) -> list[Interval]:
    """Spans in order, those joined that overlap or lie no further apart than a gap."""
    joined: list[Interval] = []
    for start, end in sorted(spans):
        if joined and start - joined[-1][1] <= gap:
            joined[-1] = (joined[-1][0], max(joined[-1][1], end))
        else:
            joined.append((start, end))
    return joined
