"""What each enabled alert knows of each product, for whoever holds the alerts."""

from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Final
from uuid import UUID

import msgspec
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from catalog_api.db.database import Database
from catalog_api.domain.alert_evaluation import Extremes, State
from catalog_api.domain.alerts import Condition, Rule

_LOCK: Final = 0x616C65727473
"""The advisory lock, within its database, of whoever evaluates alerts or changes them; the letters of `alerts`."""

# By alerts_by_product: 0.05 ms for a hundred products that no alert is on.
_ANY: Final = "SELECT EXISTS (SELECT FROM alerts WHERE enabled AND (product_id IS NULL OR product_id = ANY($1)))"
_HOLD: Final = sa.text("SELECT pg_advisory_xact_lock(:key)")
_WATCHING: Final = sa.text(
    """
    SELECT id, name, product_id, webhook_id, CAST(condition AS text), cooldown_seconds, hysteresis_percent,
        watching_since
    FROM alerts WHERE enabled AND (product_id IS NULL OR product_id = ANY(CAST(:ids AS uuid[]))) ORDER BY id
    """
)
# They stay until this transaction ends, so what is stored of them has something to refer to.
_HERE: Final = sa.text("SELECT id FROM products WHERE id = ANY(CAST(:ids AS uuid[])) ORDER BY id FOR KEY SHARE")
_KNOWN: Final = sa.text(
    """
    SELECT alert_id, product_id, changed_at, armed, fired_at, fired_price, extremes FROM alert_states
    WHERE alert_id = ANY(CAST(:alert_ids AS uuid[])) AND product_id = ANY(CAST(:product_ids AS uuid[]))
    """
)
_STORE: Final = sa.text(
    """
    INSERT INTO alert_states (alert_id, product_id, changed_at, armed, fired_at, fired_price, extremes)
    SELECT * FROM unnest(CAST(:alert_ids AS uuid[]), CAST(:product_ids AS uuid[]), CAST(:changed AS timestamptz[]),
        CAST(:armed AS boolean[]), CAST(:fired_at AS timestamptz[]), CAST(:fired_prices AS bigint[]),
        CAST(:extremes AS bytea[]))
    ON CONFLICT (alert_id, product_id) DO UPDATE SET changed_at = EXCLUDED.changed_at, armed = EXCLUDED.armed,
        fired_at = EXCLUDED.fired_at, fired_price = EXCLUDED.fired_price, extremes = EXCLUDED.extremes
    """
)
_FORGET: Final = sa.text("DELETE FROM alert_states WHERE alert_id = :id")

_condition = msgspec.json.Decoder(Condition)
_extremes = msgspec.msgpack.Decoder(Extremes)

Pair = tuple[UUID, UUID]
"""The ids of an alert and of a product."""


class WatchingAlert(msgspec.Struct, frozen=True):
    """An enabled alert, as far as it is needed to find and tell its firings; `product_id` is None for all products.

    Facts that happened until `watching_since` are nothing to it.
    """

    id: UUID
    name: str | None
    product_id: UUID | None
    webhook_id: UUID
    rule: Rule
    watching_since: datetime


class KnownState(msgspec.Struct, frozen=True):
    """A state, and when the fact that made it happened."""

    changed_at: datetime
    state: State


async def any_watches(database: Database, product_ids: Collection[UUID]) -> bool:
    """Whether there is an enabled alert on all products, or on one of these."""
    async with database.reading() as connection:
        return bool(await connection.fetchval(_ANY, list(product_ids)))


async def hold(connection: AsyncConnection) -> None:
    """Wait until nobody else evaluates alerts or changes them, and keep it so until this transaction ends."""
    await connection.execute(_HOLD, {"key": _LOCK})


async def watching(connection: AsyncConnection, product_ids: Collection[UUID]) -> list[WatchingAlert]:
    """The enabled alerts on all products, and on these."""
    rows = await connection.execute(_WATCHING, {"ids": list(product_ids)})
    return [
        WatchingAlert(
            id_, name, product_id, webhook_id, Rule(_condition.decode(condition), cooldown, hysteresis), since
        )
        for id_, name, product_id, webhook_id, condition, cooldown, hysteresis, since in rows
    ]


async def in_catalog(connection: AsyncConnection, product_ids: Collection[UUID]) -> set[UUID]:
    """Which of these products there are; they are not deleted before this transaction ends."""
    return set((await connection.execute(_HERE, {"ids": list(product_ids)})).scalars())


async def known(
    connection: AsyncConnection, alert_ids: Collection[UUID], product_ids: Collection[UUID]
) -> dict[Pair, KnownState]:
    """What these alerts know of these products; of the others, nothing."""
    rows = await connection.execute(_KNOWN, {"alert_ids": list(alert_ids), "product_ids": list(product_ids)})
    return {
        (alert_id, product_id): KnownState(changed_at, State(armed, fired_at, fired_price, _extremes.decode(extremes)))
        for alert_id, product_id, changed_at, armed, fired_at, fired_price, extremes in rows
    }


async def store(connection: AsyncConnection, states: Mapping[Pair, KnownState]) -> None:
    """Keep these in the place of what was known, of alerts and products that there are."""
    await connection.execute(
        _STORE,
        {
            "alert_ids": [alert_id for alert_id, _ in states],
            "product_ids": [product_id for _, product_id in states],
            "changed": [known.changed_at for known in states.values()],
            "armed": [known.state.armed for known in states.values()],
            "fired_at": [known.state.fired_at for known in states.values()],
            "fired_prices": [known.state.fired_price for known in states.values()],
            "extremes": [msgspec.msgpack.encode(known.state.extremes) for known in states.values()],
        },
    )


async def forget(connection: AsyncConnection, alert_id: UUID) -> None:
    """Have the alert know nothing of any product."""
    await connection.execute(_FORGET, {"id": alert_id})
