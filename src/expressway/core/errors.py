"""One exception family: every message names the file or row, what was expected, what to do."""

from typing import Literal, get_args

Status = Literal[
    "ok", "degraded", "no_face", "unreadable", "timeout", "refused", "invalid", "skipped"
]
STATUSES: tuple[str, ...] = get_args(Status)
USABLE: frozenset[str] = frozenset({"ok", "degraded"})


class ExpresswayError(Exception):
    """Base of all errors that the command line prints without a traceback."""


class ConfigError(ExpresswayError):
    """The configuration cannot be used; the message lists every problem found."""


class ManifestError(ExpresswayError):
    """A manifest or split table cannot be used; the message lists every problem found."""


class StoreError(ExpresswayError):
    """A shard table is missing, truncated, or of another schema."""


class SystemicError(ExpresswayError):
    """A fault of the machine (disk, GPU, missing weights): the job stops at once."""


class RowFailure(ExpresswayError):
    """One clip could not be processed; the runner writes it as a row with this status."""

    def __init__(self, status: Status, message: str) -> None:
        if status not in STATUSES or status in USABLE:
            raise ValueError(f"not a failure status: {status}")
        super().__init__(message)
        self.status: Status = status

    def __reduce__(self) -> tuple[type["RowFailure"], tuple[str, str]]:
        return (RowFailure, (self.status, str(self)))
