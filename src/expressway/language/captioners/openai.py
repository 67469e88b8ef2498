"""Captions by any server that speaks the OpenAI chat protocol: vLLM, transformers serve, hosted.

The key comes from the environment and goes nowhere but into the request's header. Requests run at
once up to ``concurrency``; answers are handed over one by one, in order, so that each is safe in
the journal before the next is waited for.
"""

import base64
import ipaddress
import os
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any
from urllib.parse import urlsplit

from pydantic import Field, field_validator

from expressway.core.config import StrictModel
from expressway.core.errors import RowFailure, SystemicError
from expressway.language.captioners.base import Description, Pictures, Question
from expressway.language.captioners.requests import Budget, Limits, Poster

ASKED_AGAIN_TEMPERATURE = 0.5
UNREACHED_IN_A_ROW = 5


class OpenAIOptions(StrictModel):
    """A server, what it runs, and how patient we are.

    Only ``model``, ``max_tokens``, ``temperature`` and ``seed`` are part of what a store is made
    of: the same model behind another address or with other limits gives the same store.
    """

    base_url: str = Field(description="up to and with /v1, e.g. http://127.0.0.1:8000/v1")
    model: str = Field(description="the model's name on that server")
    key_variable: str = Field(
        "OPENAI_API_KEY", description="environment variable with the key; unset: no key is sent"
    )
    key_over_http: bool = Field(
        False, description="send the key over plain http to another machine, too"
    )
    max_tokens: int = Field(128, ge=1, description="longest answer (FineCLIPER, ours: 128)")
    temperature: float = Field(0.0, ge=0, description="0: the likeliest answer")
    seed: int = Field(0, description="sent along; servers may ignore it")
    ask_again: int = Field(
        1, ge=0, le=5, description="how often an unusable answer is asked for once more"
    )
    concurrency: int = Field(8, ge=1, le=256, description="requests under way at once")
    timeout_seconds: float = Field(120.0, gt=0, description="for one request, answer included")
    attempts: int = Field(6, ge=1, description="tries per request when the server is in trouble")
    first_wait_seconds: float = Field(1.0, gt=0, description="wait before the second try; doubles")
    longest_wait_seconds: float = Field(60.0, gt=0, description="waits grow up to this")
    budget_seconds: float | None = Field(
        None, gt=0, description="a job stops (and can be continued) after so long"
    )
    budget_requests: int | None = Field(
        None, ge=1, description="a job stops (and can be continued) after so many requests"
    )

    @field_validator("base_url")
    @classmethod
    def _plain_address(cls, value: str) -> str:
        parts = urlsplit(value)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError("expected an address such as http://127.0.0.1:8000/v1")
        if parts.username or parts.password or parts.query:
            raise ValueError("keys do not belong into the address; put them into key_variable")
        return value.rstrip("/")

    def identity(self) -> dict[str, Any]:
        """Return the values that decide what is computed."""
        return self.model_dump(include={"model", "max_tokens", "temperature", "seed", "ask_again"})


class OpenAICaptioner:
    """A client for one server; see `Captioner`."""

    def __init__(
        self, options: OpenAIOptions, question: Question, usable: Callable[[str], bool]
    ) -> None:
        """Open no connection yet; ``usable`` says whether an answer need not be asked again."""
        self.model = options.model
        self.decoding: Mapping[str, Any] = {
            "max_tokens": options.max_tokens,
            "temperature": options.temperature,
            "seed": options.seed,
        }
        self._options = options
        self._question = question
        self._usable = usable
        self._poster = Poster(
            f"{options.base_url}/chat/completions",
            key(options),
            Limits(
                options.timeout_seconds,
                options.attempts,
                options.first_wait_seconds,
                options.longest_wait_seconds,
            ),
            Budget(options.budget_seconds, options.budget_requests),
        )
        self._pool = ThreadPoolExecutor(options.concurrency, thread_name_prefix="captions")
        self._unreached = 0

    def describe(self, clips: Sequence[Pictures]) -> Iterator[Description | RowFailure]:
        """Yield one description or failure per clip, in order, each as soon as it is there.

        Raises:
            SystemicError: the server refuses us, is away, or the budget is spent; what was
                yielded before is not lost.
        """
        waiting: deque[Future[Description]] = deque()
        left = iter(clips)
        try:
            for clip in left:
                waiting.append(self._pool.submit(self._ask, clip))
                if len(waiting) >= self._options.concurrency:
                    yield self._result(waiting.popleft())
            while waiting:
                yield self._result(waiting.popleft())
        except (Exception, KeyboardInterrupt):
            self._poster.stop()
            raise
        finally:
            for future in waiting:
                future.cancel()

    def _result(self, future: "Future[Description]") -> Description | RowFailure:
        try:
            found = future.result()
        except RowFailure as failure:
            self._unreached = self._unreached + 1 if failure.status == "timeout" else 0
            if self._unreached >= UNREACHED_IN_A_ROW:
                raise SystemicError(
                    f"{self._options.base_url}: no answer for {self._unreached} clips in a row, "
                    f"the last: {failure}. Finished rows are kept; see to the server and run again"
                ) from failure
            return failure
        self._unreached = 0
        return found

    def _ask(self, clip: Pictures) -> Description:
        """Return the answer about one clip; an unusable one is asked for again."""
        for attempt in range(self._options.ask_again + 1):
            answer = self._poster.post(self._body(clip, attempt), clip.clip_id)
            found = read_answer(answer)
            if "refusal" in found.flags or self._usable(found.text):
                break
        return Description(found.text, (*found.flags, *(["asked_again"] if attempt else [])))

    def _body(self, clip: Pictures, attempt: int) -> dict[str, Any]:
        pictures = [
            {"type": "image_url", "image_url": {"url": data_url(image)}} for image in clip.images
        ]
        question = {"type": "text", "text": self._question.text}
        temperature = self._options.temperature
        return {
            "model": self._options.model,
            "messages": [{"role": "user", "content": [*pictures, question]}],
            "max_tokens": self._options.max_tokens,
            # The likeliest answer would be the same again.
            "temperature": max(temperature, ASKED_AGAIN_TEMPERATURE) if attempt else temperature,
            "seed": self._options.seed + attempt,
            "stream": False,
        }


def data_url(image: bytes) -> str:
    """Return an encoded image as the chat protocol carries it."""
    kind = "png" if image.startswith(b"\x89PNG") else "jpeg"
    return f"data:image/{kind};base64,{base64.b64encode(image).decode()}"


def read_answer(answer: Mapping[str, Any]) -> Description:
    """Return what a chat completion says; an answer without text is an empty description."""
    choice = answer["choices"][0]
    given = choice.get("message")
    message: Mapping[str, Any] = given if isinstance(given, Mapping) else {}
    content, refusal = message.get("content"), message.get("refusal")
    if isinstance(content, list):
        content = "".join(
            str(part.get("text") or "") for part in content if isinstance(part, Mapping)
        )
    flags = []
    if refusal or choice.get("finish_reason") == "content_filter":
        flags.append("refusal")
    if choice.get("finish_reason") == "length":
        flags.append("cut_off")
    return Description(str(refusal or content or "").strip(), tuple(flags))


def key(options: OpenAIOptions) -> str | None:
    """Return the key from the environment, or None where it must not or need not be sent."""
    parts = urlsplit(options.base_url)
    safe = parts.scheme == "https" or _is_loopback(parts.hostname or "") or options.key_over_http
    return (os.environ.get(options.key_variable) or None) if safe else None


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
