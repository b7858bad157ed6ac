"""Slots, leases and fences, as the database keeps them."""

from collections.abc import AsyncIterator, Callable
from datetime import datetime
from uuid import UUID, uuid4

import pytest
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncEngine

from offers_sync.db.buckets import (
    ClaimedRow,
    claim_buckets,
    cut_leases,
    lock_held,
    realign_slots,
    release_buckets,
    renew_leases,
)
from offers_sync.db.engine import create_engine, transaction
from offers_sync.domain.polling import HeldBucket, ReleasedBucket

INTERVAL = 60.0
ANY_TIME = (0.0, 1e12)


class Buckets:
    """The database, and the moves that time makes in it."""

    def __init__(self, engine: AsyncEngine) -> None:
        self.engine = engine

    async def execute(self, sql: str, **parameters: object) -> sa.CursorResult[object]:
        async with transaction(self.engine) as connection:
            return await connection.execute(sa.text(sql), parameters)

    async def add(self, bucket: int, due: str = "now()", products: int = 1) -> list[UUID]:
        ids = [uuid4() for _ in range(products)]
        await self.execute(f"INSERT INTO buckets (bucket, due_at) VALUES (:bucket, {due})", bucket=bucket)  # noqa: S608
        for product_id in ids:
            await self.execute(
                "INSERT INTO polled_products (product_id, bucket) VALUES (:id, :bucket)", id=product_id, bucket=bucket
            )
        return ids

    async def claim(
        self, limit: int = 10, lease: float = 15.0, expected: tuple[float, float] = ANY_TIME
    ) -> list[ClaimedRow]:
        async with transaction(self.engine) as connection:
            _, rows = await claim_buckets(
                connection, limit=limit, interval_seconds=INTERVAL, lease_seconds=lease, expected=expected
            )
        return rows

    async def release(self, row: ClaimedRow, due: float | None = None) -> int:
        async with transaction(self.engine) as connection:
            return await release_buckets(connection, [ReleasedBucket(held(row), due)], INTERVAL)

    async def realign(self, stepped: float = 0.0) -> int:
        async with transaction(self.engine) as connection:
            _, moved = await realign_slots(connection, INTERVAL, stepped)
        return moved

    async def in_its_slot(self) -> int:
        """The bucket whose slot began a quarter of an interval ago, so that none begins while a test looks.

        None does half an interval later either: its next slot after a claim is the one in three quarters.
        """
        epoch = await self.execute("SELECT CAST(extract(epoch FROM now()) AS float8)")
        return int((float(epoch.scalar_one()) - INTERVAL / 4) % INTERVAL / INTERVAL * 4096)  # type: ignore[arg-type]

    async def due_epoch(self, bucket: int) -> float:
        result = await self.execute(
            "SELECT CAST(extract(epoch FROM due_at) AS float8) FROM buckets WHERE bucket = :b", b=bucket
        )
        return float(result.scalar_one())  # type: ignore[arg-type]

    async def orphan(self, bucket: int, slots_ago: int) -> None:
        """Let its lease have ended at the beginning of this slot, or of one before, and its due time be past."""
        phase = bucket / 4096 * INTERVAL
        await self.execute(
            "UPDATE buckets SET due_at = least(due_at, now()), leased_until = to_timestamp(:phase + :interval *"
            " (floor((extract(epoch FROM now()) - :phase) / :interval) - :slots_ago) + 0.001)"
            " WHERE bucket = :bucket",
            bucket=bucket,
            phase=phase,
            interval=INTERVAL,
            slots_ago=slots_ago,
        )

    async def due_in(self, bucket: int) -> float:
        result = await self.execute(
            "SELECT extract(epoch FROM due_at - now())::float8 FROM buckets WHERE bucket = :b".replace("::", r"\:\:"),
            b=bucket,
        )
        return float(result.scalar_one())  # type: ignore[arg-type]

    async def on_grid(self, bucket: int) -> bool:
        result = await self.execute("SELECT due_at FROM buckets WHERE bucket = :b", b=bucket)
        due: datetime = result.scalar_one()  # type: ignore[assignment]
        phase = bucket / 4096 * INTERVAL
        return abs((due.timestamp() - phase + INTERVAL / 2) % INTERVAL - INTERVAL / 2) < 1e-3


def held(row: ClaimedRow) -> HeldBucket:
    return HeldBucket(row.bucket, row.fence, row.slot, 0.0)


