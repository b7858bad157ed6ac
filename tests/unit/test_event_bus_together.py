"""Messages that wait are handled together, each once, in the order of arrival."""

import asyncio
from collections.abc import Mapping

import pytest

from event_bus import Together
from event_bus.together import MAX_TOGETHER


class Handled:
    """Remembers what it was given, each time after a moment in which more can arrive; one key can't be handled."""

    def __init__(self, cursed: int | None = None) -> None:
        self.batches: list[dict[int, str]] = []
        self._cursed = cursed

    async def __call__(self, items: Mapping[int, str]) -> None:
        self.batches.append(dict(items))
        await asyncio.sleep(0)
        if self._cursed in items:
            raise ValueError("cursed")


async def test_the_first_waits_for_nobody_and_the_others_for_it() -> None:
    handled = Handled()
    together = Together(handled)
    await asyncio.gather(*(together({key: "a"}) for key in range(4)))
    assert handled.batches == [{0: "a"}, {1: "a", 2: "a", 3: "a"}]


async def test_messages_that_share_a_key_keep_their_order() -> None:
    handled = Handled()
    together = Together(handled)
    messages = [{0: "a"}, {1: "a", 2: "a"}, {3: "a"}, {2: "b"}, {4: "a"}]
    await asyncio.gather(*(together(message) for message in messages))
    assert handled.batches == [{0: "a"}, {1: "a", 2: "a", 3: "a"}, {2: "b", 4: "a"}]


async def test_no_more_than_so_many_items_are_joined_but_one_message_may_have_more() -> None:
    handled = Handled()
    together = Together(handled)
    large = dict.fromkeys(range(MAX_TOGETHER + 1), "a")
    await asyncio.gather(*(together(message) for message in ({-1: "a"}, large, {-2: "a"}, {-3: "a"})))
    assert handled.batches == [{-1: "a"}, large, {-2: "a", -3: "a"}]


async def test_only_the_message_that_fails_fails() -> None:
    handled = Handled(cursed=2)
    together = Together(handled)
    outcomes = await asyncio.gather(*(together({key: "a"}) for key in range(4)), return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [type(None), type(None), ValueError, type(None)]
    assert handled.batches[-1] == {3: "a"}


async def test_a_message_that_is_given_up_is_not_handled_later() -> None:
    batches: list[dict[int, str]] = []
    begun, may_end = asyncio.Event(), asyncio.Event()

    async def handle(items: Mapping[int, str]) -> None:
        batches.append(dict(items))
        begun.set()
        await may_end.wait()

    together = Together(handle)
    first = asyncio.create_task(together({0: "a"}))
    await begun.wait()
    given_up = asyncio.create_task(together({1: "a"}))
    await asyncio.sleep(0)
    given_up.cancel()
    with pytest.raises(asyncio.CancelledError):
        await given_up
    may_end.set()
    await first
    await together({2: "a"})
    assert batches == [{0: "a"}, {2: "a"}]
