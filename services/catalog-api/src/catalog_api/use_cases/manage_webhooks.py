"""Webhooks are made, changed, tested and looked into."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final
from uuid import UUID

import msgspec
from sqlalchemy.ext.asyncio import AsyncConnection

from catalog_api.clients.webhook_targets import CheckTarget
from catalog_api.db import alert_states, alerts, webhook_log, webhooks
from catalog_api.db.database import Database
from catalog_api.db.webhook_deliveries import enqueue
from catalog_api.domain.delivery import DeliveryState
from catalog_api.domain.errors import (
    DeliveryNotFoundError,
    TooManyWebhooksError,
    WebhookDisabledError,
    WebhookInUseError,
    WebhookNotFoundError,
)
from catalog_api.domain.signatures import new_secret
from catalog_api.domain.webhooks import TEST_TYPE, Delivery, Position, Webhook, WebhookChange, message, new_id
from sealing import Seals

_TEST: Final = {"text": "A test: whoever can verify this receives what comes."}


class WebhookWithSecret(msgspec.Struct, frozen=True):
    """A webhook with its newest secret, which is shown this once."""

    webhook: Webhook
    secret: str

    def __repr__(self) -> str:
        return f"WebhookWithSecret({self.webhook.id})"


@dataclass(frozen=True, slots=True)
class ManageWebhooks:
    """Whoever holds one of these may do anything with webhooks."""

    database: Database
    check_target: CheckTarget
    seals: Seals

    async def create(self, url: str, description: str) -> WebhookWithSecret:
        """A new webhook.

        Raises:
            TargetRefusedError, TooManyWebhooksError: see there.
        """
        await self.check_target(url)
        webhook_id, secret = new_id(), new_secret()
        async with self.database.transaction() as connection:
            if not await webhooks.insert(connection, webhook_id, url, description):
                raise TooManyWebhooksError
            await webhooks.add_secret(connection, webhook_id, self.seals.seal(secret))
            return WebhookWithSecret(await _found(connection, webhook_id), secret)

    async def page(self, after: Position | None, limit: int) -> list[Webhook]:
        """Webhooks after a position, oldest first."""
        async with self.database.transaction() as connection:
            return await webhooks.page(connection, after, limit)

    async def get(self, webhook_id: UUID) -> Webhook:
        """One webhook.

        Raises:
            WebhookNotFoundError: there is none.
        """
        async with self.database.transaction() as connection:
            return await _found(connection, webhook_id)

    async def change(self, webhook_id: UUID, wanted: WebhookChange) -> Webhook:
        """The webhook as it is then. One that is enabled goes on with what was pending.

        Raises:
            WebhookNotFoundError, TargetRefusedError: see there.
        """
        await self.get(webhook_id)
        if wanted.url is not None:
            await self.check_target(wanted.url)
        async with self.database.transaction() as connection:
            await webhooks.change(connection, webhook_id, wanted)
            return await _found(connection, webhook_id)

    async def delete(self, webhook_id: UUID) -> None:
        """Forget a webhook, its secrets and its deliveries.

        Raises:
            WebhookNotFoundError: there is none.
            WebhookInUseError: alerts go to it.
        """
        async with self.database.transaction() as connection:
            await alert_states.hold(connection)
            if await alerts.any_goes_to(connection, webhook_id):
                raise WebhookInUseError
            if not await webhooks.delete(connection, webhook_id):
                raise WebhookNotFoundError(webhook_id)

    async def rotate_secret(self, webhook_id: UUID, overlap_seconds: float) -> WebhookWithSecret:
        """Give it a new secret; the one so far signs beside it for `overlap_seconds`.

        Raises:
            WebhookNotFoundError: there is none.
        """
        secret = new_secret()
        async with self.database.transaction() as connection:
            if not await webhooks.lock(connection, webhook_id):
                raise WebhookNotFoundError(webhook_id)
            await webhooks.end_secrets(connection, webhook_id, overlap_seconds)
            await webhooks.add_secret(connection, webhook_id, self.seals.seal(secret))
            return WebhookWithSecret(await _found(connection, webhook_id), secret)

    async def test(self, webhook_id: UUID) -> Delivery:
        """Have a message of the type `webhook.test` sent.

        Raises:
            WebhookNotFoundError, WebhookDisabledError: see there.
        """
        test = message(new_id(), webhook_id, TEST_TYPE, datetime.now(UTC), _TEST)
        async with self.database.transaction() as connection:
            await _enabled(connection, webhook_id)
            await enqueue(connection, [test])
            return await _delivery(connection, webhook_id, test.id)

    async def deliveries(
        self, webhook_id: UUID, state: DeliveryState | None, after: Position | None, limit: int
    ) -> list[Delivery]:
        """Deliveries before a position in time, newest first.

        Raises:
            WebhookNotFoundError: there is none.
        """
        async with self.database.transaction() as connection:
            await _found(connection, webhook_id)
            return await webhook_log.page(connection, webhook_id, state, after, limit)

    async def redeliver(self, webhook_id: UUID, delivery_id: UUID) -> Delivery:
        """Have a message sent again, under its old id.

        Raises:
            WebhookNotFoundError, WebhookDisabledError, DeliveryNotFoundError: see there.
        """
        async with self.database.transaction() as connection:
            await _enabled(connection, webhook_id)
            if not await webhook_log.redeliver(connection, webhook_id, delivery_id):
                raise DeliveryNotFoundError(delivery_id)
            return await _delivery(connection, webhook_id, delivery_id)


async def _found(connection: AsyncConnection, webhook_id: UUID) -> Webhook:
    webhook = await webhooks.find(connection, webhook_id)
    if webhook is None:
        raise WebhookNotFoundError(webhook_id)
    return webhook


async def _enabled(connection: AsyncConnection, webhook_id: UUID) -> None:
    if not (await _found(connection, webhook_id)).enabled:
        raise WebhookDisabledError


async def _delivery(connection: AsyncConnection, webhook_id: UUID, delivery_id: UUID) -> Delivery:
    delivery = await webhook_log.find(connection, webhook_id, delivery_id)
    if delivery is None:
        raise DeliveryNotFoundError(delivery_id)
    return delivery
