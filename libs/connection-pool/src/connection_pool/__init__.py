"""A pool of asyncpg connections that costs next to nothing to borrow from."""

from connection_pool.pool import Connection, ConnectionPool

__all__ = ["Connection", "ConnectionPool"]
