"""What each broker account may do, as RabbitMQ's regular expressions over names.

A service's account configures nothing. Whoever may declare and read an exchange or a queue of its own and write to
`aggregator.events` can join the two (by a binding, an alternate exchange, a dead-letter exchange), and so publish there
under any routing key: topic permissions look at the client's routing key only. Nobody writes to the default
exchange either, which leads into every queue.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from aggregator_contracts import EVENT_CLASSES
from aggregator_contracts.topology import (
    EXCHANGE,
    LOG,
    SERVICES,
    SUBSCRIBER,
    SUBSCRIPTIONS,
    dead_letter_exchange,
    parked_queue,
)

NOTHING: Final = "^$"


@dataclass(frozen=True, slots=True)
class Permissions:
    """What one account may do. Those of a topic are about `aggregator.events`.

    Attributes:
        configure: exchanges and queues that it may declare and delete.
        write: exchanges that it may publish to, and queues that it may bind.
        read: queues that it may consume, and exchanges that it may bind to.
        topic_write: the routing keys that it may publish with.
        topic_read: the routing keys that it may bind to.
    """

    account: str
    configure: str
    write: str
    read: str
    topic_write: str
    topic_read: str


def of_service(service: str) -> Permissions:
    """Publishes its own event types, consumes its own queues, moves messages among these, reads the log; no more."""
    published = [event.TYPE for event in EVENT_CLASSES if event.SOURCE.removeprefix("/") == service]
    consumed = [subscription.queue for subscription in SUBSCRIPTIONS if subscription.service == service]
    return Permissions(
        account=service,
        configure=NOTHING,
        write=_any_of([*([EXCHANGE] if published else []), dead_letter_exchange(service)]),
        read=_any_of([*consumed, parked_queue(service), LOG]),
        topic_write=_any_of(published),
        topic_read=NOTHING,
    )


def of_subscribers() -> Permissions:
    """Reads the log; binds queues of its own, named by its name and a dot, to all events; publishes none."""
    own = rf"{SUBSCRIBER}\..+"
    return Permissions(
        account=SUBSCRIBER,
        configure=f"^{own}$",
        write=f"^{own}$",
        read=f"^({_literally(EXCHANGE)}|{_literally(LOG)}|{own})$",
        topic_write=NOTHING,
        topic_read=".*",
    )


def _any_of(names: Iterable[str]) -> str:
    alternatives = "|".join(map(_literally, names))
    return f"^({alternatives})$" if alternatives else NOTHING


def _literally(name: str) -> str:
    return name.replace(".", r"\.")  # all else in our names are letters, digits and hyphens


PERMISSIONS: Final = (*map(of_service, SERVICES), of_subscribers())
