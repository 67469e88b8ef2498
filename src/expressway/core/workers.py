"""Worker processes that may crash or hang: what they were on is lost, nothing else."""

import os
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import suppress
from typing import Any

from expressway.core.errors import RowFailure, SystemicError

Answers = list[Any]
Work = Callable[[Sequence[int]], Answers]

_work: Work | None = None


class WorkerDied(RowFailure):
    """A worker's process ended while it was on this index."""


class WorkerStopped(RowFailure):
    """A worker was stopped because it took too long for this index."""


def compute(
    open_work: Callable[[], Work],
    calls: Sequence[Sequence[int]],
    workers: int,
    timeout: float | None,
    modules: Sequence[str],
) -> Iterator[Any]:
    """Yield one answer for each index of ``calls``, in order.

    Where a worker dies or hangs, the call's indices are asked for one by one; the one that it was
    for is answered by a ``RowFailure`` (``invalid`` or ``timeout``).

    Args:
        open_work: called once in each worker; what it returns answers the calls.
        calls: indices that are asked for together.
        workers: number of processes.
        timeout: seconds for one index; a call of n > 1 gets n + 1 times as many.
        modules: what every worker needs. The server that forks the workers imports it once; it runs
            no other code and has no threads of ours, so that a fork at any moment is safe. Only the
            first use in a process decides.
    """
    import multiprocessing

    from pebble import ProcessPool

    _schedule_as_batch()
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(list(modules))
    pool = ProcessPool(
        max_workers=workers, initializer=_start, initargs=[open_work], context=context
    )
    asked = _Asked(pool, timeout)
    try:
        for call in calls:
            asked.ask(call)
            if len(asked.waiting) >= 2 * workers:
                yield from asked.next()
        while asked.waiting:
            yield from asked.next()
        pool.close()
        pool.join()
    except BaseException:
        pool.stop()
        pool.join()
        raise


class _Asked:
    """The calls that a pool has not answered yet, oldest first."""

    def __init__(self, pool: Any, timeout: float | None) -> None:
        self.pool, self.timeout = pool, timeout
        self.waiting: deque[tuple[Sequence[int], Future[Answers]]] = deque()

    def ask(self, call: Sequence[int]) -> None:
        self.waiting.append((call, self._scheduled(call)))

    def next(self) -> Answers:
        """Return the answers of the oldest call."""
        return self._answers(*self.waiting.popleft())

    def _scheduled(self, call: Sequence[int]) -> "Future[Answers]":
        # a call of several may run once for all and once for each
        share = 1 if len(call) == 1 else len(call) + 1
        seconds = None if self.timeout is None else self.timeout * share
        future: Future[Answers] = self.pool.schedule(_answer, args=[call], timeout=seconds)
        return future

    def _answers(self, call: Sequence[int], future: "Future[Answers]") -> Answers:
        from pebble import ProcessExpired

        failure: RowFailure
        try:
            return future.result()
        except ProcessExpired as error:
            failure = WorkerDied(
                "invalid",
                f"the worker process died on this clip (exit code {error.exitcode}); "
                "the decoder or detector crashed",
            )
        except TimeoutError:
            failure = WorkerStopped("timeout", f"took longer than {self.timeout} s and was stopped")
        if len(call) == 1:
            return [failure]
        again = [([index], self._scheduled([index])) for index in call]
        return [one for each in again for one in self._answers(*each)]


def _schedule_as_batch() -> None:
    """Ask Linux not to let a reader of a pipe interrupt its writer for every piece.

    Workers and their decoders inherit it. Other systems and refusals leave things as they are.
    """
    with suppress(OSError, AttributeError):
        if os.sched_getscheduler(0) == os.SCHED_OTHER:
            os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))


def _start(open_work: Callable[[], Work]) -> None:
    global _work
    _work = open_work()


def _answer(call: Sequence[int]) -> Answers:
    if _work is None:
        raise SystemicError("the worker process was not initialised")
    return _work(call)
