"""Pending registrations: claimed with a lease, and their outcomes. All statements take any number of products."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from offers_sync.db.buckets import NEXT_SLOT
from offers_sync.domain.backoff import LONGEST_RETRY_AFTER_SECONDS
from offers_sync.domain.products import ClaimedRegistration, Product

_LEASE: Final = "make_interval(secs => CAST(:lease AS float8))"

# A time further ahead than anyone waits was set before the clock was set back. It may be that of a lease, so whoever
# has it gets the time to renew it.
_CLAIM: Final = sa.text(
    f"""
    WITH set_back AS (
        SELECT product_id FROM products
        WHERE status = 'pending' AND next_attempt_at > now() + make_interval(secs => :longest)
        FOR UPDATE SKIP LOCKED
    ), pulled_in AS (
        UPDATE products SET next_attempt_at = now() + {_LEASE}
        FROM set_back WHERE products.product_id = set_back.product_id
    ), due AS (
        SELECT product_id FROM products
        WHERE status = 'pending' AND next_attempt_at <= now()
        ORDER BY next_attempt_at LIMIT :limit
        FOR UPDATE SKIP LOCKED
    )
    UPDATE products
    SET fence = fence + 1, next_attempt_at = now() + {_LEASE}
    FROM due WHERE products.product_id = due.product_id
    RETURNING products.product_id, version, name, description, fence, attempts
    """  # noqa: S608 - constants
)

# Rows are locked in the order of their ids everywhere, so that transactions over several products can't deadlock.
_HELD: Final = """
    WITH outcome AS (
        SELECT * FROM unnest(CAST(:ids AS uuid[]), CAST(:fences AS bigint[])) AS outcome (product_id, fence)
    ), held AS (
        SELECT product_id FROM products JOIN outcome USING (product_id, fence)
        WHERE status = 'pending' ORDER BY product_id FOR UPDATE OF products
    )
