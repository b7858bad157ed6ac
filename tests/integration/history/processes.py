"""Runs the processes of price-history, and waits for what they do."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

SCRIPT = Path(sys.executable).parent / "price-history"


async def eventually(condition: Callable[[], Awaitable[bool]], seconds: float = 30) -> None:
    async with asyncio.timeout(seconds):
        while not await condition():  # noqa: ASYNC110 - what is waited for happens in other processes
            await asyncio.sleep(0.05)


async def start(command: str, **settings: str) -> asyncio.subprocess.Process:
    """Our script with these settings only."""
    return await asyncio.create_subprocess_exec(SCRIPT, command, env={"PATH": os.environ["PATH"], **settings})


@asynccontextmanager
async def process(command: str, **settings: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """The same; it must end with code 0 within ten seconds of SIGTERM."""
    started = await start(command, **settings)
    try:
        yield started
        assert started.returncode is None
        started.send_signal(signal.SIGTERM)
        assert await asyncio.wait_for(started.wait(), 10) == 0
    finally:
        if started.returncode is None:
            started.kill()
            await started.wait()
