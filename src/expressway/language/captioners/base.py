"""The interface of captioners."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from pydantic import Field

from expressway.core.config import StrictModel, nearest, read_yaml, validate
from expressway.core.errors import ConfigError, RowFailure
from expressway.core.fingerprints import digest

PROMPTS = "config/prompts/captions.yaml"


@dataclass(frozen=True)
class Pictures:
    """The face crops of one clip.

    Attributes:
        images: encoded images (JPEG or PNG), in order.
        times: seconds of each image since the clip's first frame.
    """

    clip_id: str
    images: Sequence[bytes]
    times: Sequence[float]


@dataclass(frozen=True)
class Description:
    """What a captioner said about one clip.

    Attributes:
        text: word for word.
        flags: what the captioner itself noticed, such as ``cut_off``.
        measurements: structured fields, where the captioner measures.
    """

    text: str
    flags: tuple[str, ...] = ()
    measurements: Mapping[str, Any] | None = None


class Captioner(Protocol):
    """A model that looks at pictures.

    Attributes:
        model: what it is called in the store.
        decoding: settings that shape its answers.
    """

    model: str
    decoding: Mapping[str, Any]

    def describe(self, clips: Sequence[Pictures]) -> Iterable[Description | RowFailure]:
        """Return one description per clip, in order, or what went wrong with that clip."""
        ...


class Prompt(StrictModel):
    """A question to a captioner."""

    about: str = Field("", description="where the wording comes from")
    text: str = Field(description="the question, word for word")


@dataclass(frozen=True)
class Question:
    """A prompt with its name and the digest of its text."""

    id: str
    text: str
    hash: str = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "hash", digest(self.text))


def question(name: str, path: str = PROMPTS) -> Question:
    """Return a prompt of a prompts file; its text counts without the spaces around it.

    Raises:
        ConfigError: the file has no such prompt, or is no file of prompts.
    """
    known = read_yaml(Path(path))
    if name not in known:
        names = ", ".join(known)
        raise ConfigError(f"{path}: no prompt {name!r}{nearest(name, known)}; known: {names}")
    if not isinstance(known[name], Mapping):
        raise ConfigError(f"{path}: {name}: expected text: and about:, found {known[name]!r}")
    prompt = validate(Prompt, known[name], f"{path}: {name}")
    return Question(name, " ".join(prompt.text.split()))
