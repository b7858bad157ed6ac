"""Following the log on a real broker: joining it anywhere loses nothing and repeats nothing."""

import asyncio
import json
import random
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, field

import pytest
from tests.integration.processes import eventually

from catalog_api.domain.errors import LogUnavailableError
from catalog_api.domain.streams import Gap, StreamEnd, StreamEndedError
from catalog_api.live.event import LiveEvent
from catalog_api.live.tail import LiveTail
from catalog_api.use_cases import follow_events
from catalog_api.use_cases.follow_events import CATCHING_UP_MAX, FollowEvents, Following, Progress
from event_bus import EventLog, EventPublisher

from .event_streams import created, fill_until_dropped, small_log

SECONDS = 0.2
SMALL_RING = 20_000
"""Bytes; some fifty events of `created`, twenty of `small_log`."""


@asynccontextmanager
async def live_tail(url: str, *, idle_seconds: float = 60) -> AsyncIterator[LiveTail]:
    async with LiveTail(EventLog(url, prefetch=5), ring_bytes=SMALL_RING, idle_seconds=idle_seconds) as live:
        yield live


@pytest.fixture
async def publisher(rabbitmq_url: str) -> AsyncIterator[EventPublisher]:
    publisher = EventPublisher(rabbitmq_url)
    await publisher.start()
    yield publisher
    await publisher.stop()


async def take(following: Following, count: int) -> list[LiveEvent | Gap]:
    """What it is told, up to so many events."""
    async with asyncio.timeout(60), aclosing(following.progress(SECONDS)) as progress:
        return await taken(progress, count)


async def taken(progress: AsyncGenerator[Progress | Gap], count: int) -> list[LiveEvent | Gap]:
    """The next of what it is told, so many events at least."""
    told: list[LiveEvent | Gap] = []
    while len(told) < count:
        step = await anext(progress)
        told += [step] if isinstance(step, Gap) else step.events
    return told


def offsets(told: list[LiveEvent | Gap]) -> list[int]:
    found = [item.offset for item in told if isinstance(item, LiveEvent)]
    assert len(found) == len(told), told
    return found


@dataclass
class Wanderer:
    """Follows the log from somewhere to its end, with breaks anywhere on the way."""

    follow: FollowEvents
    dice: random.Random
    last: int
    seen: list[LiveEvent] = field(default_factory=list)
    cut_off: list[StreamEnd] = field(default_factory=list)

    async def wander(self, publishing: asyncio.Task[list[str]]) -> None:
        while not self._is_through(publishing):
            try:
                await self._go(publishing)
            except StreamEndedError as ended:
                self.cut_off.append(ended.reason)

    async def _go(self, publishing: asyncio.Task[list[str]]) -> None:
        until = len(self.seen) + self.dice.randint(1, 400)
        async with aclosing((await self.follow.after(self.last)).progress(SECONDS)) as progress:
            async for step in progress:
                assert not isinstance(step, Gap)
                self.seen += step.events
                self.last = step.position - 1
                if self.dice.random() < 0.1:
                    await asyncio.sleep(self.dice.random() / 100)  # slower than some
                if len(self.seen) >= until or self._is_through(publishing):
                    return

    def _is_through(self, publishing: asyncio.Task[list[str]]) -> bool:
        return publishing.done() and self.last == len(publishing.result()) - 1


async def publish(publisher: EventPublisher, ids: list[str], total: int, dice: random.Random) -> list[str]:
    while len(ids) < total:
        events = [created() for _ in range(dice.randint(1, 20))]
        ids.extend(event.id for event in events)
        await publisher.publish(events)
    return ids


@pytest.mark.parametrize("seed", range(3))
async def test_clients_that_come_and_go_anywhere_see_every_event_once(
    rabbitmq_url: str, publisher: EventPublisher, seed: int
) -> None:
    def dice(of: object) -> random.Random:
        return random.Random(f"{seed} {of}")  # noqa: S311 - to be repeated

    before = await publish(publisher, [], 300, dice("past"))
    begins = [dice(f"begin {number}").randrange(-1, 300) for number in range(20)]
    async with live_tail(rabbitmq_url) as live, asyncio.timeout(240):
        publishing = asyncio.create_task(publish(publisher, before, 1500, dice("present")))
        wanderers = [Wanderer(FollowEvents(live), dice(number), begin) for number, begin in enumerate(begins)]
        await asyncio.gather(*(wanderer.wander(publishing) for wanderer in wanderers))
        published = await publishing
    for begin, wanderer in zip(begins, wanderers, strict=True):
        assert [event.offset for event in wanderer.seen] == list(range(begin + 1, len(published)))
        assert [json.loads(event.body)["id"] for event in wanderer.seen] == published[begin + 1 :]
        assert set(wanderer.cut_off) <= {StreamEnd.BEHIND}


