import asyncio

import pytest

from event_bus.connection import loss_as_error


async def given_up_by_the_library() -> None:
    """What aiormq does to whoever waits for a connection that it closes."""
    with loss_as_error():
        raise asyncio.CancelledError


async def test_a_connection_given_up_by_the_library_is_an_error_and_no_silent_end() -> None:
    with pytest.raises(ConnectionError):
        await asyncio.create_task(given_up_by_the_library())


async def test_a_task_that_is_cancelled_ends_as_cancelled() -> None:
    async def waiting() -> None:
        with loss_as_error():
            await asyncio.Event().wait()

    task = asyncio.create_task(waiting())
    await asyncio.sleep(0)
    task.cancel()

    with pytest.raises(asyncio.CancelledError):
        await task


async def test_a_deadline_inside_is_still_a_deadline() -> None:
    with pytest.raises(TimeoutError), loss_as_error():
        async with asyncio.timeout(0.01):
            await asyncio.Event().wait()
