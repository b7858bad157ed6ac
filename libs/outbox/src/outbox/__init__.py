"""A transactional outbox on PostgreSQL: events are stored with the change that they tell of, a relay publishes them."""

from outbox.relay import OutboxRelay
from outbox.table import enqueue, outbox_table

__all__ = ["OutboxRelay", "enqueue", "outbox_table"]
