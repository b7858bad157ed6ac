"""Webhooks and their secrets, in the caller's transaction."""

from typing import Final
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from catalog_api.domain.webhooks import MOST_WEBHOOKS, Position, Webhook, WebhookChange
from sealing import Sealed, Seals

_COUNT_LOCK: Final = 0x776562686F6F6B73
"""The advisory lock, within its database, of whoever adds a webhook; the letters of `webhooks`."""
_SHOWN: Final = """
    w.id, w.url, w.description, w.disabled_because IS NULL AS enabled, w.disabled_because, w.failing_since,
    (SELECT max(s.ends_at) FROM webhook_secrets s WHERE s.webhook_id = w.id AND s.ends_at > now())
        AS previous_secret_ends_at,
    w.created_at, w.updated_at
"""
_LOCK: Final = sa.text("SELECT pg_advisory_xact_lock(:key)")
_INSERT: Final = sa.text(
    """
    INSERT INTO webhooks (id, url, description)
    SELECT :id, :url, :description WHERE (SELECT count(*) FROM webhooks) < :most
    """
)
_ONE: Final = sa.text(f"SELECT {_SHOWN} FROM webhooks w WHERE w.id = :id")  # noqa: S608 - constants
_PAGE: Final = sa.text(
    f"""
    SELECT {_SHOWN} FROM webhooks w
    WHERE CAST(:created_at AS timestamptz) IS NULL OR (w.created_at, w.id) > (:created_at, CAST(:id AS uuid))
    ORDER BY w.created_at, w.id LIMIT :limit
    """  # noqa: S608 - constants
)
# Wherever it leads from now on has not failed yet. What changes nothing moves no time.
_CHANGE: Final = sa.text(
    """
    UPDATE webhooks SET
        url = coalesce(:url, url),
        description = coalesce(:description, description),
        disabled_because = CASE CAST(:enabled AS boolean)
            WHEN true THEN NULL WHEN false THEN coalesce(disabled_because, 'switched_off') ELSE disabled_because END,
        failing_since = CASE WHEN :enabled OR :url <> url THEN NULL ELSE failing_since END,
        updated_at = now()
    WHERE id = :id AND (
        :url <> url OR :description <> description OR CAST(:enabled AS boolean) <> (disabled_because IS NULL)
    )
    """
)
_DELETE: Final = sa.text("DELETE FROM webhooks WHERE id = :id")
_LOCK_ONE: Final = sa.text("SELECT id FROM webhooks WHERE id = :id FOR NO KEY UPDATE")
_ADD_SECRET: Final = sa.text(
    "INSERT INTO webhook_secrets (webhook_id, value, encrypted) VALUES (:webhook_id, :value, :encrypted)"
)
# One at most signs beside the newest: whatever was before it is forgotten.
_END_SECRETS: Final = sa.text(
    """
    WITH ended AS (
        DELETE FROM webhook_secrets WHERE webhook_id = :webhook_id AND (ends_at IS NOT NULL OR :overlap_seconds = 0)
    )
    UPDATE webhook_secrets SET ends_at = now() + make_interval(secs => :overlap_seconds)
    WHERE webhook_id = :webhook_id AND ends_at IS NULL AND :overlap_seconds > 0
    """
)
_FORGET_ENDED: Final = sa.text("DELETE FROM webhook_secrets WHERE ends_at <= now()")
_ALL_SECRETS: Final = sa.text("SELECT id, value, encrypted FROM webhook_secrets ORDER BY id FOR UPDATE")
_RESEAL: Final = sa.text("UPDATE webhook_secrets SET value = :value, encrypted = :encrypted WHERE id = :id")


async def insert(connection: AsyncConnection, webhook_id: UUID, url: str, description: str) -> bool:
    """Add a webhook, unless there are as many as there may be; whether it was added."""
    await connection.execute(_LOCK, {"key": _COUNT_LOCK})
    values = {"id": webhook_id, "url": url, "description": description, "most": MOST_WEBHOOKS}
    return (await connection.execute(_INSERT, values)).rowcount == 1


async def find(connection: AsyncConnection, webhook_id: UUID) -> Webhook | None:
    """One webhook."""
    row = (await connection.execute(_ONE, {"id": webhook_id})).mappings().one_or_none()
    return None if row is None else Webhook(**row)


async def page(connection: AsyncConnection, after: Position | None, limit: int) -> list[Webhook]:
    """Webhooks after a position, oldest first."""
    position = {"created_at": None, "id": None} if after is None else {"created_at": after.created_at, "id": after.id}
    return [Webhook(**row) for row in (await connection.execute(_PAGE, position | {"limit": limit})).mappings()]


async def change(connection: AsyncConnection, webhook_id: UUID, wanted: WebhookChange) -> None:
    """Change one; nothing where there is none."""
    values = {"url": wanted.url, "description": wanted.description, "enabled": wanted.enabled}
    await connection.execute(_CHANGE, values | {"id": webhook_id})


async def delete(connection: AsyncConnection, webhook_id: UUID) -> bool:
    """Whether there was one. Its secrets go with it, and its deliveries when they are pruned."""
    return (await connection.execute(_DELETE, {"id": webhook_id})).rowcount == 1


async def lock(connection: AsyncConnection, webhook_id: UUID) -> bool:
    """Whether there is one; nobody else changes it before the transaction ends."""
    return (await connection.execute(_LOCK_ONE, {"id": webhook_id})).one_or_none() is not None


async def add_secret(connection: AsyncConnection, webhook_id: UUID, secret: Sealed) -> None:
    """Give it one that signs from now on."""
    values = {"webhook_id": webhook_id, "value": secret.value, "encrypted": secret.encrypted}
    await connection.execute(_ADD_SECRET, values)


async def end_secrets(connection: AsyncConnection, webhook_id: UUID, overlap_seconds: float) -> None:
    """Let the newest sign for so much longer, and any other one no more."""
    await connection.execute(_END_SECRETS, {"webhook_id": webhook_id, "overlap_seconds": overlap_seconds})


async def forget_ended_secrets(connection: AsyncConnection) -> None:
    """Delete those that sign no more."""
    await connection.execute(_FORGET_ENDED)


async def seal_again(connection: AsyncConnection, seals: Seals) -> None:
    """Seal with the newest key what is not, as far as its own key is at hand."""
    for id_, value, encrypted in (await connection.execute(_ALL_SECRETS)).all():
        if (renewed := seals.renewed(Sealed(value, encrypted))) is not None:
            values = {"id": id_, "value": renewed.value, "encrypted": renewed.encrypted}
            await connection.execute(_RESEAL, values)
