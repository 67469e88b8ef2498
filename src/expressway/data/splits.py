"""Clips of one part of a split, and those of them that have data."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence

from expressway.core.errors import ConfigError
from expressway.core.manifest import Clip


def part(clips: Sequence[Clip], parts: Mapping[str, str], name: str) -> list[Clip]:
    """Return the clips of one part (``train | validation | test``) in manifest order."""
    return [clip for clip in clips if parts.get(clip.id) == name]


def labelled(clips: Sequence[Clip], task: str, labels: Sequence[str]) -> list[Clip]:
    """Return the clips whose label of ``task`` is one of ``labels``."""
    allowed = set(labels)
    return [clip for clip in clips if clip.labels.get(task) in allowed]


def with_targets(clips: Sequence[Clip], targets: Sequence[str]) -> list[Clip]:
    """Return the clips for which at least one of the target columns is filled."""
    return [clip for clip in clips if any(name in clip.targets for name in targets)]


def usable(
    clips: Sequence[Clip], why_not: Callable[[str], str | None]
) -> tuple[list[Clip], dict[str, int]]:
    """Return the clips with data and how many were left out, by status.

    Raises:
        ConfigError: no clip is left.
    """
    reasons = {clip.id: why_not(clip.id) for clip in clips}
    kept = [clip for clip in clips if reasons[clip.id] is None]
    lost = Counter(reason for reason in reasons.values() if reason is not None)
    if not kept:
        told = ", ".join(f"{count} {status}" for status, count in sorted(lost.items())) or "no clip"
        raise ConfigError(
            f"nothing to train on: {len(clips)} clips in the training part, usable: 0 ({told}); "
            "check splits.csv and the stores with: expressway show FILE"
        )
    return kept, dict(lost)
