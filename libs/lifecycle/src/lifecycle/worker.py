"""A worker process: supervised loops beside a health endpoint, until a signal asks it to drain."""

import asyncio
import contextlib
import gc
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Mapping
from typing import Any, Final

import structlog
import uvloop
from prometheus_client import Counter
from starlette.applications import Starlette

from lifecycle.health import Readiness, health_routes
from lifecycle.http import DRAIN_SECONDS, STOP_SIGNALS, http_server
from lifecycle.waiting import wait_for_any

_log = structlog.get_logger()

FIRST_BACKOFF_SECONDS: Final = 0.1
LAST_BACKOFF_SECONDS: Final = 5.0
GARBAGE_THRESHOLDS: Final = (100_000, 10, 10)
"""Objects between two collections. A message of 100 products makes some 2,000, hardly any in cycles: at the default of
700 looking for those takes up to half of all CPU, at 10,000 a quarter, and at 100,000 a process grows no larger."""

Loop = Callable[[asyncio.Event], Awaitable[None]]
"""Works until the event is set, then returns when its work in hand is done."""

loop_failures = Counter("aggregator_worker_loop_failures_total", "Loops that failed and were started again", ["loop"])


def run(main: Coroutine[Any, Any, None]) -> None:
    """Run a coroutine to its end on uvloop."""
    uvloop.run(main)


async def run_worker(  # noqa: PLR0913 - each is named by its caller
    loops: Mapping[str, Loop],
    *,
    readiness: Readiness,
    transient: tuple[type[Exception], ...] = (),
    health_port: int,
    health_host: str = "127.0.0.1",
    drain_seconds: float = DRAIN_SECONDS,
) -> None:
    """Run every loop until SIGTERM or SIGINT, then let them finish for up to `drain_seconds`.

    A loop that raises is logged, counted and started again with a backoff of 0.1 to 5 s. OSError and `transient` say
    that somebody does not answer now, and are logged in one line. `health_port` 0 means that health is not served.
    """
    _collect_garbage_rarely()
    stopping = asyncio.Event()
    for number in STOP_SIGNALS:
        asyncio.get_running_loop().add_signal_handler(number, stopping.set)
    async with _health_server(readiness, health_host, health_port):
        tasks = [
            asyncio.create_task(_supervise(name, loop, stopping, (OSError, *transient)), name=name)
            for name, loop in loops.items()
        ]
        _log.info("worker_started", loops=list(loops))
        await stopping.wait()
        _log.info("worker_draining", seconds=drain_seconds)
        _, unfinished = await asyncio.wait(tasks, timeout=drain_seconds)
        for task in unfinished:
            _log.warning("loop_cut_off", loop=task.get_name())
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    _log.info("worker_stopped")


def _collect_garbage_rarely() -> None:
    gc.collect()
    # What was imported stays for ever: looking through it again and again would cost a tenth of all CPU.
    gc.freeze()
    gc.set_threshold(*GARBAGE_THRESHOLDS)


async def _supervise(name: str, loop: Loop, stopping: asyncio.Event, transient: tuple[type[Exception], ...]) -> None:
    backoff = FIRST_BACKOFF_SECONDS
    while not stopping.is_set():
        started = asyncio.get_running_loop().time()
        try:
            await loop(stopping)
        except transient as error:
            # A trace through the libraries tells no more than that.
            loop_failures.labels(name).inc()
            _log.warning("loop_failed", loop=name, reason=f"{type(error).__name__}: {error}")
        except Exception:  # noqa: BLE001 - the supervised edge: whatever ended the loop, it is started again
            loop_failures.labels(name).inc()
            _log.exception("loop_failed", loop=name)
        if asyncio.get_running_loop().time() - started > LAST_BACKOFF_SECONDS:
            backoff = FIRST_BACKOFF_SECONDS
        jitter = random.uniform(0.5, 1.0)  # noqa: S311 - not a secret
        await wait_for_any(stopping, seconds=backoff * jitter)
        backoff = min(backoff * 2, LAST_BACKOFF_SECONDS)


@contextlib.asynccontextmanager
async def _health_server(readiness: Readiness, host: str, port: int) -> AsyncIterator[None]:
    if port == 0:
        yield
        return
    server = http_server(Starlette(routes=health_routes(readiness)), host, port, drain_seconds=1)
    serving = asyncio.create_task(server.serve())
    try:
        yield
    finally:
        server.should_exit = True
        await serving
