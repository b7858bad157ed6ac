"""Handles messages that wait together, as the fixed cost of handling, a transaction say, is most of a small one's."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Final, Generic, TypeVar

MAX_TOGETHER: Final = 1000
"""Items in one go, unless a single message has more."""

K = TypeVar("K")
V = TypeVar("V")


class Together(Generic[K, V]):
    """Joins messages that have arrived while others were being handled; nobody waits for company.

    A message is its items by key. Messages are handled in the order of arrival, and no two that share a key at once. If
    several fail together, the first of them is tried by itself, so that only one that can't be handled fails.

    Args:
        handle: handles the items of one message or of several.
    """

    def __init__(self, handle: Callable[[Mapping[K, V]], Awaitable[None]]) -> None:
        self._handle = handle
        self._turn = asyncio.Lock()
        self._arrived: list[dict[K, V]] = []

    async def __call__(self, message: dict[K, V]) -> None:
        """Return when all of it is handled; raises what handling it raises."""
        self._arrived.append(message)
        try:
            # Turns are taken in the order of arrival, so whoever has one finds its own message first, if at all.
            async with self._turn:
                if any(message is waiting for waiting in self._arrived):
                    await self._handle_first()
        finally:
            self._forget([message])

    async def _handle_first(self) -> None:
        together = self._without_a_key_twice()
        try:
            await self._handle(_joined(together))
        except Exception:
            if len(together) == 1:
                raise
            together = together[:1]
            await self._handle(together[0])
        self._forget(together)

    def _without_a_key_twice(self) -> list[dict[K, V]]:
        together: list[dict[K, V]] = []
        keys: set[K] = set()
        for message in self._arrived:
            if together and (len(keys) + len(message) > MAX_TOGETHER or not keys.isdisjoint(message)):
                break
            together.append(message)
            keys |= message.keys()
        return together

    def _forget(self, messages: list[dict[K, V]]) -> None:
        self._arrived = [waiting for waiting in self._arrived if not any(waiting is message for message in messages)]


def _joined(messages: Iterable[Mapping[K, V]]) -> dict[K, V]:
    joined: dict[K, V] = {}
    for message in messages:
        joined.update(message)
    return joined
