"""Connections of asyncpg: a pool that costs next to nothing to borrow from, and the right to write over one."""

from connection_pool.pool import Connection, ConnectionPool
from connection_pool.writers import OtherWriterError, Writer, write_as

__all__ = ["Connection", "ConnectionPool", "OtherWriterError", "Writer", "write_as"]
