"""The asyncio loop of the NATS client, in one thread of each process that serves requests.

A call from any thread is one coroutine in the loop. Each wait in it has a deadline of its own, so that a
call ends; where the loop itself ends, nothing could be served any more, and the process ends too.
"""

from __future__ import annotations

import asyncio
import logging
import os
import threading
import time
from collections.abc import Callable, Coroutine
from concurrent.futures import CancelledError, Future
from typing import Any, TypeVar

from s3shim.errors import Code, S3Error
from s3shim.measures import Histogram
from s3shim.waiting import WAITS

T = TypeVar("T")

DIED = 70
"""EX_SOFTWARE of sysexits.h: the exit code of a process whose loop has ended."""

LAGS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)
"""The bounds of ``Bridge.lag``, in seconds."""

_LAG_INTERVAL = 0.5
_LOOK = 1.0
_LAST = 3.0
_LAST_WORK = 10.0

log = logging.getLogger(__name__)


def leave() -> None:
    """End the process at once: whoever waits for the loop would wait for ever."""
    os._exit(DIED)


class Bridge:
    """The loop and its thread. ``died`` is called in the thread where the loop ends unasked.

    ``calls`` are those that wait now, ``lag`` is how much later than it wanted the loop woke up.
    """

    def __init__(self, died: Callable[[], None] = leave) -> None:
        self.loop = asyncio.new_event_loop()
        self.lag = Histogram(LAGS)
        self.calls = 0
        self._counting = threading.Lock()
        self._died = died
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name="s3shim-nats", daemon=True)

    def start(self) -> None:
        """Start the thread; called after the fork, a thread does not survive one."""
        self._thread.start()

    def submit(self, work: Coroutine[Any, Any, T]) -> Future[T]:
        """Begin ``work`` in the loop; cancelling the future cancels it. Raises ServiceUnavailable."""
        if self._stopping or not self._thread.is_alive():
            work.close()
            raise S3Error(Code.ServiceUnavailable)
        try:
            return asyncio.run_coroutine_threadsafe(work, self.loop)
        except RuntimeError:
            # The loop was closed just now.
            work.close()
            raise S3Error(Code.ServiceUnavailable) from None

    def call(self, work: Coroutine[Any, Any, T]) -> T:
        """Return what ``work`` returns. Raises what it raises, and ServiceUnavailable."""
        future = self.submit(work)
        self._count(1)
        try:
            return self.wait(future)
        finally:
            self._count(-1)
            if not future.done():
                future.cancel()

    def wait(self, future: Future[T]) -> T:
        """Return what submitted work returns. Raises what it raises, and ServiceUnavailable."""
        WAITS.announce()
        while True:
            try:
                return future.result(_LOOK)
            except CancelledError:
                raise S3Error(Code.ServiceUnavailable) from None
            except TimeoutError:
                if future.done():
                    raise
                # What came too late for the loop's end would be waited for without end.
                if not self._thread.is_alive():
                    raise S3Error(Code.ServiceUnavailable) from None

    def _count(self, more: int) -> None:
        with self._counting:
            self.calls += more

    def stop(self, work: Coroutine[Any, Any, None]) -> None:
        """Let ``work`` be the last, cancel the rest, and end the thread."""
        try:
            self.submit(work).result(_LAST_WORK)
        except (S3Error, CancelledError, TimeoutError):
            pass
        finally:
            self._stopping = True
            if self._thread.is_alive():
                self.loop.call_soon_threadsafe(self.loop.stop)
                self._thread.join()

    def _run(self) -> None:
        asyncio.set_event_loop(self.loop)
        self.loop.create_task(self._measure_lag())
        try:
            self.loop.run_forever()
            if self._stopping:
                self._end()
        except BaseException:
            log.critical("the thread of the NATS client has died", exc_info=True)
        if not self._stopping:
            self._died()

    def _end(self) -> None:
        rest = asyncio.all_tasks(self.loop)
        for task in rest:
            task.cancel()
        if rest:
            self.loop.run_until_complete(asyncio.wait(rest, timeout=_LAST))
        self.loop.run_until_complete(self.loop.shutdown_asyncgens())
        self.loop.close()

    async def _measure_lag(self) -> None:
        while True:
            before = time.perf_counter()
            await asyncio.sleep(_LAG_INTERVAL)
            self.lag.observe(max(time.perf_counter() - before - _LAG_INTERVAL, 0.0))
