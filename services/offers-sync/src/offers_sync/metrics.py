"""What this service counts, for Prometheus."""

from typing import Final

from prometheus_client import Counter, Gauge, Histogram

polls: Final = Counter("aggregator_offers_sync_polls_total", "Polls of a product by outcome", ["outcome"])
poll_seconds: Final = Histogram(
    "aggregator_offers_sync_poll_seconds",
    "How long a call for a product's offers took",
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30),
)
slot_lag_seconds: Final = Histogram(
    "aggregator_offers_sync_slot_lag_seconds",
    "How long after its slot began the longest due bucket of a claim was claimed",
    buckets=(0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300),
)
skipped_slots: Final = Counter("aggregator_offers_sync_skipped_slots_total", "Slots of a bucket that were not polled")
dropped_rows: Final = Counter("aggregator_offers_sync_dropped_rows_total", "Offer rows left out by reason", ["reason"])
bad_answers: Final = Counter(
    "aggregator_offers_sync_bad_answers_total", "Answers that mean nothing in the protocol", ["call", "reason"]
)
updates: Final = Counter("aggregator_offers_sync_updates_total", "Changed lists by what became of them", ["outcome"])
lost_leases: Final = Counter("aggregator_offers_sync_lost_leases_total", "Buckets whose lease ended under us")
registrations: Final = Counter(
    "aggregator_offers_sync_registrations_total", "Registration calls by outcome", ["outcome"]
)
products: Final = Gauge("aggregator_offers_sync_products", "Products by status", ["status"])
gate_state: Final = Gauge(
    "aggregator_offers_sync_calls_state", "1 for the state that calls to the Offers MS are in", ["state"]
)
token_rejected: Final = Gauge("aggregator_offers_sync_token_rejected", "1 while the Offers MS rejects the access token")
cycle_age_seconds: Final = Gauge(
    "aggregator_offers_sync_cycle_age_seconds", "Since when some due product has been waiting for its poll"
)
requests_in_flight: Final = Gauge("aggregator_offers_sync_requests_in_flight", "Calls to the Offers MS under way")

# The outcomes of nearly every poll; looking up a label costs more than counting.
polls_unchanged: Final = polls.labels("unchanged")
polls_changed: Final = polls.labels("changed")
