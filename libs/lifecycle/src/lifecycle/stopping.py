"""A command that is told to stop is cancelled, so that it can say what became of it."""

import asyncio
import signal
from collections.abc import Coroutine
from typing import Any, TypeVar

from lifecycle.http import STOP_SIGNALS

T = TypeVar("T")


class StoppedError(Exception):
    """It was cancelled, as this process got `signal`."""

    def __init__(self, number: signal.Signals) -> None:
        super().__init__(f"stopped by {number.name}")
        self.signal = number


async def until_stopped(main: Coroutine[Any, Any, T]) -> T:
    """What `main` returns or raises.

    Raises:
        StoppedError: SIGTERM or SIGINT came first. `main` was cancelled, and has ended, be it with an error, as drivers
            may when they are cancelled in the middle of a statement.
    """
    task = asyncio.create_task(main)
    received: list[signal.Signals] = []

    def stop(number: signal.Signals) -> None:
        received.append(number)
        task.cancel()

    for number in STOP_SIGNALS:
        asyncio.get_running_loop().add_signal_handler(number, stop, number)
    try:
        return await task
    except (Exception, asyncio.CancelledError) as error:
        if not received:
            raise
        raise StoppedError(received[0]) from error
    finally:
        for number in STOP_SIGNALS:
            asyncio.get_running_loop().remove_signal_handler(number)
