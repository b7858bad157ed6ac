"""Health and metrics, as every process of the project has them."""

from collections import Counter
from collections.abc import Iterator

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from offers_simulator.accounts.accounts import Accounts
from offers_simulator.admin.routing import Route
from offers_simulator.http.message import Request, Response, json_response
from offers_simulator.ledger import Ledger


class SimulatorCollector(Collector):
    """Reads the metrics off the ledger and the accounts when Prometheus asks, which costs the calls nothing."""

    def __init__(self, accounts: Accounts, ledger: Ledger) -> None:
        self._accounts = accounts
        self._ledger = ledger

    def collect(self) -> Iterator[Metric]:
        """Calls by endpoint and status, and registered products."""
        calls = CounterMetricFamily(
            "aggregator_offers_simulator_calls", "Calls to the simulated Offers MS", labels=("endpoint", "status")
        )
        totals: Counter[tuple[str, str]] = Counter()
        for outcome, count in self._ledger.totals().items():
            totals[outcome.endpoint, str(outcome.status or "none")] += count
        for labels, total in totals.items():
            calls.add_metric(labels, total)
        yield calls
        yield GaugeMetricFamily(
            "aggregator_offers_simulator_registered_products", "Registered products", self._accounts.product_count
        )


class HealthAdmin:
    """Handlers for `/healthz`, `/readyz` and `/metrics`."""

    def __init__(self, accounts: Accounts, ledger: Ledger) -> None:
        self._registry = CollectorRegistry()
        ProcessCollector(registry=self._registry)
        self._registry.register(SimulatorCollector(accounts, ledger))

    def routes(self) -> list[Route]:
        """What this class answers."""
        return [
            Route("GET", "/healthz", self.alive, "the process lives"),
            Route("GET", "/readyz", self.ready, "it depends on nothing, so it is ready when it lives"),
            Route("GET", "/metrics", self.metrics, "Prometheus"),
        ]

    def alive(self, _: Request) -> Response:
        """Always 200."""
        return json_response(200, {"status": "alive"})

    def ready(self, _: Request) -> Response:
        """Always 200."""
        return json_response(200, {"status": "ready"})

    def metrics(self, _: Request) -> Response:
        """The text format."""
        return Response(200, generate_latest(self._registry), CONTENT_TYPE_LATEST)