@pytest.fixture
async def buckets(migrated: str, make_database: Callable[..., str]) -> AsyncIterator[Buckets]:
    engine = create_engine(make_database(template=migrated))
    yield Buckets(engine)
    await engine.dispose()


async def test_a_claim_takes_what_is_due_and_moves_it_to_its_next_slot(buckets: Buckets) -> None:
    ids = await buckets.add(1000, products=3)
    await buckets.add(2000, due="now() + interval '1 h'")
    rows = await buckets.claim()
    assert {row.product_id for row in rows} == set(ids)
    assert {(row.bucket, row.fence, row.orphaned) for row in rows} == {(1000, 1, False)}
    assert INTERVAL / 2 - 10 < await buckets.due_in(1000) <= INTERVAL * 1.5
    assert await buckets.on_grid(1000)
    assert await buckets.claim() == [], "it is leased, and its slot is taken"


async def test_a_bucket_claimed_late_skips_a_slot_that_would_follow_within_half_an_interval(buckets: Buckets) -> None:
    for bucket in range(0, 4096, 16):
        await buckets.add(bucket)
    await buckets.execute("UPDATE buckets SET due_at = now() - interval '1 s'")
    await buckets.claim(limit=4096)
    # The moment of the claim is where the lease began.
    result = await buckets.execute(
        "SELECT min(extract(epoch FROM wait)), max(extract(epoch FROM wait))"
        " FROM (SELECT due_at - (leased_until - interval '15 s') AS wait FROM buckets) AS waits"
    )
    soonest, latest = map(float, result.one())  # type: ignore[arg-type]
    assert INTERVAL * 0.5 <= soonest < INTERVAL * 0.55
    assert INTERVAL * 1.45 < latest <= INTERVAL * 1.5, "spread over a whole interval"


async def test_longest_due_comes_first_and_an_empty_bucket_is_left_alone(buckets: Buckets) -> None:
    await buckets.add(1, due="now() - interval '1 s'")
    await buckets.add(2, due="now() - interval '2 s'")
    await buckets.add(3, due="now() - interval '3 s'", products=0)
    assert [row.bucket for row in await buckets.claim(limit=1)] == [2]
    assert [row.bucket for row in await buckets.claim()] == [1]


async def test_an_expired_lease_is_taken_over_in_the_next_slot_as_an_orphan(buckets: Buckets) -> None:
    await buckets.add(5)
    (row,) = await buckets.claim()
    await buckets.execute("UPDATE buckets SET leased_until = now() - interval '1 s'")
    assert await buckets.claim() == [], "its slot may have been polled by who held it"
    await buckets.orphan(5, slots_ago=1)
    (orphan,) = await buckets.claim()
    assert (orphan.fence, orphan.orphaned) == (row.fence + 1, True)

    async with transaction(buckets.engine) as connection:
        assert await renew_leases(connection, [held(row)], 15) == set()
        assert await lock_held(connection, [held(row), held(orphan)]) == {(5, orphan.fence)}
    await buckets.release(row)
    await buckets.execute("UPDATE buckets SET due_at = now()")
    assert await buckets.claim() == [], "who lost it can't release it"
    await buckets.release(orphan)
    await buckets.execute("UPDATE buckets SET due_at = now()")
    (again,) = await buckets.claim()
    assert not again.orphaned


async def test_a_bucket_held_over_a_slot_boundary_by_a_worker_that_died_is_not_polled_again_in_that_slot(
    buckets: Buckets,
) -> None:
    bucket = await buckets.in_its_slot()
    await buckets.add(bucket, due="now() - interval '3 minutes'")
    await buckets.claim()
    await buckets.execute("UPDATE buckets SET due_at = now() - interval '2 minutes'")
    await buckets.orphan(bucket, slots_ago=0)
    assert await buckets.claim() == [], "its holder may have called in this slot"
    await buckets.orphan(bucket, slots_ago=1)
    (orphan,) = await buckets.claim()
    epoch = await buckets.execute("SELECT extract(epoch FROM now())")
    assert 0 <= float(epoch.scalar_one()) - orphan.slot < INTERVAL + 10  # type: ignore[arg-type]


