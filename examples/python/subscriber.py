"""Keeps the cheapest price in stock of each product, from the events of the product aggregator.

    python subscriber.py AMQP_URL [STATE_FILE] [QUEUE] [--from first|OFFSET|TIME]

Needs Python 3.11 and aio-pika. Prints a line of JSON for each thing that is new. What it knows is in SQLite, in one
transaction with what it has seen, and a message is acknowledged after that: killed at any moment, it has stored each
event once. While it is away its queue keeps the events. SIGTERM and Ctrl-C stop it between two messages.

With --from it has no queue: it reads the log, which keeps every event for some days, from its first event, an offset or
a time such as 2026-11-23T10:00:00Z, and goes on with what is published then. The next time it begins with the last
event that it has: where another one or none is in its place, the log was made anew, and is read from its first.
"""

import argparse
import asyncio
import contextlib
import json
import signal
import sqlite3
import sys
from datetime import datetime
from typing import Any

import aio_pika

EXCHANGE = "aggregator.events"
LOG = "aggregator.log"
OFFSET = "x-stream-offset"
TYPES = ["catalog.#", "offers.#"]  # all but what is derived from these, "prices.#"
RECONNECT_SECONDS = 1
SILENCE_SECONDS = 5  # an event that is in the log comes sooner
LOST = (aio_pika.exceptions.AMQPException, OSError, RuntimeError)  # what a connection that breaks raises
TABLES = """
    CREATE TABLE IF NOT EXISTS seen (event_id TEXT PRIMARY KEY);
    CREATE TABLE IF NOT EXISTS latest (one INTEGER PRIMARY KEY CHECK (one = 1), offset INTEGER);
    CREATE TABLE IF NOT EXISTS product (id TEXT PRIMARY KEY, version INTEGER, name TEXT);
    CREATE TABLE IF NOT EXISTS price (
        product_id TEXT PRIMARY KEY, revision INTEGER, observed_at TEXT, lowest INTEGER);
"""
# These two change nothing when what we have is as new.
NEWER_PRODUCT = """
    INSERT INTO product VALUES (?, ?, ?) ON CONFLICT (id) DO UPDATE SET version = excluded.version, name = excluded.name
    WHERE excluded.version > product.version"""
NEWER_PRICE = """
    INSERT INTO price VALUES (?, ?, ?, ?) ON CONFLICT (product_id) DO UPDATE
    SET revision = excluded.revision, observed_at = excluded.observed_at, lowest = excluded.lowest
    WHERE (excluded.revision, excluded.observed_at) > (price.revision, price.observed_at)"""


def moment(time: str) -> str:
    """The time with six digits after the second, as which times compare like texts."""
    whole, _, fraction = time.removesuffix("Z").partition(".")
    return f"{whole}.{fraction:0<6}Z"


def apply(event: Any, state: sqlite3.Connection) -> list[dict[str, Any]]:
    """Store what is new in the event; returns that."""
    news: list[dict[str, Any]] = []
    if not state.execute("INSERT OR IGNORE INTO seen VALUES (?)", [event["id"]]).rowcount:
        return news
    data = event["data"]
    match event["type"]:
        case "catalog.product-created.v1" | "catalog.product-updated.v1" | "catalog.product-deleted.v1":
            # A deletion has no name. Its row stays, so that what comes late does not bring the product back.
            row = [data["product_id"], data["version"], data.get("name")]
            if state.execute(NEWER_PRODUCT, row).rowcount:
                news.append({"product": data["product_id"], "version": data["version"], "name": data.get("name")})
        case "offers.offers-updated.v1":
            for update in data["updates"]:
                lowest = min((o["price"] for o in update["offers"] if o["items_in_stock"]), default=None)
                row = [update["product_id"], update["revision"], moment(update["observed_at"]), lowest]
                if state.execute(NEWER_PRICE, row).rowcount:
                    news.append({"product": update["product_id"], "revision": update["revision"], "lowest": lowest})
    return news


async def handle(message: aio_pika.abc.AbstractIncomingMessage, state: sqlite3.Connection) -> None:
    try:
        with state:  # commits, or rolls back
            if OFFSET in message.headers:  # it comes from the log
                state.execute("INSERT OR REPLACE INTO latest VALUES (1, ?)", [message.headers[OFFSET]])
            news = apply(json.loads(message.body), state)
    except (ValueError, LookupError, TypeError) as error:
        # No event of this contract. It would come back for ever, so it is put away, and the log says why.
        say(f"refused {message.message_id}: {error!r}")
        await message.reject(requeue=False)
        return
    for line in news:
        print(json.dumps(line, ensure_ascii=False), flush=True)
    await message.ack()


