"""Publishes what is in the outbox, in order, and deletes each row only after the broker has confirmed it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final, TypeAlias

import asyncpg
import structlog
from prometheus_client import Gauge

from event_bus import EventPublisher, OutgoingEvent, PublishError
from lifecycle import wait_for_any
from outbox.table import CHANNEL

LOCK_KEY: Final = 0x6F7574626F78
"""The advisory lock of the one relay that publishes; the letters of `outbox`."""
BATCH: Final = 200
BATCH_BYTES: Final = 2**21
"""Bodies in one batch, but for the last one: on their way they are in memory several times."""
STANDBY_SECONDS: Final = 1.0
POLL_SECONDS: Final = 5.0
"""How long a row whose notification went astray may lie."""
PATIENCE_SECONDS: Final = 1.0
"""How long a publish may go on after the relay was asked to stop; what is not confirmed stays in the outbox."""
FROZEN_SECONDS: Final = 30
"""The database ends the session of a relay that says nothing for so long, so that another one takes over."""
FIRST_BACKOFF_SECONDS: Final = 0.1
LAST_BACKOFF_SECONDS: Final = 5.0

_log = structlog.get_logger()
pending = Gauge("aggregator_outbox_pending_events", "Events not yet confirmed by the broker; known by the active relay")
oldest = Gauge("aggregator_outbox_oldest_seconds", "Age of the oldest event not yet confirmed by the broker")

# To know the length of a body PostgreSQL need not read it.
_OLDEST: Final = """
SELECT id, event_id, type, body, age, waiting FROM (
  SELECT id, event_id, type, body, greatest(extract(epoch FROM now() - created_at), 0)::float8 AS age,
         count(*) OVER () AS waiting, sum(octet_length(body)) OVER (ORDER BY id) - octet_length(body) AS bytes_before
  FROM (SELECT * FROM outbox ORDER BY id LIMIT $1) AS oldest
) AS oldest WHERE bytes_before < $2 ORDER BY id
"""

_Session: TypeAlias = "asyncpg.Connection[asyncpg.Record]"


class UnmigratedError(Exception):
    """No migration made the outbox yet."""


class OutboxRelay:
    """The relay of one database. Any number may run; one publishes, the others stand by.

    All that it does to the database goes over the one session that holds the lock, so a relay that has lost the lock
    can't go on. A direct connection is needed: a transaction-pooling proxy keeps neither locks nor notifications.

    Args:
        dsn: the database, as libpq takes it.
        publisher: publishes in order and returns when all is confirmed.
    """

    def __init__(self, dsn: str, publisher: EventPublisher) -> None:
        self._dsn = dsn
        self._publisher = publisher

    async def run(self, stopping: asyncio.Event) -> None:
        """Relay until `stopping` is set.

        Raises:
            OSError, asyncpg.PostgresError, asyncpg.InterfaceError: the database session ended; start again.
            UnmigratedError: there is no outbox; start again, too.
        """
        async with self._session() as session:
            if not await self._become_the_one(session, stopping):
                return
            _log.info("outbox_relay_active")
            wake = asyncio.Event()
            await session.add_listener(CHANNEL, lambda *_: wake.set())
            session.add_termination_listener(lambda *_: wake.set())
            while not stopping.is_set():
                wake.clear()
                if not await self._relay_batch(session, stopping):
                    await wait_for_any(stopping, wake, seconds=POLL_SECONDS)

    @asynccontextmanager
    async def _session(self) -> AsyncIterator[_Session]:
        session: _Session = await asyncpg.connect(
            self._dsn,
            timeout=5,
            command_timeout=20,
            server_settings={
                "application_name": "outbox-relay",
                "idle_session_timeout": f"{FROZEN_SECONDS}s",
                "statement_timeout": "15s",
            },
        )
        try:
            yield session
        finally:
            try:
                await session.close(timeout=2)
            except (TimeoutError, OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
                session.terminate()

    async def _become_the_one(self, session: _Session, stopping: asyncio.Event) -> bool:
        while not stopping.is_set():
            if await session.fetchval("SELECT pg_try_advisory_lock($1)", LOCK_KEY):
                return True
            await wait_for_any(stopping, seconds=STANDBY_SECONDS)
        return False

    async def _relay_batch(self, session: _Session, stopping: asyncio.Event) -> bool:
        """Publish the oldest rows; whether there were any, and so may be more."""
        # Always from the lowest id, never after the last one seen: ids commit out of order.
        try:
            rows = await session.fetch(_OLDEST, BATCH, BATCH_BYTES)
        except asyncpg.UndefinedTableError as error:
            raise UnmigratedError("the database is not migrated") from error
        await self._measure(session, rows)
        if not rows:
            return False
        events = [OutgoingEvent(row["event_id"], row["type"], row["body"].encode()) for row in rows]
        backoff = FIRST_BACKOFF_SECONDS
        while not await self._published(events, session, stopping):
            if await wait_for_any(stopping, seconds=backoff):
                return False
            backoff = min(backoff * 2, LAST_BACKOFF_SECONDS)
            await self._show_life(session)
        await session.execute("DELETE FROM outbox WHERE id = ANY($1::bigint[])", [row["id"] for row in rows])
        return True

    async def _published(self, events: list[OutgoingEvent], session: _Session, stopping: asyncio.Event) -> bool:
        publishing = asyncio.create_task(self._publisher.send(events))
        try:
            # A broker that blocks publishers may take minutes.
            while not (await asyncio.wait([publishing], timeout=PATIENCE_SECONDS))[0]:
                if stopping.is_set():
                    return False
                await self._show_life(session)
            await publishing
        except PublishError as error:
            _log.warning("outbox_publish_failed", events=len(events), error=str(error))
            return False
        finally:
            publishing.cancel()
        return True

    async def _show_life(self, session: _Session) -> None:
        """Speak to the database, which shows that the lock is still held, and that this relay is not frozen."""
        await session.execute("SELECT 1")

    async def _measure(self, session: _Session, rows: list[asyncpg.Record]) -> None:
        waiting = rows[0]["waiting"] if rows else 0
        pending.set(await session.fetchval("SELECT count(*) FROM outbox") if waiting == BATCH else waiting)
        oldest.set(rows[0]["age"] if rows else 0)
