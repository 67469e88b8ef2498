"""Say what a run would make and why."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Annotated

import typer

from expressway.commands._options import CONFIG, ConfigOption, load_plan
from expressway.core.config import nearest
from expressway.core.errors import ConfigError
from expressway.planning.costs import job_hours
from expressway.planning.outputs import Output, Outputs
from expressway.planning.plan import Plan
from expressway.planning.staleness import Cause, Staleness

EXAMPLES = 8
# What differs only because something upstream does.
INHERITED = frozenset({"upstream", "content"})


def why(plan: Plan, target: str | None = None) -> str:
    """Return why an output is not current; without one, the due jobs of a run by cause.

    Args:
        target: path of an output, or the name of a stage, a model or an evaluation.

    Raises:
        ConfigError: the configuration makes no such output.
    """
    staleness = Staleness(Outputs(plan))
    wanted = staleness.outputs.everything()
    if target is None:
        return _of_run(staleness.due(wanted))
    found = _matching(staleness, wanted, target)
    return "\n".join(line for output in found for line in _of_output(staleness, output))


def _matching(staleness: Staleness, wanted: Iterable[Output], target: str) -> list[Output]:
    every = staleness.outputs.with_upstream(wanted)
    path = str(Path(target))
    by_path = [each for each in every if path in (each.path, str(Path(each.path).parent))]
    if by_path:
        return by_path
    by_name = [each for each in every if target in (each.name, each.rule)]
    if by_name:
        return [each for each in by_name if not staleness.is_current(each)] or by_name[:1]
    known = [each.path for each in every] + sorted({each.name for each in every} - {""})
    raise ConfigError(f"nothing is made that is called {target!r}{nearest(target, known)}")


def _of_output(staleness: Staleness, output: Output, depth: int = 0) -> Iterator[str]:
    """Yield what differs, and below an upstream output what differs there."""
    indent = "  " * depth
    causes = staleness.causes(output)
    if not causes:
        yield f"{indent}{output.path}: current"
        return
    yield f"{indent}{output.path}:"
    for cause in causes[:EXAMPLES]:
        yield f"{indent}  {cause}"
    if len(causes) > EXAMPLES:
        yield f"{indent}  and {len(causes) - EXAMPLES} more"
    if all(cause.kind in INHERITED | {"missing"} for cause in causes):
        above = [each for each in output.inputs() if not staleness.is_current(each)]
        for each in above[:1]:
            yield from _of_output(staleness, each, depth + 1)


def _of_run(due: dict[Output, tuple[Cause, ...]]) -> str:
    """Return the due jobs by what set them off, with their number and hours."""
    if not due:
        return "nothing to do: every output is current"
    jobs: dict[str, list[Output]] = {}
    for output, roots in _roots(due).items():
        for root in roots:
            jobs.setdefault(root, []).append(output)
    lines = [f"{len(due)} job(s) due, by cause (a job may have several):"]
    for root, outputs in sorted(jobs.items(), key=lambda item: -len(item[1])):
        counts = Counter(output.rule for output in outputs).most_common()
        rules = ", ".join(f"{number} {rule}" for rule, number in counts)
        lines += [f"  {root}", f"    {len(outputs)} job(s), {_hours(outputs)}: {rules}"]
    return "\n".join(lines)


def _hours(outputs: Sequence[Output]) -> str:
    known = [hours for each in outputs if (hours := job_hours(each)) is not None]
    unknown = len(outputs) - len(known)
    return f"{sum(known):.2f} CPU hours" + (f" and {unknown} not measured" if unknown else "")


def _roots(due: dict[Output, tuple[Cause, ...]]) -> dict[Output, set[str]]:
    """Return for every due output what set it off, its own and what comes from upstream."""
    found: dict[Output, set[str]] = {}
    for output, causes in due.items():  # upstream first
        own = {_in_words(output, cause) for cause in causes if cause.kind not in INHERITED}
        above = (found[each] for each in output.inputs() if each in due)
        found[output] = own.union(*above) or {_in_words(output, cause) for cause in causes}
    return found


def _in_words(output: Output, cause: Cause) -> str:
    """Return a cause as it is shared by many jobs: of a stage or model, not of one file."""
    name = output.name or output.rule
    what = "" if cause.kind in ("missing", "rows", "unreadable") else f": {cause.what}"
    return f"{cause.kind} of {name}{what}"


def command(
    target: Annotated[
        str | None, typer.Argument(help="path of an output, or name of a stage, model, evaluation")
    ] = None,
    config: ConfigOption = CONFIG,
) -> None:
    """Say what a run would make and why: what differs from what each file was made of."""
    print(why(load_plan(config), target))