Start = str | int | datetime


async def own_queue(channel: aio_pika.abc.AbstractChannel, name: str) -> aio_pika.abc.AbstractQueue:
    queue = await channel.declare_queue(name, durable=True, arguments={"x-queue-type": "quorum"})
    for types in TYPES:
        await queue.bind(EXCHANGE, types)  # the exchange is not ours to declare
    return queue


def where_it_was(state: sqlite3.Connection, start: Start) -> tuple[Start, int | None]:
    """Where to begin in the log, and the offset of the last event that was handled, which is the same; or none."""
    row = state.execute("SELECT offset FROM latest").fetchone()
    if row is None:
        return start, None
    return ("first", None) if row[0] is None else (row[0], row[0])


def is_anew(message: aio_pika.abc.AbstractIncomingMessage, latest: int, state: sqlite3.Connection) -> bool:
    """Whether this is another log than the one whose event at the offset `latest` was handled."""
    offset = message.headers[OFFSET]
    if offset > latest:  # too old, or the log is another one: there is nothing before this in either
        say(f"the log no longer has offset {latest}: it begins with {offset}")
        return False
    return not state.execute("SELECT 1 FROM seen WHERE event_id = ?", [message.message_id]).fetchone()


async def subscribe(
    url: str, queue_name: str, start: Start | None, state: sqlite3.Connection, stopping: asyncio.Event
) -> None:
    """From connecting until the connection is lost, or until we are to stop."""
    async with await aio_pika.connect(url, timeout=10, heartbeat=10) as connection:
        ended = asyncio.Event()  # by the broker, or by us
        connection.close_callbacks.add(lambda *_: ended.set())
        channel = await connection.channel()
        channel.close_callbacks.add(lambda *_: ended.set())
        await channel.set_qos(prefetch_count=20)
        arguments: dict[str, Any] = {}
        latest: int | None = None
        if start is None:
            queue = await own_queue(channel, queue_name)
        else:
            queue = await channel.get_queue(LOG)
            arguments[OFFSET], latest = where_it_was(state, start)

        def begin_anew() -> None:
            say("the log was made anew: from its first event")
            with state:
                state.execute("UPDATE latest SET offset = NULL")
            ended.set()

        async def consume(message: aio_pika.abc.AbstractIncomingMessage) -> None:
            nonlocal latest
            if stopping.is_set() or ended.is_set():
                return  # back to the queue, when the connection closes
            if latest is not None and is_anew(message, latest, state):
                begin_anew()
                return
            latest = None
            try:
                await handle(message, state)
            except (*LOST, sqlite3.Error) as error:  # not acknowledged: it comes again
                say(f"not handled {message.message_id}: {error!r}")
                ended.set()

        await queue.consume(consume, arguments=arguments)
        say(f"subscribed to {queue.name}")
        if latest is not None:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(stopping.wait(), SILENCE_SECONDS)
            if latest is not None and not (stopping.is_set() or ended.is_set()):
                begin_anew()
        waiting = {asyncio.create_task(ended.wait()), asyncio.create_task(stopping.wait())}
        await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        for task in waiting:
            task.cancel()


def place(text: str) -> Start:
    """Where to begin in the log."""
    if text == "first":
        return text
    try:
        return int(text) if text.isdecimal() else datetime.fromisoformat(text)
    except ValueError:
        wanted = "must be first, an offset, or a time such as 2026-11-23T10:00:00Z"
        raise argparse.ArgumentTypeError(wanted) from None


async def main(url: str, state_file: str, queue_name: str, start: Start | None) -> None:
    stopping = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopping.set)
    state = sqlite3.connect(state_file)
    state.executescript(TABLES)
    while not stopping.is_set():
        try:
            await subscribe(url, queue_name, start, state, stopping)
        except LOST as error:
            say(f"not subscribed: {error!r}")
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(stopping.wait(), RECONNECT_SECONDS)
    state.close()


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description="Keeps the cheapest price in stock of each product, and prints what is new."
    )
    parser.add_argument("url", help="of the account for other systems, amqp://user:password@host:port/aggregator")
    parser.add_argument("state_file", nargs="?", default="subscriber.sqlite3", help="SQLite (%(default)s)")
    parser.add_argument("queue_name", nargs="?", default="subscriber.example-python", help="its own (%(default)s)")
    parser.add_argument(
        "--from",
        dest="start",
        type=place,
        metavar="WHERE",
        help="read the log, and no queue: first, an offset, or a time such as 2026-11-23T10:00:00Z",
    )
    asyncio.run(main(**vars(parser.parse_args())))
