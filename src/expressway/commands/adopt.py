"""Count what is current, and accept changes that change no result.

Nothing has to be adopted for a run to know it: outputs say themselves what they were made of, so
that files which came by ``dvc pull`` are current as they are. With ``--accept`` a change of code
or configuration that is known to change no result counts as none, for stores, models and
evaluations, and with them for all that stands on them.
"""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from expressway.commands._options import CONFIG, ConfigOption, load_plan
from expressway.core.config import nearest
from expressway.core.errors import ConfigError
from expressway.core.store import read_footer
from expressway.planning.accepted import LEDGER
from expressway.planning.outputs import Output, Outputs
from expressway.planning.plan import Plan
from expressway.planning.records import MADE_OF, record
from expressway.planning.staleness import Staleness

EXAMPLES = 20


def adopt(plan: Plan, accept: Sequence[str] = ()) -> str:
    """Return what of a plan's outputs is current, after accepting the changes of some.

    Args:
        accept: stages, models, evaluations whose changed fingerprints the user vouches for.

    Raises:
        ConfigError: nothing has such a name.
    """
    _check(plan, accept)
    accepted = _accept(plan, accept)
    plan = Plan(plan.settings)
    outputs = Outputs(plan)
    staleness = Staleness(outputs)
    there = [each for each in _every_output(outputs) if Path(each.path).exists()]
    stale = {each: causes for each in there if (causes := staleness.causes(each))}
    lines = [f"{len(there) - len(stale)} file(s) adopted"]
    if accepted:
        lines.append(f"{accepted} change(s) accepted on your word, noted in {LEDGER}")
    for each, causes in list(stale.items())[:EXAMPLES]:
        lines.append(f"not adopted: {each.path}: {causes[0]}")
    if len(stale) > EXAMPLES:
        lines.append(f"and {len(stale) - EXAMPLES} more, by cause: expressway why")
    return "\n".join(lines)


def _every_output(outputs: Outputs) -> list[Output]:
    return outputs.with_upstream(outputs.everything())


def _check(plan: Plan, accept: Sequence[str]) -> None:
    known = sorted({each.name for each in _every_output(Outputs(plan)) if each.name})
    for name in accept:
        if name not in known:
            raise ConfigError(
                f"nothing to accept is called {name!r}{nearest(name, known)}; stages, models and "
                f"evaluations of this configuration: {', '.join(known)}"
            )


def _accept(plan: Plan, accept: Sequence[str]) -> int:
    """Let changed fingerprints count as those of the files; return how many.

    Upstream first, since what stands on an accepted output counts it by its earlier fingerprint.
    """
    accepted = 0
    for name in [each.name for each in _every_output(Outputs(plan))]:
        if name not in accept:
            continue
        accept = [each for each in accept if each != name]
        plan = Plan(plan.settings)
        for output, fingerprint in _changed(Outputs(plan), name).items():
            computed = output.made_of.fingerprint
            if plan.accepted(computed) == fingerprint:
                continue
            plan.accepted.add(name, computed, fingerprint)
            accepted += 1
            _accept_rows(plan, output)
    return accepted


def _changed(outputs: Outputs, name: str) -> dict[Output, str]:
    """Return outputs of a name, one per fingerprint that is wanted -> the one that most have."""
    found: dict[str, tuple[Output, Counter[str]]] = {}
    for output in _every_output(outputs):
        if output.name == name and output.rule not in ("coverage", "evaluate"):
            has = (record(output.path) or {}).get("fingerprint")
            if has:
                wanted = output.made_of.fingerprint
                found.setdefault(wanted, (output, Counter()))[1][has] += 1
    return {output: counts.most_common(1)[0][0] for output, counts in found.values()}


def _accept_rows(plan: Plan, output: Output) -> None:
    """Let rows of a shard count, too: those that a grown shard takes over."""
    if not output.path.endswith(".parquet") or output.rule in ("predict", "render_demo"):
        return
    footer = read_footer(Path(output.path))
    dataset, variant = footer["dataset"], footer["variant"]
    computed = plan.stores.own_made_of(dataset, output.rule, variant).fingerprint
    if footer.get("own") and computed != footer["own"] and MADE_OF in footer:
        plan.accepted.add(output.name, computed, footer["own"])


def command(
    accept: Annotated[
        list[str],
        typer.Option(help="stage, model or evaluation whose change you vouch for, in a ledger"),
    ] = [],  # noqa: B006 - typer reads the default, nothing changes it
    config: ConfigOption = CONFIG,
) -> None:
    """Count what is current after dvc pull or a clone; accept changes that change no result."""
    print(adopt(load_plan(config), accept))
