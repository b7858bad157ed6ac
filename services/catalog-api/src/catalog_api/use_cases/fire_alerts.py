"""Evaluates alerts as prices change, and has what fired told to their webhooks."""

from collections.abc import Mapping
from datetime import UTC
from typing import Final
from uuid import UUID

from prometheus_client import Counter
from sqlalchemy.ext.asyncio import AsyncConnection

from aggregator_contracts import BackInStock as BackInStockEvent
from aggregator_contracts import NewLow as NewLowEvent
from catalog_api.db import alert_firings, alert_states
from catalog_api.db.alert_states import KnownState, Pair, WatchingAlert
from catalog_api.db.database import Database
from catalog_api.db.webhook_deliveries import enqueue
from catalog_api.domain.alert_evaluation import FACTS, NOTHING_KNOWN, Firing, evaluate
from catalog_api.domain.alerts import LoggedFiring, firing_id
from catalog_api.domain.price_facts import BackInStock, BestPriceChange, Fact, NewLow
from catalog_api.domain.webhooks import Message, message
from event_bus import ReceivedBestPriceChanged, Together

FIRED: Final = "alert.fired"
"""The type of the message."""

firings_total: Final = Counter("aggregator_catalog_alert_firings_total", "Firings of alerts")

_Key = tuple[type[Fact], UUID]


class FireAlerts:
    """Handles the facts of best prices: those of the messages that wait in one transaction, if an alert is on them.

    Duplicate messages: a fact that is not later than the one that made an alert's state, or than the alert, is ignored,
    one that changed nothing changes nothing again, and a firing has an id made of what fired; so this is idempotent.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._together = Together(self._evaluate)

    async def __call__(self, event: ReceivedBestPriceChanged | NewLowEvent | BackInStockEvent) -> None:
        """Fire the alerts that these facts make fire.

        Raises:
            DatabaseUnavailableError: handle it again later, before any that came after it.
        """
        await self._together(_facts(event))

    async def _evaluate(self, facts: Mapping[_Key, Fact]) -> None:
        product_ids = {product_id for _, product_id in facts}
        if not await alert_states.any_watches(self._database, product_ids):
            return
        async with self._database.transaction() as connection:
            await alert_states.hold(connection)
            watching = await alert_states.watching(connection, product_ids)
            products = await alert_states.in_catalog(connection, product_ids)
            known = await alert_states.known(connection, [alert.id for alert in watching], products)
            states: dict[Pair, KnownState] = {}
            fired: list[tuple[WatchingAlert, LoggedFiring]] = []
            for alert in watching:
                for product_id in products if alert.product_id is None else products & {alert.product_id}:
                    fact = facts.get((FACTS[type(alert.rule.condition)], product_id))
                    if fact is None:
                        continue
                    pair = alert.id, product_id
                    firing = _step(alert, pair, fact, known, states)
                    if firing is not None:
                        fired.append((alert, _logged(pair, firing)))
            if states:
                await alert_states.store(connection, states)
            if fired:
                await _tell(connection, fired)


def _step(
    alert: WatchingAlert, pair: Pair, fact: Fact, known: Mapping[Pair, KnownState], states: dict[Pair, KnownState]
) -> Firing | None:
    before = known.get(pair)
    if fact.at <= (alert.watching_since if before is None else before.changed_at):
        return None
    state = NOTHING_KNOWN if before is None else before.state
    after, firing = evaluate(alert.rule, state, fact)
    if after != state:
        states[pair] = KnownState(fact.at, after)
    return firing


async def _tell(connection: AsyncConnection, fired: list[tuple[WatchingAlert, LoggedFiring]]) -> None:
    new = await alert_firings.insert(connection, [firing for _, firing in fired])
    await enqueue(connection, [_message(alert, firing) for alert, firing in fired if firing.id in new])
    firings_total.inc(len(new))


def _logged(pair: Pair, firing: Firing) -> LoggedFiring:
    alert_id, product_id = pair
    id_ = firing_id(alert_id, product_id, firing.at)
    return LoggedFiring(id_, alert_id, product_id, firing.at, firing.price, firing.reference)


def _message(alert: WatchingAlert, firing: LoggedFiring) -> Message:
    told = {
        "alert_id": alert.id,
        "name": alert.name,
        "product_id": firing.product_id,
        "condition": alert.rule.condition,
        "price": firing.price,
        "reference": firing.reference,
        "at": firing.at,
    }
    return message(firing.id, alert.webhook_id, FIRED, firing.at, told)


def _facts(event: ReceivedBestPriceChanged | NewLowEvent | BackInStockEvent) -> dict[_Key, Fact]:
    match event:
        case NewLowEvent():
            return {
                (NewLow, low.product_id): NewLow(
                    low.at.astimezone(UTC), low.price, low.previous_low_30_days, low.previous_low_ever
                )
                for low in event.data.changes
            }
        case BackInStockEvent():
            return {
                (BackInStock, back.product_id): BackInStock(back.at.astimezone(UTC), back.price)
                for back in event.data.changes
            }
        case _:
            return {
                (BestPriceChange, change.product_id): BestPriceChange(
                    change.at.astimezone(UTC), change.old_price, change.new_price
                )
                for change in event.data.changes
            }
