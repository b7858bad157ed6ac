"""A transactional outbox on PostgreSQL: events are stored with the change that they tell of, a relay publishes them."""

from outbox.relay import OutboxRelay
from outbox.table import WAKE_RELAY, enqueue, event_columns, outbox_table, storing_events

__all__ = ["WAKE_RELAY", "OutboxRelay", "enqueue", "event_columns", "outbox_table", "storing_events"]
