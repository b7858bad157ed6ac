"""Who writes what is made from events: any number of workers, or one rebuild, and never both.

A lock of the database's session, which a connection takes before anything else and keeps for as long as it lives:
whatever is written over it is written by right. A transaction-pooling proxy keeps no such locks.
"""

from enum import Enum
from typing import Final

from connection_pool.pool import Connection

_LOCK_KEY: Final = 0x7772_6974
"""The advisory lock; the letters of `writ`."""


class Writer(Enum):
    """What a process is to the database that it writes to."""

    WORKER = "SELECT pg_try_advisory_lock_shared($1)"
    REBUILD = "SELECT pg_try_advisory_lock($1)"


class OtherWriterError(ConnectionError):
    """A rebuild is under way; or, for a rebuild, a worker or another rebuild is connected."""


async def write_as(connection: Connection, writer: Writer) -> None:
    """Take the right to write for as long as this connection lives; it is closed where that fails.

    Raises:
        OtherWriterError: someone else has it.
    """
    try:
        granted = await connection.fetchval(writer.value, _LOCK_KEY)
    except BaseException:
        connection.terminate()
        raise
    if not granted:
        connection.terminate()
        raise OtherWriterError(f"no {writer.name.lower()} may write now")
