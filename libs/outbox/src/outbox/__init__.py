"""A transactional outbox on PostgreSQL: events are stored with the change that they tell of, a relay publishes them."""

from outbox.relay import OutboxRelay, UnmigratedError
from outbox.table import WAKE_RELAY, enqueue, event_columns, outbox_table, storing_events

__all__ = ["WAKE_RELAY", "OutboxRelay", "UnmigratedError", "enqueue", "event_columns", "outbox_table", "storing_events"]
