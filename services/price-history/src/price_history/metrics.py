"""What the service counts."""

from typing import Final

from prometheus_client import Counter, Gauge, Histogram

lists: Final = Counter(
    "aggregator_price_history_lists_total",
    "Observed lists of offers: applied, or stale (repeated, overtaken, or of a deleted product)",
    ["outcome"],
)
changes: Final = Counter("aggregator_price_history_changes_total", "Price changes stored")
best_price_changes: Final = Counter(
    "aggregator_price_history_best_price_changes_total", "Changes of best prices told of"
)
stored_after: Final = Histogram(
    "aggregator_price_history_stored_after_seconds",
    "Time from the observation of the first list with changes in a message to all of them being stored",
    buckets=(0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 1800, 7200),
)
products: Final = Counter("aggregator_price_history_product_events_total", "Products made known or deleted", ["event"])
oldest_partition: Final = Gauge(
    "aggregator_price_history_oldest_partition_seconds", "Age of the start of the oldest month that is kept"
)
rollup_queue: Final = Gauge("aggregator_price_history_rollup_queue", "Blocks of rollups that wait to be made")
