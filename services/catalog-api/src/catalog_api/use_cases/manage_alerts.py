"""Alerts are made, listed, changed and deleted."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

from catalog_api.db import alert_firings, alert_states, alerts
from catalog_api.db.database import Database
from catalog_api.domain.alerts import (
    MAX_ALERTS,
    MAX_ALERTS_FOR_ALL,
    Alert,
    LoggedFiring,
    Wish,
    new_alert_id,
)
from catalog_api.domain.errors import TooManyAlertsError, UnknownReferenceError
from catalog_api.domain.webhooks import Position

FIRINGS_DAYS: Final = 30
"""How long a firing stays in the log."""


@dataclass(frozen=True, slots=True)
class ManageAlerts:
    """What the API does with alerts. Whoever changes one waits until it is not being evaluated."""

    database: Database

    async def create(self, wish: Wish) -> Alert:
        """A new alert, which knows nothing of any product yet.

        Raises:
            UnknownReferenceError: there is no such product or webhook.
            TooManyAlertsError: there are as many as there may be.
        """
        async with self.database.transaction() as connection:
            await alert_states.hold(connection)
            await _check_references(connection, wish, wish.product_id)
            await _check_number(connection, wish)
            return await alerts.insert(connection, new_alert_id(), wish)

    async def get(self, alert_id: UUID) -> Alert:
        """One alert.

        Raises:
            AlertNotFoundError: there is none with this id.
        """
        return await alerts.get(self.database, alert_id)

    async def page(self, product_id: UUID | None, after: Position | None, limit: int) -> list[Alert]:
        """At most `limit` alerts after this one, oldest first; of all, or on this product and not on all."""
        return await alerts.page(self.database, product_id, after, limit)

    async def change(self, alert_id: UUID, change: Callable[[Wish], Wish]) -> Alert:
        """The alert after the change. It forgets what it knows when it watches something else, or watches again.

        Raises:
            AlertNotFoundError: there is none with this id.
            UnknownReferenceError: there is no such product or webhook.
            TooManyAlertsError: it would be on all products, as too many are.
        """
        async with self.database.transaction() as connection:
            await alert_states.hold(connection)
            before = (await alerts.read(connection, alert_id)).wish
            wish = change(before)
            # While the alert is there, so is the product that it was on.
            await _check_references(connection, wish, None if wish.product_id == before.product_id else wish.product_id)
            if wish.product_id is None and before.product_id is not None:
                await _check_number(connection, wish, already=1)
            starts_anew = _watched(wish) != _watched(before)
            # The alert before its states, as whoever deletes its product goes.
            alert = await alerts.update(connection, alert_id, wish, starts_anew=starts_anew)
            if starts_anew:
                await alert_states.forget(connection, alert_id)
            return alert

    async def delete(self, alert_id: UUID) -> None:
        """Delete an alert, what it knows and what it fired. What its webhook is to be sent already is sent.

        Raises:
            AlertNotFoundError: there is none with this id.
        """
        async with self.database.transaction() as connection:
            await alert_states.hold(connection)
            await alerts.delete(connection, alert_id)

    async def firings(self, alert_id: UUID, after: Position | None, limit: int) -> list[LoggedFiring]:
        """At most `limit` firings of the last 30 days, newest first.

        Raises:
            AlertNotFoundError: there is no such alert.
        """
        await alerts.get(self.database, alert_id)
        return await alert_firings.page(self.database, alert_id, after, limit)


@dataclass(frozen=True, slots=True)
class ForgetOldFirings:
    """Deletes what was logged longer ago than firings are kept."""

    database: Database

    async def __call__(self, batch: int = 1000) -> int:
        """How many were deleted: `batch` at most, so that no transaction is long."""
        async with self.database.transaction() as connection:
            return await alert_firings.prune(connection, FIRINGS_DAYS, batch)


def _watched(wish: Wish) -> tuple[object, ...]:
    return wish.product_id, wish.rule.condition, wish.enabled


async def _check_references(connection: AsyncConnection, wish: Wish, product_id: UUID | None) -> None:
    if product_id is not None and not await alerts.has_product(connection, product_id):
        raise UnknownReferenceError("product_id")
    if not await alerts.has_webhook(connection, wish.webhook_id):
        raise UnknownReferenceError("webhook_id")


async def _check_number(connection: AsyncConnection, wish: Wish, already: int = 0) -> None:
    everyone, on_all = await alerts.count(connection)
    if everyone - already >= MAX_ALERTS:
        raise TooManyAlertsError(MAX_ALERTS, on_all=False)
    if wish.product_id is None and on_all >= MAX_ALERTS_FOR_ALL:
        raise TooManyAlertsError(MAX_ALERTS_FOR_ALL, on_all=True)
