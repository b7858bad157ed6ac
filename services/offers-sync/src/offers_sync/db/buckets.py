"""Buckets of products and their slots: a bucket is due at the instants bucket/4096 x interval (modulo the interval).

Every time here is the database's. A claim moves a bucket to its next slot at once, and a bucket that was never released
is due at the first slot after its lease, until which its holder may have called. So whatever becomes of the worker that
claimed it, nothing is polled twice in a slot.
"""

from collections.abc import Sequence
from typing import Final, NamedTuple
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from offers_sync.db.models import BUCKETS
from offers_sync.domain.polling import HeldBucket, ReleasedBucket

_INTERVAL: Final = "CAST(:interval AS float8)"
_LEASE: Final = "make_interval(secs => CAST(:lease AS float8))"
_PHASE: Final = f"(CAST(bucket AS float8) / {BUCKETS} * {_INTERVAL})"


def _epoch(moment: str) -> str:
    return f"CAST(extract(epoch FROM {moment}) AS float8)"


def _slot_after(moment: str) -> str:
    return f"to_timestamp({_PHASE} + {_INTERVAL} * (floor(({_epoch(moment)} - {_PHASE}) / {_INTERVAL}) + 1))"


_NOW: Final = _epoch("now()")
# The millisecond keeps rounding from giving a bucket the slot that has just begun once more.
NEXT_SLOT: Final = _slot_after("(now() + interval '1 ms')")
"""SQL: the first slot of column `bucket` after now, for the parameter `interval` in seconds."""
# A bucket that is claimed or released late, after an outage, a restart or a step of the clock, skips the slot that
# would follow within half an interval.
_SLOT_AFTER_CLAIM: Final = _slot_after(f"(now() + make_interval(secs => {_INTERVAL} / 2))")

# No slot is further ahead than a late claim goes, unless the clock was set back.
_TOO_FAR: Final = f"due_at > now() + make_interval(secs => 1.5 * {_INTERVAL})"
_SLOTS_SINCE_EPOCH: Final = f"(({_epoch('due_at')} - {_PHASE}) / {_INTERVAL})"

# After a step of the clock the time at which it would have been due, moved by the step, tells when it was polled last:
# half an interval before that time, no slot follows the last one too soon.
_REALIGNED_SLOT: Final = _slot_after(
    f"""CASE WHEN CAST(:stepped AS float8) = 0 THEN now() + interval '1 ms' ELSE greatest(
        now() + interval '1 ms', least(
            now() + make_interval(secs => {_INTERVAL}),
            due_at + make_interval(secs => CAST(:stepped AS float8) - {_INTERVAL} / 2)
        )) END"""
)
_REALIGN: Final = sa.text(
    f"""
    WITH astray AS (
        SELECT bucket, {_REALIGNED_SLOT} AS next FROM buckets
        WHERE {_TOO_FAR}
            OR due_at <= now() - make_interval(secs => {_INTERVAL})
            OR abs({_SLOTS_SINCE_EPOCH} - round({_SLOTS_SINCE_EPOCH})) * {_INTERVAL} > 0.001
        ORDER BY bucket FOR UPDATE SKIP LOCKED
    ), moved AS (
        UPDATE buckets SET due_at = astray.next FROM astray WHERE buckets.bucket = astray.bucket
        RETURNING 1
    )
    SELECT {_NOW} AS epoch, count(*) AS moved FROM moved
    """  # noqa: S608 - constants
)
_CUT_LEASES: Final = sa.text(
    f"""
    WITH too_long AS (
        SELECT bucket FROM buckets WHERE leased_until > now() + {_LEASE} ORDER BY bucket FOR UPDATE SKIP LOCKED
    )
    UPDATE buckets SET leased_until = now() + {_LEASE} FROM too_long WHERE buckets.bucket = too_long.bucket
    """  # noqa: S608 - constants
)

# 4096 narrow rows at most, scanned in about half a millisecond; an index on due_at would cost every update more.
_CLAIM: Final = sa.text(
    f"""
    WITH due AS (
        SELECT bucket, leased_until, greatest(due_at, {_slot_after("leased_until")}) AS slot,
            {_SLOT_AFTER_CLAIM} AS next_slot
        FROM buckets
        WHERE due_at <= now() AND (leased_until IS NULL OR {_slot_after("leased_until")} <= now())
            AND {_NOW} BETWEEN :earliest AND :latest
            AND EXISTS (SELECT FROM polled_products WHERE polled_products.bucket = buckets.bucket AND active)
        ORDER BY due_at LIMIT :limit
        FOR UPDATE SKIP LOCKED
    ), claimed AS (
        UPDATE buckets
        SET fence = buckets.fence + 1, leased_until = now() + {_LEASE}, due_at = due.next_slot
        FROM due WHERE buckets.bucket = due.bucket
        RETURNING buckets.bucket, buckets.fence, {_epoch("due.slot")} AS slot,
            due.leased_until IS NOT NULL AS orphaned
    )
    SELECT {_NOW} AS epoch, claimed.*, product_id, digest, body_digest, revision
    FROM (SELECT 1) AS always
    LEFT JOIN claimed ON true
    LEFT JOIN polled_products ON polled_products.bucket = claimed.bucket AND active
    ORDER BY slot
    """  # noqa: S608 - constants
)

