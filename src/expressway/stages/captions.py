"""A sentence or two per clip about what the face does, in any of three ways.

``action_units`` measures landmarks and needs no weights; ``transformers`` asks a local model that
looks at pictures; ``openai`` asks a server. Answers are checked and refined: ``refined`` holds no
word of the emotion lexicon. An answer that is no caption makes the row ``refused`` or ``invalid``;
its raw text stays in the store with the flags that say why.
"""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any, Literal

import numpy as np
import pyarrow as pa
from pydantic import Field, model_validator

from expressway.core.errors import RowFailure
from expressway.core.foreign_text import short
from expressway.core.stage import Outcome, Row, RowFunction, Runtime, Stage, StageConfig, failure
from expressway.faces.landmarks import to_68
from expressway.language import refine
from expressway.language import validity as answers
from expressway.language.captioners import action_units as measured_units
from expressway.language.captioners import base
from expressway.language.captioners.action_units import ActionUnitsOptions
from expressway.language.captioners.base import Description, Pictures, Question
from expressway.language.captioners.openai import OpenAIOptions
from expressway.language.captioners.transformers import TransformersOptions
from expressway.language.validity import ValidityOptions
from expressway.media.sampling import middles
from expressway.networks.precision import local_folder

NO_QUESTION = Question("", "")
NOTHING_LEFT = "nothing_left"


class CaptionsConfig(StageConfig):
    """Who describes the clips, and what the answers go through."""

    captioner: Literal["action_units", "transformers", "openai"] = Field(
        "action_units",
        description="action_units: measured from landmarks; transformers: a local model; "
        "openai: a server",
    )
    landmarks: str = Field("default", description="variant of landmarks (action_units)")
    faces: str = Field("default", description="variant of faces (transformers, openai)")
    action_units: ActionUnitsOptions = Field(
        ActionUnitsOptions(), description="captioner action_units"
    )
    transformers: TransformersOptions | None = Field(None, description="captioner transformers")
    openai: OpenAIOptions | None = Field(None, description="captioner openai")
    prompt: str = Field("finecliper", description="question of the prompts file, by its name")
    prompts: str = Field(base.PROMPTS, description="file of questions to captioners")
    frames: int = Field(8, ge=1, le=256, description="frames shown (Video-LLaVA: 8), evenly spread")
    validity: ValidityOptions = Field(ValidityOptions(), description="what counts as a caption")
    lexicon: str | None = Field(
        None, description="file of words that refined captions must not hold; default: ours"
    )
    lexicon_extra: tuple[str, ...] = Field(
        (), description="more such words, e.g. label names of a data set; * stands for any ending"
    )
    batch_size: int = Field(8, ge=1, description="clips per call")

    @model_validator(mode="after")
    def _named(self) -> "CaptionsConfig":
        if self.captioner != "action_units" and getattr(self, self.captioner) is None:
            raise ValueError(f"captioner {self.captioner} needs the section {self.captioner}:")
        for other in ("transformers", "openai"):
            if other != self.captioner and getattr(self, other) is not None:
                raise ValueError(
                    f"captioner {self.captioner} does not read {other}:; remove that section"
                )
        return self

    def upstream(self) -> dict[str, str]:
        """Return the landmarks that are measured, or the faces that are looked at."""
        if self.captioner == "action_units":
            return {"landmarks": self.landmarks}
        return {"faces": self.faces}

    def identity(self) -> dict[str, Any]:
        """Return what decides the captions: the question's text, not its file; no address."""
        common = {
            "captioner": self.captioner,
            "lexicon": self.words().hash,
            "validity": self.validity.model_dump(),
        }
        if self.captioner == "action_units":
            return common | {"options": self.action_units.model_dump()}
        options = self.openai.identity() if self.openai else _dumped(self.transformers)
        asked = self.question()
        return common | {
            "options": options,
            "prompt": [asked.id, asked.text],
            "frames": self.frames,
        }

    def weights(self) -> tuple[str, ...]:
        """Return the folder of a local model."""
        return local_folder(self.transformers.model) if self.transformers else ()

    def words(self) -> refine.Lexicon:
        """Return the words that refined captions must not hold."""
        return refine.read_lexicon(self.lexicon, self.lexicon_extra)

    def question(self) -> Question:
        """Return what the captioner is asked; nothing where nobody is asked."""
        if self.captioner == "action_units":
            return NO_QUESTION
        return base.question(self.prompt, self.prompts)


def _dumped(options: TransformersOptions | None) -> dict[str, Any]:
    return options.model_dump() if options else {}


def schema(config: CaptionsConfig) -> pa.Schema:
    """Columns: texts, why they may be useless, structured fields (JSON), and who said it."""
    texts = ("raw", "refined")
    told_by = ("measurements", "model", "prompt_id", "prompt_hash", "decoding")
    return pa.schema(
        [
            *(pa.field(name, pa.string()) for name in texts),
            pa.field("flags", pa.list_(pa.string())),
            *(pa.field(name, pa.string()) for name in told_by),
        ]
    )


def open_captions(config: CaptionsConfig, runtime: Runtime) -> RowFunction:
    """Load the captioner and return the row function.

    Raises:
        ConfigError: prompt or lexicon are missing.
        SystemicError: model or device are missing.
    """
    finish = partial(
        finished, asked=config.question(), options=config.validity, words=config.words()
    )
    if config.captioner == "action_units":
        return _measuring(config, finish)
    return _asking(config, runtime, finish)


