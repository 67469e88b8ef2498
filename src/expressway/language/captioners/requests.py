"""POST JSON to a server that may be busy, slow or broken; wait as it asks, but not for ever."""

import email.utils
import json
import random
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from expressway.core.errors import RowFailure, SystemicError

RETRIED = frozenset({408, 409, 425, 429, 500, 502, 503, 504, 529})
UNWELCOME = {
    401: "the key is missing or wrong: set the environment variable that key_variable names",
    403: "this key may not use this model",
    404: "no such model or address: check model and base_url (it ends in /v1)",
}
LARGEST_ANSWER = 4 << 20
SHOWN = 300


@dataclass(frozen=True)
class Limits:
    """How long one request may take, and how often and how patiently it is tried."""

    timeout: float
    attempts: int
    first_wait: float
    longest_wait: float


class Budget:
    """What a whole job may spend; thread-safe."""

    def __init__(self, seconds: float | None, requests: int | None) -> None:
        self.seconds = seconds
        self.requests = requests
        self.spent = 0
        self._start = time.monotonic()
        self._lock = threading.Lock()

    def left(self) -> float:
        """Seconds that are left."""
        if self.seconds is None:
            return float("inf")
        return self.seconds - (time.monotonic() - self._start)

    def take(self) -> None:
        """Count one request.

        Raises:
            SystemicError: nothing is left.
        """
        with self._lock:
            if self.requests is not None and self.spent >= self.requests:
                raise SystemicError(f"budget_requests: {self.requests} requests made; {RESUME}")
            self.spent += 1
        if self.left() <= 0:
            raise SystemicError(f"budget_seconds: {self.seconds} s are over; {RESUME}")


RESUME = "finished rows are kept, run again to go on"


class Trouble(Exception):
    """A try that failed but may be repeated; ``wait`` is what the server asked for, in seconds."""

    def __init__(self, message: str, wait: float = 0.0, away: bool = False) -> None:
        super().__init__(message)
        self.wait = wait
        self.away = away


class Poster:
    """Posts to one address; thread-safe."""

    def __init__(self, url: str, key: str | None, limits: Limits, budget: Budget) -> None:
        import httpx2

        self.url = url
        self._key = key
        self._limits = limits
        self._budget = budget
        self._stopped = threading.Event()
        self._random = random.SystemRandom()
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        self._client = httpx2.Client(
            headers=headers, timeout=limits.timeout, follow_redirects=False
        )

    def stop(self) -> None:
        """End all waits: requests under way finish, none is repeated."""
        self._stopped.set()

    def post(self, body: Mapping[str, Any], what: str) -> dict[str, Any]:
        """Return the server's answer; the request is tried ``attempts`` times.

        Args:
            body: sent as JSON.
            what: whom errors name.

        Raises:
            RowFailure: ``timeout``: the server stayed in trouble; ``invalid`` or ``refused``:
                it does not want this request.
            SystemicError: it does not want us, is away, or the budget is spent.
        """
        content = json.dumps(body).encode()
        for attempt in range(self._limits.attempts):
            if self._stopped.is_set():
                raise RowFailure("timeout", f"{what}: given up, the job is stopping")
            self._budget.take()
            try:
                return self._try(content, what)
            except Trouble as found:
                trouble = found
            if attempt + 1 < self._limits.attempts:
                self._wait(attempt, trouble)
        if trouble.away:
            raise SystemicError(f"{self.url}: {trouble} ({self._limits.attempts} tries); {RESUME}")
        raise RowFailure("timeout", f"{what}: {self._limits.attempts} tries, the last: {trouble}")

    def _wait(self, attempt: int, trouble: Trouble) -> None:
        """Wait longer each time, with jitter, and at least as long as the server asks."""
        longest = min(self._limits.first_wait * 2**attempt, self._limits.longest_wait)
        wait = max(self._random.uniform(longest / 2, longest), trouble.wait)
        if wait > self._budget.left():
            raise SystemicError(
                f"budget_seconds: the server asks to wait {wait:.0f} s, "
                f"{max(self._budget.left(), 0):.0f} s are left; {RESUME}"
            )
        self._stopped.wait(wait)

    def _try(self, content: bytes, what: str) -> dict[str, Any]:
        import httpx2

        deadline = time.monotonic() + self._limits.timeout
        try:
            with self._client.stream(
                "POST", self.url, content=content, headers={"Content-Type": "application/json"}
            ) as response:
                data = _read(response, deadline)
                status, headers = response.status_code, dict(response.headers)
        except (httpx2.ConnectError, httpx2.ConnectTimeout) as error:
            raise Trouble(f"cannot be reached: {self._clean(str(error))}", away=True) from error
        except httpx2.TimeoutException as error:
            raise Trouble(f"no answer within {self._limits.timeout} s") from error
        except httpx2.TransportError as error:
            raise Trouble(f"the connection broke: {self._clean(str(error))}") from error
        if status != 200:
            raise self._refused(status, headers, data, what)
        return _parsed(data)

    def _refused(
        self, status: int, headers: Mapping[str, str], data: bytes, what: str
    ) -> Exception:
        said = self._clean(data[:2000].decode("utf-8", "replace"))
        message = f"HTTP {status}: {said}"
        if status in RETRIED:
            return Trouble(message, retry_after(headers.get("retry-after")))
        if status in UNWELCOME:
            return SystemicError(f"{self.url}: {message}; {UNWELCOME[status]}")
        if "content_filter" in said or "content_policy" in said:
            return RowFailure("refused", f"{what}: {message}")
        return RowFailure("invalid", f"{what}: {message}")

    def _clean(self, text: str) -> str:
        """Return what a server says, short, and without our key should it repeat it."""
        shown = " ".join(text.split())
        return (shown.replace(self._key, "***") if self._key else shown)[:SHOWN]


def _read(response: Any, deadline: float) -> bytes:
    """Return the body; a server that drips must not hold us longer than one that hangs."""
    parts, size = [], 0
    for part in response.iter_bytes():
        parts.append(part)
        size += len(part)
        if size > LARGEST_ANSWER:
            raise Trouble(f"the answer is larger than {LARGEST_ANSWER >> 20} MiB")
        if time.monotonic() > deadline:
            raise Trouble("the answer did not end in time")
    return b"".join(parts)


def _parsed(data: bytes) -> dict[str, Any]:
    try:
        answer = json.loads(data)
    except ValueError as error:
        raise Trouble(f"half an answer: {len(data)} bytes that are no JSON") from error
    choices = answer.get("choices") if isinstance(answer, dict) else None
    if not (isinstance(choices, list) and choices and isinstance(choices[0], dict)):
        raise Trouble("an answer without choices")
    return answer


def retry_after(value: str | None) -> float:
    """Return the seconds that a Retry-After header (seconds or a date) asks for; 0 without one."""
    if not value:
        return 0.0
    try:
        return max(float(value), 0.0)
    except ValueError:
        pass
    try:
        then = email.utils.parsedate_to_datetime(value)
    except ValueError:
        return 0.0
    aware = then if then.tzinfo else then.replace(tzinfo=UTC)
    return max((aware - datetime.now(UTC)).total_seconds(), 0.0)