_HELD: Final = """
    WITH held AS (
        SELECT bucket, fence FROM buckets
        JOIN unnest(CAST(:buckets AS integer[]), CAST(:fences AS bigint[])) AS claim (bucket, fence)
            USING (bucket, fence)
        WHERE leased_until IS NOT NULL
        ORDER BY bucket FOR UPDATE OF buckets
    )
"""
_LOCK_HELD: Final = sa.text(f"{_HELD} SELECT bucket, fence FROM held")  # noqa: S608 - constants
_RENEW: Final = sa.text(
    f"""
    {_HELD}
    UPDATE buckets SET leased_until = now() + {_LEASE} FROM held WHERE buckets.bucket = held.bucket
    RETURNING buckets.bucket, buckets.fence
    """  # noqa: S608 - constants
)
_RELEASE: Final = sa.text(
    f"""
    {_HELD}, release AS (
        SELECT bucket, buckets.due_at AS claimed_due,
            CASE
                WHEN wish.due IS NOT NULL THEN to_timestamp(wish.due)
                WHEN buckets.due_at <= now() OR buckets.{_TOO_FAR} THEN {_SLOT_AFTER_CLAIM}
                ELSE buckets.due_at
            END AS due_at
        FROM held JOIN buckets USING (bucket, fence)
        JOIN unnest(CAST(:buckets AS integer[]), CAST(:dues AS float8[])) AS wish (bucket, due) USING (bucket)
    ), released AS (
        UPDATE buckets SET leased_until = NULL, due_at = release.due_at
        FROM release WHERE buckets.bucket = release.bucket
        RETURNING greatest(extract(epoch FROM release.due_at - release.claimed_due), 0) AS late
    )
    SELECT COALESCE(sum(round(late / {_INTERVAL})), 0) FROM released
    """  # noqa: S608 - constants
)


class ClaimedRow(NamedTuple):
    """One product of a claimed bucket, or a claimed bucket without products (`product_id` None)."""

    bucket: int
    fence: int
    slot: float
    orphaned: bool
    product_id: UUID | None
    digest: bytes | None
    body_digest: bytes | None
    revision: int


async def realign_slots(
    connection: AsyncConnection, interval_seconds: float, stepped_seconds: float = 0.0
) -> tuple[float, int]:
    """Move buckets whose due time is no slot, too far ahead, or late by a whole slot, to their next slot.

    Where that is because the clock was stepped, by `stepped_seconds`, to the slot that is nearest to the time at which
    they were to be polled before, so that none is polled too soon.

    Returns:
        The database's time in seconds since 1970, and how many were moved.
    """
    row = (await connection.execute(_REALIGN, {"interval": interval_seconds, "stepped": stepped_seconds})).one()
    return row.epoch, row.moved


async def cut_leases(connection: AsyncConnection, lease_seconds: float) -> int:
    """End leases that reach further than one begun now, as they do when the clock was set back, with one begun now.

    Not at once: whoever holds the bucket may live, and renews it in that time. Returns how many were cut.
    """
    return (await connection.execute(_CUT_LEASES, {"lease": lease_seconds})).rowcount


async def claim_buckets(
    connection: AsyncConnection,
    *,
    limit: int,
    interval_seconds: float,
    lease_seconds: float,
    expected: tuple[float, float],
) -> tuple[float, list[ClaimedRow]]:
    """The buckets that are due, longest first; none if the database's clock is not within `expected`.

    Returns:
        The database's time in seconds since 1970, and the claimed buckets' products. `orphaned` says that the last
        worker that held the bucket never released it, so that what it published is unknown.
    """
    rows = await connection.execute(
        _CLAIM,
        {
            "limit": limit,
            "interval": interval_seconds,
            "lease": lease_seconds,
            "earliest": expected[0],
            "latest": expected[1],
        },
    )
    found = rows.all()
    claimed = [ClaimedRow._make(row[1:]) for row in found if row.bucket is not None]
    return found[0].epoch, claimed


async def renew_leases(
    connection: AsyncConnection, held: Sequence[HeldBucket], lease_seconds: float
) -> set[tuple[int, int]]:
    """Hold these buckets longer; returns bucket and fence of those that are still held."""
    rows = await connection.execute(_RENEW, {**_fences(held), "lease": lease_seconds})
    return {(bucket, fence) for bucket, fence in rows}


async def lock_held(connection: AsyncConnection, held: Sequence[HeldBucket]) -> set[tuple[int, int]]:
    """Which of these buckets are still held; nobody can claim them until the transaction ends."""
    return {(bucket, fence) for bucket, fence in await connection.execute(_LOCK_HELD, _fences(held))}


async def release_buckets(
    connection: AsyncConnection, released: Sequence[ReleasedBucket], interval_seconds: float
) -> int:
    """Let buckets go that are still held; returns how many slots passed while they were."""
    if not released:
        return 0
    result = await connection.execute(
        _RELEASE,
        {
            **_fences([release.bucket for release in released]),
            "dues": [release.due_epoch for release in released],
            "interval": interval_seconds,
        },
    )
    return int(result.scalar_one())


def _fences(held: Sequence[HeldBucket]) -> dict[str, list[int]]:
    return {"buckets": [bucket.bucket for bucket in held], "fences": [bucket.fence for bucket in held]}
