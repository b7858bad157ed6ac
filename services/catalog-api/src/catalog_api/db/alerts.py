"""Alerts as their users see them."""

from typing import Any, Final
from uuid import UUID

import msgspec
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from catalog_api.db.database import Database
from catalog_api.domain.alerts import Alert, Condition, Rule, Wish
from catalog_api.domain.errors import AlertNotFoundError
from catalog_api.domain.webhooks import Position

_SHOWN: Final = """
    id, name, product_id, webhook_id, CAST(condition AS text) AS condition, cooldown_seconds, hysteresis_percent,
    enabled, firings_count, last_fired_at, created_at, updated_at
"""
_COUNT: Final = sa.text("SELECT count(*), count(*) FILTER (WHERE product_id IS NULL) FROM alerts")
# Held until the alert is stored, so that what it refers to is still there then.
_PRODUCT: Final = sa.text("SELECT 1 FROM products WHERE id = :id FOR KEY SHARE")
_WEBHOOK: Final = sa.text("SELECT 1 FROM webhooks WHERE id = :id FOR KEY SHARE")
_ANY_TO: Final = sa.text("SELECT EXISTS (SELECT FROM alerts WHERE webhook_id = :id)")
_INSERT: Final = sa.text(
    f"""
    INSERT INTO alerts (id, name, product_id, webhook_id, condition, cooldown_seconds, hysteresis_percent, enabled)
    VALUES (:id, :name, :product_id, :webhook_id, CAST(:condition AS json), :cooldown, :hysteresis, :enabled)
    RETURNING {_SHOWN}
    """  # noqa: S608 - constants
)
_UPDATE: Final = sa.text(
    f"""
    UPDATE alerts SET name = :name, product_id = :product_id, webhook_id = :webhook_id,
        condition = CAST(:condition AS json), cooldown_seconds = :cooldown, hysteresis_percent = :hysteresis,
        enabled = :enabled, updated_at = now(),
        watching_since = CASE WHEN :starts_anew THEN now() ELSE watching_since END
    WHERE id = :id RETURNING {_SHOWN}
    """  # noqa: S608 - constants
)
_READ: Final = sa.text(f"SELECT {_SHOWN} FROM alerts WHERE id = :id")  # noqa: S608 - constants
_DELETE: Final = sa.text("DELETE FROM alerts WHERE id = :id")
_GET: Final = f"SELECT {_SHOWN} FROM alerts WHERE id = $1"  # noqa: S608 - constants

_condition = msgspec.json.Decoder(Condition)


async def count(connection: AsyncConnection) -> tuple[int, int]:
    """How many alerts there are, and how many of them are on all products."""
    everyone, on_all = (await connection.execute(_COUNT)).one()
    return everyone, on_all


async def has_product(connection: AsyncConnection, product_id: UUID) -> bool:
    """Whether there is such a product; it stays until this transaction ends."""
    return (await connection.execute(_PRODUCT, {"id": product_id})).one_or_none() is not None


async def has_webhook(connection: AsyncConnection, webhook_id: UUID) -> bool:
    """Whether there is such a webhook; it stays until this transaction ends."""
    return (await connection.execute(_WEBHOOK, {"id": webhook_id})).one_or_none() is not None


async def any_goes_to(connection: AsyncConnection, webhook_id: UUID) -> bool:
    """Whether an alert is told to this webhook."""
    return bool((await connection.execute(_ANY_TO, {"id": webhook_id})).scalar_one())


async def insert(connection: AsyncConnection, alert_id: UUID, wish: Wish) -> Alert:
    """Keep a new alert."""
    return _alert((await connection.execute(_INSERT, _values(alert_id, wish))).mappings().one())


async def read(connection: AsyncConnection, alert_id: UUID) -> Alert:
    """The alert. Not locked: whoever holds the alerts is the only one who changes them, and products may be deleted.

    Raises:
        AlertNotFoundError: there is none with this id.
    """
    return _found(alert_id, (await connection.execute(_READ, {"id": alert_id})).mappings().one_or_none())


async def update(connection: AsyncConnection, alert_id: UUID, wish: Wish, *, starts_anew: bool) -> Alert:
    """Store what its user says of an alert now; one that starts anew goes by nothing that happened until now.

    Raises:
        AlertNotFoundError: it was deleted with its product.
    """
    values = _values(alert_id, wish) | {"starts_anew": starts_anew}
    return _found(alert_id, (await connection.execute(_UPDATE, values)).mappings().one_or_none())


async def delete(connection: AsyncConnection, alert_id: UUID) -> None:
    """Remove an alert, what it knows and what it fired.

    Raises:
        AlertNotFoundError: there is none with this id.
    """
    if (await connection.execute(_DELETE, {"id": alert_id})).rowcount == 0:
        raise AlertNotFoundError(alert_id)


async def get(database: Database, alert_id: UUID) -> Alert:
    """One alert.

    Raises:
        AlertNotFoundError: there is none with this id.
    """
    async with database.reading() as connection:
        return _found(alert_id, await connection.fetchrow(_GET, alert_id))


async def page(database: Database, product_id: UUID | None, after: Position | None, limit: int) -> list[Alert]:
    """At most `limit` alerts, of all or on one product, after a position, oldest first; an index step for each."""
    values: list[Any] = [limit]
    conditions = []
    if product_id is not None:
        values += [product_id]
        conditions += [f"product_id = ${len(values)}"]
    if after is not None:
        values += [after.created_at, after.id]
        conditions += [f"(created_at, id) > (${len(values) - 1}, ${len(values)})"]
    where = f"WHERE {' AND '.join(conditions)}" if conditions else ""
    async with database.reading() as connection:
        rows = await connection.fetch(
            f"SELECT {_SHOWN} FROM alerts {where} ORDER BY created_at, id LIMIT $1",  # noqa: S608 - constants
            *values,
        )
    return [_alert(row) for row in rows]


def _values(alert_id: UUID, wish: Wish) -> dict[str, Any]:
    return {
        "id": alert_id,
        "name": wish.name,
        "product_id": wish.product_id,
        "webhook_id": wish.webhook_id,
        "condition": msgspec.json.encode(wish.rule.condition).decode(),
        "cooldown": wish.rule.cooldown_seconds,
        "hysteresis": wish.rule.hysteresis_percent,
        "enabled": wish.enabled,
    }


def _found(alert_id: UUID, row: Any) -> Alert:
    if row is None:
        raise AlertNotFoundError(alert_id)
    return _alert(row)


def _alert(row: Any) -> Alert:
    rule = Rule(_condition.decode(row["condition"]), row["cooldown_seconds"], row["hysteresis_percent"])
    return Alert(
        row["id"],
        Wish(row["name"], row["product_id"], row["webhook_id"], rule, row["enabled"]),
        row["firings_count"],
        row["last_fired_at"],
        row["created_at"],
        row["updated_at"],
    )
