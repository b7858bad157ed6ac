"""Runs the scripts of our services as processes, and waits for what they do."""

import asyncio
import json
import os
import signal
import sys
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

SCRIPTS = Path(sys.executable).parent


async def eventually(condition: Callable[[], Awaitable[bool]], seconds: float = 30) -> None:
    """Wait until the condition holds."""
    async with asyncio.timeout(seconds):
        while not await condition():  # noqa: ASYNC110 - what is waited for happens in other processes
            await asyncio.sleep(0.02)


@asynccontextmanager
async def started(
    script: str, *arguments: str, settings: Mapping[str, str], stdout: int | None = None, stderr: int | None = None
) -> AsyncIterator[asyncio.subprocess.Process]:
    """A script of ours with these settings only; killed at the end, if it still runs."""
    running = await asyncio.create_subprocess_exec(
        SCRIPTS / script, *arguments, env={"PATH": os.environ["PATH"], **settings}, stdout=stdout, stderr=stderr
    )
    try:
        yield running
    finally:
        if running.returncode is None:
            running.kill()
        await running.wait()


@asynccontextmanager
async def process(script: str, *arguments: str, **settings: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """The same; it must run until the end, and then stop with code 0 within ten seconds of SIGTERM."""
    async with started(script, *arguments, settings=settings) as running:
        yield running
        assert running.returncode is None
        running.send_signal(signal.SIGTERM)
        assert await asyncio.wait_for(running.wait(), 10) == 0


@dataclass(frozen=True)
class Ended:
    """What came of a script that ran to its end."""

    code: int
    output: str
    errors: str

    @property
    def told(self) -> Any:
        """The last line of its log, which is in JSON."""
        return json.loads(self.output.splitlines()[-1])


async def ended(script: str, *arguments: str, **settings: str) -> Ended:
    """A script of ours with these settings only, run to its end, which must come within ninety seconds."""
    async with started(script, *arguments, settings=settings, stdout=PIPE, stderr=PIPE) as running:
        output, errors = await asyncio.wait_for(running.communicate(), 90)
        assert running.returncode is not None
        return Ended(running.returncode, output.decode(), errors.decode())
