"""Messages for webhooks, taken to be sent, and what came of it."""

from collections import defaultdict
from collections.abc import Mapping
from typing import Final
from uuid import UUID

import msgspec
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from catalog_api.domain.delivery import Outcome, Verdict
from sealing import Sealed

MOST_AT_ONCE: Final = 1000
"""Messages in one claim. A number that the planner sees: without one it expects many, and reads the whole table."""


class Claim(msgspec.Struct, frozen=True):
    """A message that is this process's to send until the lease ends."""

    webhook_id: UUID
    id: UUID
    body: str
    url: str
    secrets: tuple[Sealed, ...]
    """The newest first."""
    failures: int
    """Attempts that failed before, since it was stored or last asked to be sent again."""
    claims: int
    """The fence by which a later claim, or being asked to be delivered again, is told from this one."""
    waited_seconds: float
    """Since it was due."""
    failing: bool
    """Whether the last attempt for its webhook failed."""


class Places(msgspec.Struct, frozen=True):
    """How many messages may be claimed."""

    healthy: int
    failing: int
    """For webhooks whose last attempt failed."""
    each: int
    """For one webhook, what is in hand included; for one that is failing it is one."""


# Asks each enabled webhook for as much as it has room for, through its own part of an index: however much waits for one
# of them, the others are found. 10 webhooks take 1 ms, 1,000 take 3, with 100,000 messages waiting.
_CLAIM: Final = sa.text(
    f"""
    WITH in_hand AS (
        SELECT * FROM unnest(CAST(:busy AS uuid[]), CAST(:counts AS int[])) AS i (webhook_id, number)
    ), due AS (
        SELECT w.id AS webhook_id, w.url, w.failing_since IS NOT NULL AS failing, d.id, d.due_at
        FROM webhooks w LEFT JOIN in_hand ON in_hand.webhook_id = w.id
        CROSS JOIN LATERAL (
            SELECT id, due_at FROM webhook_deliveries
            WHERE webhook_id = w.id AND state = 'pending' AND due_at <= now()
            ORDER BY due_at
            LIMIT greatest(
                CASE WHEN w.failing_since IS NULL THEN CAST(:each AS int) ELSE 1 END - coalesce(in_hand.number, 0), 0
            )
            FOR UPDATE SKIP LOCKED
        ) d
        WHERE w.disabled_because IS NULL
    ), ranked AS (
        SELECT *, row_number() OVER (PARTITION BY failing ORDER BY due_at) AS place FROM due
    ), chosen AS (
        SELECT * FROM ranked
        WHERE place <= CASE WHEN failing THEN CAST(:failing AS int) ELSE CAST(:healthy AS int) END
        LIMIT {MOST_AT_ONCE}
    )
    UPDATE webhook_deliveries q
    SET due_at = now() + make_interval(secs => CAST(:lease_seconds AS float8)), claims = q.claims + 1
    FROM chosen
    WHERE q.webhook_id = chosen.webhook_id AND q.id = chosen.id
    RETURNING q.webhook_id, q.id, q.body, chosen.url, q.failures, q.claims, chosen.failing,
        CAST(extract(epoch FROM now() - chosen.due_at) AS float8) AS waited_seconds
    """  # noqa: S608 - a constant
)
_SECRETS: Final = sa.text(
    """
    SELECT webhook_id, value, encrypted FROM webhook_secrets
    WHERE webhook_id = ANY(CAST(:webhook_ids AS uuid[])) AND (ends_at IS NULL OR ends_at > now()) ORDER BY id DESC
    """
)
# Whoever made it; nothing where the delivery is deleted meanwhile.
_LOG: Final = sa.text(
    """
    INSERT INTO webhook_attempts (webhook_id, delivery_id, at, seconds, status, error, answer)
    SELECT webhook_id, id, now() - make_interval(secs => CAST(:seconds AS float8)), :seconds,
        CAST(:status AS int), CAST(:error AS text), CAST(:answer AS text)
    FROM webhook_deliveries WHERE webhook_id = :webhook_id AND id = :id FOR KEY SHARE
    """
)
# Only who claimed it last says what becomes of a message.
_SETTLE: Final = sa.text(
    """
    UPDATE webhook_deliveries SET
        state = :state,
        failures = failures + CASE WHEN :state = 'delivered' THEN 0 ELSE 1 END,
        due_at = now() + make_interval(secs => CAST(:delay_seconds AS float8)),
        ended_at = CASE WHEN :state <> 'pending' THEN now() END
    WHERE webhook_id = :webhook_id AND id = :id AND claims = :claims AND state = 'pending'
    """
)
# Nothing is written while it goes on as it went. Who has been led elsewhere meanwhile has not failed there, nor gone.
_NOTE_HEALTH: Final = sa.text(
    """
    UPDATE webhooks SET
        failing_since = CASE WHEN :good THEN NULL ELSE coalesce(failing_since, now()) END,
        disabled_because = CASE WHEN :gone THEN coalesce(disabled_because, 'gone') ELSE disabled_because END,
        updated_at = CASE WHEN :gone THEN now() ELSE updated_at END
    WHERE id = :webhook_id AND url = :url AND (:good <> (failing_since IS NULL) OR :gone AND disabled_because IS NULL)
    """
)


async def claim(
    connection: AsyncConnection, places: Places, in_hand: Mapping[UUID, int], lease_seconds: float
) -> list[Claim]:
    """Take messages that are due; whoever does not settle one within the lease is taken to be dead.

    `in_hand` says how many of each webhook this process has.
    """
    values = {
        "busy": list(in_hand),
        "counts": list(in_hand.values()),
        "healthy": places.healthy,
        "failing": places.failing,
        "each": places.each,
        "lease_seconds": lease_seconds,
    }
    rows = (await connection.execute(_CLAIM, values)).mappings().all()
    secrets: dict[UUID, list[Sealed]] = defaultdict(list)
    for secret in await connection.execute(_SECRETS, {"webhook_ids": list({row["webhook_id"] for row in rows})}):
        secrets[secret.webhook_id].append(Sealed(secret.value, secret.encrypted))
    return [Claim(**row, secrets=tuple(secrets[row["webhook_id"]])) for row in rows]


async def settle(connection: AsyncConnection, claim: Claim, outcome: Outcome, verdict: Verdict) -> bool:
    """Log an attempt, and store what becomes of its message; whether its webhook was disabled by it."""
    key = {"webhook_id": claim.webhook_id, "id": claim.id}
    attempt = {
        "seconds": outcome.seconds,
        "status": outcome.status,
        "error": outcome.error,
        "answer": outcome.answer,
    }
    after = {"claims": claim.claims, "state": verdict.state, "delay_seconds": verdict.delay_seconds}
    await connection.execute(_LOG, key | attempt)
    await connection.execute(_SETTLE, key | after)
    health = {"webhook_id": claim.webhook_id, "url": claim.url, "good": outcome.good, "gone": outcome.gone}
    changed = (await connection.execute(_NOTE_HEALTH, health)).rowcount
    return bool(changed) and outcome.gone