Finish = Callable[[Description, Mapping[str, Any]], Outcome]


def _measuring(config: CaptionsConfig, finish: Finish) -> RowFunction:
    as_68 = partial(_mesh_as_68, layout="mesh478")
    told_by = {"model": measured_units.MODEL, "decoding": {"seed": config.action_units.seed}}

    def compute(rows: list[Row]) -> list[Outcome]:
        return [
            finish(
                measured_units.describe(
                    row.clip.id, row.inputs["landmarks"], config.action_units, as_68
                ),
                told_by,
            )
            for row in rows
        ]

    return compute


def _mesh_as_68(mesh: np.ndarray, layout: str) -> np.ndarray:
    return to_68(mesh.astype(np.float32), layout)


def _asking(config: CaptionsConfig, runtime: Runtime, finish: Finish) -> RowFunction:
    captioner = _captioner(config, runtime)
    told_by = {
        "model": captioner.model,
        "decoding": {**captioner.decoding, "frames": config.frames},
    }

    def outcome(said: Description | RowFailure) -> Outcome:
        if isinstance(said, RowFailure):
            return failure(said.status, type(said).__name__, str(said))
        return finish(said, told_by)

    def compute(rows: list[Row]) -> list[Outcome]:
        clips = [pictures(row, config.frames) for row in rows]
        return OneByOne(len(rows), map(outcome, captioner.describe(clips)))

    return compute


def _captioner(config: CaptionsConfig, runtime: Runtime) -> base.Captioner:
    asked = config.question()
    if config.openai is not None:
        from expressway.language.captioners.openai import OpenAICaptioner

        def usable(text: str) -> bool:
            return answers.status(answers.check(text, asked.text, config.validity)) == "ok"

        return OpenAICaptioner(config.openai, asked, usable)
    if config.transformers is None:
        raise ValueError("the configuration names a captioner without its section")
    from expressway.language.captioners.transformers import TransformersCaptioner

    return TransformersCaptioner(config.transformers, asked, runtime.device, config.batch_size)


class OneByOne(list[Outcome]):
    """Outcomes that are handed over as they come, so that each is journalled at once."""

    def __init__(self, length: int, outcomes: Iterable[Outcome]) -> None:
        super().__init__()
        self._length = length
        self._outcomes = iter(outcomes)

    def __len__(self) -> int:
        return self._length

    def __iter__(self) -> Iterator[Outcome]:
        return self._outcomes


def pictures(row: Row, number: int) -> Pictures:
    """Return evenly spread crops of a clip, only of frames where the face was seen.

    Where there are fewer, some repeat, so that models with a fixed number get it.

    Raises:
        RowFailure: ``no_face``: there is none.
    """
    faces = row.inputs["faces"]
    seen = np.flatnonzero(faces["valid"]).tolist()
    if not seen:
        raise RowFailure("no_face", "not one frame shows the face")
    times = np.asarray(faces["time"], np.float64)
    chosen = [seen[place] for place in middles(len(seen), number).tolist()]
    crops: Sequence[bytes] = faces["crops"]
    return Pictures(
        clip_id=row.clip.id,
        images=[crops[index] for index in chosen],
        times=[float(times[index] - times[0]) for index in chosen],
    )


def finished(
    said: Description,
    told_by: Mapping[str, Any],
    asked: Question,
    options: ValidityOptions,
    words: refine.Lexicon,
) -> Outcome:
    """Return the row of an answer: checked, refined, with who said it and what was asked."""
    flags = list(dict.fromkeys([*said.flags, *answers.check(said.text, asked.text, options)]))
    status = answers.status(flags)
    refined = refine.refine(said.text, words) if status == "ok" else None
    if refined == "":
        flags.append(NOTHING_LEFT)
    measured = said.measurements
    row: Outcome = {
        "status": status,
        "raw": said.text,
        "refined": refined,
        "flags": flags,
        "measurements": None if measured is None else json.dumps(measured),
        "model": told_by["model"],
        "prompt_id": asked.id or None,
        "prompt_hash": asked.hash if asked.id else None,
        "decoding": json.dumps(told_by["decoding"], sort_keys=True),
    }
    if status != "ok":
        shown = said.text[:200].replace("\n", " ")
        row |= {"error_type": "Answer", "error_message": f"{', '.join(flags)}: {shown!r}"}
    return row


def sentence(config: Mapping[str, Any]) -> str:
    """Return what the stage did, for a paper's methods section; ``config`` as in the footer."""
    captioner = str(config.get("captioner"))
    refined = "they were then freed of names of emotions"
    if captioner == "action_units":
        return f"Captions were made from movements of the landmarks by rules; {refined}."
    model = (config.get(captioner) or {}).get("model")
    return (
        f"Captions were written by {short(model)} from up to {config.get('frames')} frames of a "
        f"clip (prompt {short(config.get('prompt'))}); {refined}."
    )


STAGE = Stage(
    name="captions",
    summary="Put the face of every clip into words, raw and refined.",
    config=CaptionsConfig,
    schema=schema,
    open=open_captions,
    parallel="batches",
    journal=True,
    packages=("numpy", "scipy", "torch", "transformers", "httpx2"),
    minutes=720,
    order=50,
    sentence=sentence,
)
