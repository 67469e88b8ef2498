"""Where and with how much a run computes; says nothing about what it learns."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Runtime:
    """Where a run computes: ``precision`` and ``workers`` as Lightning and torch name them."""

    device: str = "cpu"
    threads: int = 1
    precision: str = "32-true"
    workers: int = 0
    checkpoint_seconds: float = 20.0
