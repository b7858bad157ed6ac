"""Results are collected, handed over together, and counted while nobody takes them."""

from offers_sync.use_cases.crew import Chunks


async def test_what_nobody_takes_is_counted() -> None:
    chunks: Chunks[int] = Chunks(size=3, seconds=60)
    for item in range(3):
        chunks.add(item)
    assert chunks.waiting == 3
    assert await chunks.next() == [0, 1, 2]
    assert chunks.waiting == 0


async def test_a_few_are_handed_over_when_the_first_has_waited_long_enough() -> None:
    chunks: Chunks[int] = Chunks(size=3, seconds=0.01)
    chunks.add(1)
    assert await chunks.next() == [1]


async def test_once_closed_it_hands_over_the_rest_and_then_nothing() -> None:
    chunks: Chunks[int] = Chunks(size=3, seconds=60)
    chunks.add(1)
    chunks.close()
    assert await chunks.next() == [1]
    assert await chunks.next() == []
