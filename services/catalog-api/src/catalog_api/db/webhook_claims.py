"""Messages for webhooks, taken to be sent, and what came of it."""

from collections import defaultdict
from collections.abc import Collection, Mapping
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
    apart: bool
    """Whether its webhook has only the places that are set apart."""


class Places(msgspec.Struct, frozen=True):
    """How many messages may be claimed."""

    healthy: int
    apart: int
    """For webhooks whose last attempt failed, or was slow."""
    each: int
    """For one webhook, what is in hand included; for one whose last attempt failed it is one."""


# Asks each enabled webhook for as much as it has room for, through its own part of an index: however much waits for one
# of them, the others are found. The first of each comes before the second of any, and among equals lots are drawn: by
# age, those with most waiting would always be first. Only what is chosen is locked; what another worker takes in the
# same instant is left to it. 10 webhooks take 1 ms, 1,000 take 2, with 100,000 messages waiting for one of them; with
# 20 due for each of the 1,000, one place takes 4 ms, 48 take 10, and each message 0.8 kB of write-ahead log.
_CLAIM: Final = sa.text(
    f"""
    WITH in_hand AS (
        SELECT * FROM unnest(CAST(:busy AS uuid[]), CAST(:counts AS int[])) AS i (webhook_id, number)
    ), asked AS (
        SELECT w.id AS webhook_id, w.url, kind.apart, coalesce(in_hand.number, 0) AS number,
            CASE WHEN w.failing_since IS NULL THEN CAST(:each AS int) ELSE 1 END AS most,
            CASE WHEN kind.apart THEN CAST(:apart AS int) ELSE CAST(:healthy AS int) END AS places
        FROM webhooks w
        CROSS JOIN LATERAL (SELECT w.failing_since IS NOT NULL OR w.id = ANY(CAST(:slow AS uuid[])) AS apart) kind
        LEFT JOIN in_hand ON in_hand.webhook_id = w.id
        WHERE w.disabled_because IS NULL
    ), due AS (
        SELECT asked.*, d.id, d.due_at,
            asked.number + row_number() OVER (PARTITION BY asked.webhook_id ORDER BY d.due_at) AS turn
        FROM asked CROSS JOIN LATERAL (
            SELECT id, due_at FROM webhook_deliveries
            WHERE webhook_id = asked.webhook_id AND state = 'pending' AND due_at <= now()
            ORDER BY due_at
            LIMIT greatest(least(asked.most - asked.number, asked.places), 0)
        ) d
    ), ranked AS (
        SELECT *, row_number() OVER (PARTITION BY apart ORDER BY turn, random()) AS place FROM due
    ), chosen AS (
        SELECT * FROM ranked WHERE place <= places LIMIT {MOST_AT_ONCE}
    ), locked AS (
        SELECT chosen.* FROM chosen JOIN webhook_deliveries q ON q.webhook_id = chosen.webhook_id AND q.id = chosen.id
        WHERE q.state = 'pending' AND q.due_at <= now()
        FOR UPDATE OF q SKIP LOCKED
    )
    UPDATE webhook_deliveries q
    SET due_at = now() + make_interval(secs => CAST(:lease_seconds AS float8)), claims = q.claims + 1
    FROM locked
    WHERE q.webhook_id = locked.webhook_id AND q.id = locked.id
    RETURNING q.webhook_id, q.id, q.body, locked.url, q.failures, q.claims, locked.apart,
        CAST(extract(epoch FROM now() - locked.due_at) AS float8) AS waited_seconds
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
    connection: AsyncConnection,
    places: Places,
    in_hand: Mapping[UUID, int],
    slow: Collection[UUID],
    lease_seconds: float,
) -> list[Claim]:
    """Take messages that are due; whoever does not settle one within the lease is taken to be dead.

    `in_hand` says how many of each webhook this process has, `slow` which of them are slow to answer.
    """
    values = {
        "busy": list(in_hand),
        "counts": list(in_hand.values()),
        "slow": list(slow),
        "healthy": places.healthy,
        "apart": places.apart,
        "each": places.each,
        "lease_seconds": lease_seconds,
    }
    rows = (await connection.execute(_CLAIM, values)).mappings().all()
    secrets: dict[UUID, list[Sealed]] = defaultdict(list)
    for secret in await connection.execute(_SECRETS, {"webhook_ids": list({row["webhook_id"] for row in rows})}):
        secrets[secret.webhook_id].append(Sealed(secret.value, secret.encrypted))
    # Whose webhook was deleted in between has none, and is not to be sent unsigned.
    return [Claim(**row, secrets=tuple(own)) for row in rows if (own := secrets.get(row["webhook_id"]))]


async def settle(connection: AsyncConnection, claim: Claim, outcome: Outcome, verdict: Verdict) -> bool:
    """Log an attempt, and store what becomes of its message; whether its webhook was disabled by it."""
    key = {"webhook_id": claim.webhook_id, "id": claim.id}
    attempt = {
        "seconds": round(outcome.seconds, 3),
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
