"""Devices, threads and precision of a training run."""

from collections.abc import Sequence
from dataclasses import dataclass

from expressway.core.errors import ConfigError


@dataclass(frozen=True)
class Runtime:
    """The machines of a run.

    Attributes:
        devices: of each machine, one process per entry: ``cpu``, ``cuda:0``.
        nodes: number of machines.
        threads: of each machine; its processes share them.
        precision: Lightning's name: ``32-true``, ``bf16-mixed`` (weights stay fp32).
        workers: of each process, for reading clips; None: what its threads leave over.
        checkpoint_seconds: least time between two checkpoints.
    """

    devices: tuple[str, ...] = ("cpu",)
    nodes: int = 1
    threads: int = 1
    precision: str = "32-true"
    workers: int | None = None
    checkpoint_seconds: float = 60.0

    @property
    def world(self) -> int:
        """Number of processes."""
        return len(self.devices) * self.nodes

    @property
    def process_threads(self) -> int:
        """Threads of one process."""
        return max(1, self.threads // len(self.devices))

    @property
    def on_gpu(self) -> bool:
        """Whether the processes compute on cards."""
        return self.devices[0].startswith("cuda")

    def readers(self, streamed: bool) -> int:
        """Return the number of processes that read clips, for each that trains.

        Args:
            streamed: whether images are read; what is kept in memory needs no help.
        """
        if self.workers is not None:
            return self.workers
        return self.process_threads - 1 if streamed else 0


def device_names(device: str | Sequence[str]) -> tuple[str, ...]:
    """Return the devices of one machine as a tuple.

    Raises:
        ConfigError: none, or cards and CPU together.
    """
    found = (device,) if isinstance(device, str) else tuple(device)
    if len({name.partition(":")[0] for name in found}) != 1:
        raise ConfigError(f"devices {', '.join(found) or 'none'}: expected cards only, or cpu only")
    return found
