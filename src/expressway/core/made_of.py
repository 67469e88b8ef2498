"""The parts that decide an output, and their fingerprint."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from expressway.core.code import code_fingerprint, code_parts
from expressway.core.fingerprints import digest


@dataclass(frozen=True)
class MadeOf:
    """All that decides an output, beside the content of what it reads.

    Attributes:
        code: entry points, such as ``expressway.data.demo.render:render_clips``.
        config: values of the configuration that decide.
        weights: file or folder -> digest.
        upstream: name of what is read -> its fingerprint.
        rows: digest of the manifest rows that are read.
    """

    code: tuple[str, ...] = ()
    config: Mapping[str, Any] = field(default_factory=dict)
    weights: Mapping[str, str] = field(default_factory=dict)
    upstream: Mapping[str, str] = field(default_factory=dict)
    rows: str = ""

    @cached_property
    def fingerprint(self) -> str:
        """The identity of everything but the rows."""
        code = code_fingerprint(*self.code)
        parts = {"config": self.config, "weights": self.weights, "upstream": self.upstream}
        return digest({"code": code, **parts})

    @cached_property
    def parts(self) -> dict[str, Any]:
        """What the identity consists of, to be told apart later: see ``expressway why``."""
        return {
            "fingerprint": self.fingerprint,
            "rows": self.rows,
            "code": code_parts(self.code),
            "config": dict(self.config),
            "weights": dict(self.weights),
            "upstream": dict(self.upstream),
        }
