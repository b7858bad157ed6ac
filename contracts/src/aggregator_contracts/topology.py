"""The broker's names: the exchange, and each of our queues with the events that it receives.

Every process of ours declares all of it before it publishes, or finds all of it declared, so that no event is confirmed
while the queue of a service that has not started yet is missing.
"""

from dataclasses import dataclass
from typing import Final

from aggregator_contracts.envelope import Event
from aggregator_contracts.events import (
    OffersUpdated,
    ProductCreated,
    ProductDeleted,
    ProductRegistered,
    ProductRegistrationFailed,
    ProductUpdated,
)
from aggregator_contracts.price_events import BackInStock, BestPriceChanged, NewLow

EXCHANGE: Final = "aggregator.events"
"""Durable topic exchange; the routing key of a message is its event's type."""
LOG: Final = "aggregator.log"
"""The stream that keeps every event of the last days, in the order of their publishing, to be read again and again."""
SUBSCRIBER: Final = "subscriber"
"""The broker account of other systems, and what the names of all their queues begin with."""


def parked_queue(service: str) -> str:
    """The queue in which a service keeps messages that it can't handle."""
    return f"{service}.parked"


def dead_letter_exchange(service: str) -> str:
    """The direct exchange to all queues of a service, each by its name; only that service publishes to it."""
    return f"{service}.dead-letter"


@dataclass(frozen=True, slots=True)
class Subscription:
    """A durable queue of one service for one purpose, and the events bound to it.

    `ordered` queues have one active consumer at a time, the others stand by: two would overtake each other.
    """

    service: str
    purpose: str
    events: tuple[type[Event], ...]
    ordered: bool = False

    @property
    def queue(self) -> str:
        """The queue's name."""
        return f"{self.service}.{self.purpose}"

    @property
    def retry_queue(self) -> str:
        """Where its messages wait before they are tried again."""
        return f"{self.queue}.retry"

    @property
    def parked_queue(self) -> str:
        """Where its service keeps messages that it can't handle."""
        return parked_queue(self.service)

    @property
    def dead_letter_exchange(self) -> str:
        """The way back to it, and to where its messages wait or are parked, each queue by its name."""
        return dead_letter_exchange(self.service)


CATALOG_OFFERS: Final = Subscription("catalog-api", "offers", (OffersUpdated,))
CATALOG_REGISTRATIONS: Final = Subscription(
    "catalog-api", "registrations", (ProductRegistered, ProductRegistrationFailed)
)
# An alert goes by what was before: of changes that overtake each other it would miss some.
CATALOG_ALERTS: Final = Subscription("catalog-api", "alerts", (BestPriceChanged, NewLow, BackInStock), ordered=True)
SYNC_PRODUCTS: Final = Subscription("offers-sync", "products", (ProductCreated, ProductUpdated, ProductDeleted))
# A history with gaps is wrong: an update that overtakes an earlier one of its product makes that one stale.
HISTORY_OFFERS: Final = Subscription("price-history", "offers", (OffersUpdated,), ordered=True)
HISTORY_PRODUCTS: Final = Subscription("price-history", "products", (ProductCreated, ProductDeleted))

SUBSCRIPTIONS: Final = (
    CATALOG_OFFERS,
    CATALOG_REGISTRATIONS,
    CATALOG_ALERTS,
    SYNC_PRODUCTS,
    HISTORY_OFFERS,
    HISTORY_PRODUCTS,
)
SERVICES: Final = tuple(dict.fromkeys(subscription.service for subscription in SUBSCRIPTIONS))
"""Those that consume; the names of their broker accounts, too."""