async def test_who_is_slower_than_the_events_is_cut_off_and_the_others_are_not(
    rabbitmq_url: str, publisher: EventPublisher
) -> None:
    async with live_tail(rabbitmq_url) as live, asyncio.timeout(60):
        follow = FollowEvents(live)
        slow, quick = (await follow.from_now()).progress(SECONDS), (await follow.from_now()).progress(SECONDS)
        async with aclosing(slow), aclosing(quick):
            for progress in (slow, quick):
                await anext(progress)
                await anext(progress)  # from here on it is with the latest events
            told: list[LiveEvent | Gap] = []
            while len(told) < 200:
                await publisher.publish([created() for _ in range(10)])  # at most, so that the quick one keeps up
                told += await taken(quick, 10)
            assert offsets(told) == list(range(200))
            with pytest.raises(StreamEndedError) as ended:
                await anext(slow)
        assert ended.value.reason is StreamEnd.BEHIND
        # It comes again with what it has, and is in time.
        assert offsets(await take(await follow.after(-1), 200)) == list(range(200))


async def test_a_reader_of_the_past_that_the_log_overtakes_is_told_of_one_gap(rabbitmq_url: str) -> None:
    async with small_log(rabbitmq_url) as fill, live_tail(rabbitmq_url) as live, asyncio.timeout(60):
        await fill(200)
        following = await FollowEvents(live).from_first()
        seen: list[int] = []
        gaps: list[Gap] = []
        async with aclosing(following.progress(SECONDS)) as progress:
            while len(seen) < 10:
                step = await anext(progress)
                assert not isinstance(step, Gap)
                seen += [event.offset for event in step.events]
            extent = await fill_until_dropped(rabbitmq_url, fill, 400)
            while seen[-1] < extent.last:
                if isinstance(step := await anext(progress), Gap):
                    gaps.append(step)
                else:
                    seen += [event.offset for event in step.events]
        # What was dropped by then is one gap. What the log drops a moment later is another.
        assert gaps
        for number, gap in enumerate(gaps):
            assert gap.missed_from is not None
            assert gap.missed_to is not None
            assert gap.missed_to >= extent.first - 1
            assert gap.position == gap.missed_to + 1
            assert not set(seen) & set(range(gap.missed_from, gap.missed_to + 1))
            ends = [before.missed_to for before in gaps[:number]]
            assert gap.missed_from - 1 in [*seen, *ends]
            assert gap.position in [*seen, *(after.missed_from for after in gaps[number + 1 :])]


async def test_as_many_read_the_past_at_once_as_may_and_the_others_wait(
    rabbitmq_url: str, publisher: EventPublisher
) -> None:
    await publisher.publish([created() for _ in range(300)])
    async with live_tail(rabbitmq_url) as live, asyncio.timeout(60):
        follow = FollowEvents(live)
        reading = [(await follow.from_first()).progress(SECONDS) for _ in range(CATCHING_UP_MAX)]
        for progress in reading:
            await anext(progress)
            await anext(progress)
        waiting = (await follow.from_first()).progress(SECONDS)
        for _ in range(3):  # it is told where it is, so that its connection lives
            step = await anext(waiting)
            assert not isinstance(step, Gap)
            assert (step.events, step.position) == ((), 0)
        await reading.pop().aclose()
        step = await anext(waiting)
        assert not isinstance(step, Gap)
        assert [event.offset for event in step.events] == [0]
        for progress in [*reading, waiting]:
            await progress.aclose()


async def test_an_id_that_another_process_was_ahead_with_is_no_gap(
    rabbitmq_url: str, publisher: EventPublisher, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(follow_events, "LAG_SECONDS", 30.0)  # this one lags by however long publishing takes here
    await publisher.publish([created()])
    async with live_tail(rabbitmq_url) as live, asyncio.timeout(60):
        follow = FollowEvents(live)
        await follow.from_now()
        resuming = asyncio.ensure_future(follow.after(1))
        await asyncio.sleep(0)
        await publisher.publish([created(), created()])
        assert offsets(await take(await resuming, 1)) == [2]


async def test_the_log_is_not_read_while_nobody_follows(rabbitmq_url: str, publisher: EventPublisher) -> None:
    await publisher.publish([created()])
    async with live_tail(rabbitmq_url, idle_seconds=0.3) as live:
        tail = await live.current()
        with live.followed(tail):
            for _ in range(3):
                await publisher.publish([created()])
                await tail.wait(tail.ring.end, 0.3)
            assert await live.current() is tail

        async def left() -> bool:
            return tail.ended is StreamEnd.LEFT

        await eventually(left)
        again = await live.current()
        assert again is not tail
        assert again.has(0), "what was published before is recalled"


async def test_a_draining_process_ends_all_streams_at_once_and_begins_none(
    rabbitmq_url: str, publisher: EventPublisher
) -> None:
    await publisher.publish([created()])
    async with live_tail(rabbitmq_url) as live, asyncio.timeout(20):
        follow = FollowEvents(live)
        async with aclosing((await follow.from_now()).progress(60)) as progress:
            await anext(progress)
            waiting = asyncio.ensure_future(anext(progress))
            await asyncio.sleep(0)
            live.drain()
            with pytest.raises(StreamEndedError) as ended:
                await waiting
        assert ended.value.reason is StreamEnd.DRAINING
        with pytest.raises(LogUnavailableError):
            await follow.from_now()
