"""Fetches and decodes offer lists, and nothing else: `bare_poll.py BASE_URL TOKEN CONNECTIONS POLLS PACE < ids`.

It has what the poller's client has: the event loop, the number of connections, the headers, the typed decoder. With a
pace above 0 it fetches so many lists a second, those of a fifth of a second at once, as the poller does; with 0 it goes
as fast as it can. Prints `{"polls", "cpu_seconds", "seconds"}`; CPU time is the process's own, from the operating
system, the start left out.
"""

import asyncio
import itertools
import json
import resource
import sys
import time
from collections.abc import Iterator
from typing import Any, Final

import aiohttp
import msgspec
import uvloop

TICK_SECONDS: Final = 0.2


class Offer(msgspec.Struct, gc=False):
    """One offer of a list."""

    id: int | str
    price: int
    items_in_stock: int


async def poll(session: aiohttp.ClientSession, base_url: str, todo: Iterator[str], decode: Any) -> None:
    """Fetch lists until none is left to do."""
    for product_id in todo:
        async with session.get(f"{base_url}/products/{product_id}/offers") as response:
            if response.status != 200:  # noqa: PLR2004 - OK
                raise RuntimeError(f"the Offers MS answered {response.status}")
            decode(await response.read())


def cpu_seconds() -> float:
    """User and system time of this process so far."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


async def main(base_url: str, token: str, connections: int, polls: int, pace: float) -> None:
    """Warm up, then measure."""
    headers = {
        "Accept": "application/json",
        "Accept-Encoding": "identity",
        "User-Agent": "product-aggregator",
        "Bearer": token,
    }
    connector = aiohttp.TCPConnector(limit=connections)
    decode = msgspec.json.Decoder(list[Offer]).decode
    endless = itertools.cycle(sys.stdin.read().split())
    async with aiohttp.ClientSession(
        connector=connector, cookie_jar=aiohttp.DummyCookieJar(), headers=headers
    ) as session:

        async def fetch(count: int) -> None:
            todo = itertools.islice(endless, count)
            await asyncio.gather(*(poll(session, base_url, todo, decode) for _ in range(connections)))

        await fetch(4 * connections)
        cpu, began = cpu_seconds(), time.monotonic()
        in_a_tick = max(1, round(pace * TICK_SECONDS)) if pace else polls
        for done in range(0, polls, in_a_tick):
            await asyncio.sleep(max(0.0, began + (done / pace if pace else 0.0) - time.monotonic()))
            await fetch(min(in_a_tick, polls - done))
        measured = {"polls": polls, "cpu_seconds": cpu_seconds() - cpu, "seconds": time.monotonic() - began}
    sys.stdout.write(json.dumps(measured) + "\n")


if __name__ == "__main__":
    url, token, connections, polls, pace = sys.argv[1:]
    uvloop.run(main(url, token, int(connections), int(polls), float(pace)))