async def test_a_clock_set_back_leaves_nothing_leased_or_waiting_for_the_length_of_the_step(buckets: Buckets) -> None:
    await buckets.add(5)
    (row,) = await buckets.claim()
    await buckets.execute("UPDATE buckets SET due_at = due_at + interval '1 h', leased_until = now() + interval '1 h'")
    assert await buckets.realign() == 1
    assert await buckets.due_in(5) <= INTERVAL
    async with transaction(buckets.engine) as connection:
        assert await cut_leases(connection, 15) == 1
        assert await cut_leases(connection, 15) == 0
    left = await buckets.execute("SELECT extract(epoch FROM leased_until - now()) FROM buckets")
    assert 5 < float(left.scalar_one()) <= 15, "whoever holds it may live"  # type: ignore[arg-type]

    await buckets.execute("UPDATE buckets SET due_at = due_at + interval '1 h'")
    await buckets.release(row)
    assert await buckets.due_in(5) <= 1.5 * INTERVAL, "it could not be moved while it was locked, but now it is"


@pytest.mark.parametrize("step", [3617.0, -3617.0])
@pytest.mark.parametrize("left", [5.0, 30.0, 55.0])
async def test_a_clock_that_is_stepped_has_nothing_polled_too_soon(buckets: Buckets, step: float, left: float) -> None:
    await buckets.add(9, due=f"now() + make_interval(secs => {left - step})")
    polled_at = await buckets.due_epoch(9) + step - INTERVAL
    assert await buckets.realign(step) == 1
    assert INTERVAL / 2 - 1e-3 <= await buckets.due_epoch(9) - polled_at <= 2 * INTERVAL
    assert await buckets.on_grid(9)


async def test_slots_that_passed_meanwhile_are_skipped_and_counted(buckets: Buckets) -> None:
    bucket = await buckets.in_its_slot()
    await buckets.add(bucket)
    (row,) = await buckets.claim()
    assert await buckets.release(row) == 0
    await buckets.execute("UPDATE buckets SET due_at = now()")
    (row,) = await buckets.claim()
    await buckets.execute("UPDATE buckets SET due_at = due_at - interval '3 minutes'")
    assert await buckets.release(row) == 3
    assert INTERVAL / 2 - 10 < await buckets.due_in(bucket) <= 1.5 * INTERVAL


async def test_a_late_renewal_does_not_take_a_released_bucket_back(buckets: Buckets) -> None:
    await buckets.add(7)
    (row,) = await buckets.claim()
    await buckets.release(row)
    async with transaction(buckets.engine) as connection:
        assert await renew_leases(connection, [held(row)], 15) == set()
    await buckets.execute("UPDATE buckets SET due_at = now()")
    (again,) = await buckets.claim()
    assert not again.orphaned


async def test_a_bucket_can_keep_its_slot(buckets: Buckets) -> None:
    await buckets.add(7, due="now() - interval '2 s'")
    (row,) = await buckets.claim()
    await buckets.release(row, row.slot)
    (again,) = await buckets.claim()
    assert abs(again.slot - row.slot) < 1e-3


@pytest.mark.parametrize("due", ["now() + interval '1 hour'", "now() - interval '1 hour'", "now() + interval '10 s'"])
async def test_due_times_that_are_no_slots_are_realigned(buckets: Buckets, due: str) -> None:
    await buckets.add(9, due=due)
    assert await buckets.realign() == 1
    assert -10 < await buckets.due_in(9) <= INTERVAL, "the slot may begin while a busy machine looks"
    assert await buckets.on_grid(9)
    assert await buckets.realign() == 0


async def test_a_bucket_late_by_less_than_a_slot_stays_due(buckets: Buckets) -> None:
    await buckets.add(await buckets.in_its_slot())
    (row,) = await buckets.claim()
    await buckets.release(row)
    await buckets.execute("UPDATE buckets SET due_at = due_at - make_interval(secs => :interval)", interval=INTERVAL)
    assert await buckets.realign() == 0
    assert len(await buckets.claim()) == 1


async def test_nothing_is_claimed_by_a_clock_that_was_stepped(buckets: Buckets) -> None:
    await buckets.add(3)
    assert await buckets.claim(expected=(0.0, 1e9)) == []
    assert await buckets.claim(expected=(1e11, 1e12)) == []
    assert len(await buckets.claim()) == 1


async def test_two_claims_at_once_share_the_buckets(buckets: Buckets) -> None:
    for bucket in range(20):
        await buckets.add(bucket)
    async with transaction(buckets.engine) as connection:
        _, first = await claim_buckets(
            connection, limit=10, interval_seconds=INTERVAL, lease_seconds=15, expected=ANY_TIME
        )
        second = await buckets.claim(limit=20)
    assert len(first) == len(second) == 10
    assert not {row.bucket for row in first} & {row.bucket for row in second}