"""
# The catalog keeps the outcome with the latest time, so a product's times grow even when the clock is set back.
_OUTCOME_AT: Final = "greatest(now(), outcome_at + interval '1 microsecond')"
_REGISTERED: Final = sa.text(
    f"""{_HELD}
    UPDATE products SET
        status = 'registered', next_attempt_at = NULL, attempts = 0, reason = NULL, outcome_at = {_OUTCOME_AT}
    FROM held WHERE products.product_id = held.product_id
    RETURNING products.product_id, outcome_at
    """  # noqa: S608 - constants
)
_POLL: Final = sa.text(
    f"""
    WITH polled AS (
        INSERT INTO polled_products (product_id) SELECT unnest(CAST(:ids AS uuid[]))
        ON CONFLICT (product_id) DO UPDATE SET active = true
        RETURNING bucket
    )
    INSERT INTO buckets (bucket, due_at)
    SELECT bucket, {NEXT_SLOT} FROM (SELECT DISTINCT bucket FROM polled) AS buckets ORDER BY bucket
    -- Without products for a while, a bucket is behind.
    ON CONFLICT (bucket) DO UPDATE SET due_at = excluded.due_at
        WHERE buckets.due_at <= now() - make_interval(secs => :interval) AND buckets.leased_until IS NULL
    """  # noqa: S608 - constants
)
# Only the version that was refused has failed: a product that was changed meanwhile is tried again at once.
_REFUSED: Final = sa.text(
    f"""{_HELD}
    UPDATE products SET
        status = CASE WHEN version = refusal.tried THEN 'failed' ELSE 'pending' END,
        reason = CASE WHEN version = refusal.tried THEN refusal.why END,
        next_attempt_at = CASE WHEN version = refusal.tried THEN NULL ELSE now() END,
        outcome_at = CASE WHEN version = refusal.tried THEN {_OUTCOME_AT} ELSE outcome_at END,
        attempts = 0
    FROM held JOIN unnest(CAST(:ids AS uuid[]), CAST(:versions AS bigint[]), CAST(:reasons AS text[]))
        AS refusal (product_id, tried, why) USING (product_id)
    WHERE products.product_id = held.product_id
    RETURNING products.product_id, status, outcome_at
    """  # noqa: S608 - constants
)
_RENEW: Final = sa.text(
    f"""{_HELD}
    UPDATE products SET next_attempt_at = now() + {_LEASE} FROM held WHERE products.product_id = held.product_id
    RETURNING products.product_id
    """  # noqa: S608 - constants
)
# The fence keeps a renewal that comes late from setting another time.
_LATER: Final = sa.text(
    _HELD
    + """
    UPDATE products SET
        fence = fence + 1,
        next_attempt_at = now() + make_interval(secs => retry.delay),
        attempts = attempts + retry.failures
    FROM held JOIN unnest(CAST(:ids AS uuid[]), CAST(:delays AS float8[]), CAST(:failures AS integer[]))
        AS retry (product_id, delay, failures) USING (product_id)
    WHERE products.product_id = held.product_id
    """
)


@dataclass(frozen=True, slots=True)
class Refusal:
    """The Offers microservice refused this version of the product."""

    claim: ClaimedRegistration
    reason: str


@dataclass(frozen=True, slots=True)
class Postponement:
    """The product is tried again after so many seconds; `failures` is 1 if the try was made and failed, else 0."""

    claim: ClaimedRegistration
    delay_seconds: float
    failures: int


async def claim_registrations(
    connection: AsyncConnection, limit: int, lease_seconds: float
) -> list[ClaimedRegistration]:
    """The pending products that have waited longest; nobody else gets them until the lease ends."""
    held_until = time.monotonic() + lease_seconds
    rows = await connection.execute(
        _CLAIM, {"limit": limit, "lease": lease_seconds, "longest": LONGEST_RETRY_AFTER_SECONDS}
    )
    return [
        ClaimedRegistration(
            Product(row.product_id, row.version, row.name, row.description), row.fence, row.attempts, held_until
        )
        for row in rows
    ]


async def renew_registrations(
    connection: AsyncConnection, claims: Sequence[ClaimedRegistration], lease_seconds: float
) -> set[UUID]:
    """Hold these longer; returns the ids of those that are still claimed."""
    rows = await connection.execute(_RENEW, {**_held(claims), "lease": lease_seconds})
    return set(rows.scalars())


async def store_registered(
    connection: AsyncConnection, claims: Sequence[ClaimedRegistration], interval_seconds: float
) -> dict[UUID, datetime]:
    """Mark as registered what is still claimed, and have it polled; returns the ids with the times of the outcomes."""
    if not claims:
        return {}
    rows = await connection.execute(_REGISTERED, _held(claims))
    registered = {row.product_id: row.outcome_at for row in rows}
    if registered:
        await connection.execute(_POLL, {"ids": sorted(registered), "interval": interval_seconds})
    return registered


async def store_refused(connection: AsyncConnection, refusals: Sequence[Refusal]) -> dict[UUID, datetime]:
    """Mark as failed what is still claimed and has not changed meanwhile.

    Returns the ids that failed with the times of the outcomes.
    """
    if not refusals:
        return {}
    rows = await connection.execute(
        _REFUSED,
        {
            **_held([refusal.claim for refusal in refusals]),
            "versions": [refusal.claim.product.version for refusal in refusals],
            "reasons": [refusal.reason for refusal in refusals],
        },
    )
    return {row.product_id: row.outcome_at for row in rows if row.status == "failed"}


async def store_postponed(connection: AsyncConnection, postponements: Sequence[Postponement]) -> None:
    """Set when what is still claimed is tried again."""
    if not postponements:
        return
    await connection.execute(
        _LATER,
        {
            **_held([postponement.claim for postponement in postponements]),
            "delays": [postponement.delay_seconds for postponement in postponements],
            "failures": [postponement.failures for postponement in postponements],
        },
    )


def _held(claims: Sequence[ClaimedRegistration]) -> dict[str, list[UUID] | list[int]]:
    return {
        "ids": [claim.product.product_id for claim in claims],
        "fences": [claim.fence for claim in claims],
    }
