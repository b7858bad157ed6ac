"""What the REST API answers in a second, next to a route of the same application that returns a constant."""

import json
import sys
from collections.abc import Mapping
from typing import Final, NamedTuple
from urllib.parse import urlsplit

from bench import constant_route
from bench.benchmarks.polling import SECONDS_FOR_EACH_THOUSAND
from bench.outcome import Figure, Outcome, Target
from bench.programs import run_program
from bench.sizes import Sizes
from bench.system import BenchmarkFailed, Say, System, running
from devstack.ports import LOOPBACK, free_port
from devstack.service_process import ServiceProcess

#: `catalog-api serve` with a constant route beside its own.
SERVER: Final = "catalog-api-constant"
WORKERS: Final = ("offers-sync-work", "catalog-api-work", "price-history-work")
CONSTANT: Final = "constant route"
HEALTH: Final = "GET /healthz"
#: The share of the constant route's requests that each is to reach at least; the last one is shown only.
TARGETS: Final[Mapping[str, float | None]] = {
    "GET /products/{id}": 0.30,
    "GET /products?limit=50": 0.12,
    "POST /products": 0.08,
    HEALTH: None,
}
SOME_IDS: Final = 1000
MILLI: Final = 1e3


class Saturated(NamedTuple):
    """Requests answered in a second, and in a second of the server's CPU; the cores that the load itself took."""

    per_second: float
    per_cpu_second: float
    load_cores: float


class Round(NamedTuple):
    """A route saturated, the constant one beside it, and the latencies in ms at half of the route's saturating load."""

    ours: Saturated
    constant: Saturated
    p99: float
    median: float


def measure(sizes: Sizes, say: Say) -> Outcome:
    """Each route in turn with the constant one, as fast as it goes, then at half of that."""
    found: dict[str, list[Round]] = {name: [] for name in TARGETS}
    with running(say) as system:
        system.create_products(sizes.api_products)
        system.wait_until_polled(sizes.api_products, 30 + sizes.api_products / 1000 * SECONDS_FOR_EACH_THOUSAND)
        for worker in WORKERS:
            system.stack.stop_process(worker)
        # The database before the server connects: what serves a connection is as its parent was.
        first = system.put_first("postgresql")
        url = _start_server(system)
        first = system.put_first(SERVER) and first
        requests = _requests(system, url)
        for number in range(sizes.rounds):
            for name, rounds in found.items():
                constant = _saturate(system, url, sizes, requests[CONSTANT])
                ours = _saturate(system, url, sizes, requests[name])
                # Twice as long: what is slow in one request of a hundred is to be seen more than once.
                half = _load(url, sizes.window_seconds, sizes.api_connections, requests[name], ours.per_second / 2)
                rounds.append(Round(ours, constant, half["p99_seconds"] * MILLI, half["median_seconds"] * MILLI))
                say(f"round {number + 1}, {name}: {ours.per_second:,.0f} a second of {constant.per_second:,.0f}")
    cores = max(saturated.load_cores for rounds in found.values() for each in rounds for saturated in each[:2])
    facts = (
        f"{sizes.api_products:,} products with five offers each",
        f"{sizes.api_connections} connections",
        "workers stopped",
        "load, server and database in the real-time class"
        if first
        else "no real-time class allowed: p99 tells of others",
        f"the load itself took at most {cores:.2f} of a core",
    )
    figures = [figure for name, rounds in found.items() for figure in _figures(name, rounds)]
    return Outcome("api", "REST API", figures, [", ".join(facts)])


def _figures(name: str, rounds: list[Round]) -> list[Figure]:
    least = TARGETS[name]
    target = None if least is None else Target("ratio", "at least", least)
    figures = [
        Figure(
            name,
            "requests a second",
            [each.ours.per_second for each in rounds],
            [each.constant.per_second for each in rounds],
            CONSTANT,
            target,
        ),
        Figure(
            name,
            "requests for each CPU second of serve",
            [each.ours.per_cpu_second for each in rounds],
            [each.constant.per_cpu_second for each in rounds],
            CONSTANT,
            target,
        ),
    ]
    if target is not None:
        p99, median = [each.p99 for each in rounds], [each.median for each in rounds]
        under = Target("ratio", "under", 5.0)
        figures.append(Figure(f"{name}, p99 at half of that", "ms", p99, median, "its own median", under))
    return figures


def _start_server(system: System) -> str:
    """Its base URL."""
    plan = system.stack.plan
    if plan is None:
        raise BenchmarkFailed("the stack does not run")
    port = free_port()
    url = f"http://{LOOPBACK}:{port}"
    server = ServiceProcess(
        SERVER,
        [sys.executable, constant_route.__file__],
        env={**plan.environment("catalog-api"), "HOST": LOOPBACK, "PORT": str(port)},
        log=system.stack.folder.log(SERVER),
        health_url=url,
    )
    system.stack.parts[SERVER] = server  # stopped with the others
    server.start()
    server.wait_until_ready()
    return url


def _requests(system: System, url: str) -> dict[str, list[str]]:
    """Whole requests by route."""
    host = urlsplit(url).netloc

    def get(path: str) -> str:
        return f"GET {path} HTTP/1.1\r\nHost: {host}\r\nAccept: application/json\r\n\r\n"

    body = json.dumps({"name": "Benzinová sekačka Dosquarna", "description": "one of many"})
    post = (
        f"POST /api/v1/products HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(body.encode())}\r\n\r\n{body}"
    )
    return {
        CONSTANT: [get(constant_route.PATH)],
        HEALTH: [get("/healthz")],
        "GET /products/{id}": [get(f"/api/v1/products/{known}") for known in system.product_ids()[:SOME_IDS]],
        "GET /products?limit=50": [get("/api/v1/products?limit=50")],
        "POST /products": [post],
    }


def _saturate(system: System, url: str, sizes: Sizes, requests: list[str]) -> Saturated:
    cpu = system.cpu_of(SERVER)
    load = _load(url, sizes.window_seconds / 2, sizes.api_connections, requests, 0)
    used = system.cpu_of(SERVER) - cpu
    return Saturated(load["requests"] / load["seconds"], load["requests"] / used, load["cpu_seconds"] / load["seconds"])


def _load(url: str, seconds: float, connections: int, requests: list[str], rate: float) -> dict[str, float]:
    server = urlsplit(url)
    return run_program(
        "load", server.hostname, server.port, connections, seconds, rate, given=json.dumps(requests), first=True
    )
