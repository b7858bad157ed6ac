"""The whole stack as someone starts it on a fresh clone: `docker compose up`, then `make up`, scaled, restarted."""

import itertools
import json
import re
import stat
import threading
from collections.abc import Iterator
from functools import partial
from typing import Any, Self

import pytest
from tests.compose.composition import Composition, docker

from aggregator_contracts.topology import SUBSCRIPTIONS
from devstack import loopback_http
from devstack.conditions import wait_until
from devstack.demo import SAMPLE

PROCESSES = {
    "catalog-api": "serve",
    "catalog-api-worker": "work",
    "offers-sync-worker": "work",
    "price-history-api": "serve",
    "price-history-worker": "work",
    "offers-simulator": "serve",
}
SERVERS = ("postgres", "rabbitmq")
MIGRATIONS = ("catalog-api-migrate", "offers-sync-migrate", "price-history-migrate")
IMAGES = ("catalog-api", "offers-sync", "price-history", "offers-simulator")
BUILDERS = "pip pip3 uv uvx gcc cc g++ c++ clang ld make cargo go curl wget"
QUICK = {"OFFERS_POLL_INTERVAL_SECONDS": "2", "SIMULATOR_TICK_SECONDS": "2"}
SETTLE_SECONDS = 120.0

pytestmark = pytest.mark.timeout(1800)
Json = dict[str, Any]


@pytest.fixture(scope="module")
def stack(composition: Composition) -> Composition:
    composition.environment.update(QUICK)
    composition.compose("up", "--build", "--detach", "--wait")
    return composition


@pytest.fixture(scope="module")
def made(stack: Composition) -> Composition:
    """The same stack after `make up`."""
    stack.run("make", "up")
    return stack


class Writer:
    """Creates products without a break; remembers those that were accepted."""

    def __init__(self, catalog: str) -> None:
        self.accepted: list[str] = []
        self._catalog = catalog
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._write)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _write(self) -> None:
        number = 0
        while not self._stop.wait(0.2):
            number += 1
            product = {"name": f"written {number}", "description": ""}
            try:
                answer = loopback_http.call("POST", f"{self._catalog}/products", product, seconds=5)
            except OSError:
                continue
            self.accepted.append(answer["id"])


def healthy(stack: Composition, service: str, copies: int = 1) -> bool:
    states = [container["State"] for container in stack.containers(service)]
    return len(states) == copies and all(state.get("Health", {}).get("Status") == "healthy" for state in states)


def every_product(stack: Composition) -> Iterator[Json]:
    cursor = ""
    while True:
        page = loopback_http.call("GET", f"{stack.catalog}/products?limit=100{cursor}")
        yield from page["items"]
        if page["next_cursor"] is None:
            return
        cursor = f"&cursor={page['next_cursor']}"


def what_is_unsettled(stack: Composition) -> list[str]:
    """Everything on its way, and everything that disagrees with the Offers MS; its clock stands still."""
    found = []
    truth = loopback_http.call("GET", f"{stack.url('SIMULATOR_PORT')}/admin/offers")["offers"]
    for product in every_product(stack):
        product_id = product["id"]
        if product["registration"] != "registered":
            found.append(f"{product_id} is {product['registration']}")
            continue
        shown = loopback_http.call("GET", f"{stack.catalog}/products/{product_id}/offers")["items"]
        if {o["id"]: (o["price"], o["items_in_stock"]) for o in shown} != {
            str(o["id"]): (o["price"], o["items_in_stock"]) for o in truth[product_id]
        }:
            found.append(f"{product_id} shows {shown}, and the Offers MS has {truth[product_id]}")
        trend = loopback_http.call("GET", f"{stack.catalog}/products/{product_id}/trend?period=1h&resolution=raw")
        if (trend["prices"] or [None])[-1] != product["best_price"]:
            found.append(f"the history of {product_id} ends with {trend['prices'][-1:]}, not {product['best_price']}")
    for database in ("catalog", "offers_sync"):
        found += [
            f"{n} events wait in {database}" for n in stack.query(database, "SELECT count(*) FROM outbox") if n != "0"
        ]
    lengths = {
        queue["name"]: queue.get("messages", -1) for queue in stack.management().call("GET", "/queues/aggregator")
    }
    for subscription in SUBSCRIPTIONS:
        for queue in (subscription.queue, subscription.retry_queue, subscription.parked_queue):
            if lengths.get(queue, -1) != 0:
                found.append(f"{lengths.get(queue)} messages in {queue}")
    return found


def test_docker_compose_up_needs_no_preparation(stack: Composition) -> None:
    assert not (stack.folder / ".env").exists()
    for service in (*PROCESSES, *SERVERS):
        assert healthy(stack, service), service
    for service in ("secrets", "databases", *MIGRATIONS):
        (container,) = stack.containers(service)
        assert (container["State"]["Status"], container["State"]["ExitCode"]) == ("exited", 0), service
    passwords = {stack.secret("rabbitmq", name) for name in ("administrator", "catalog-api", "offers-sync")}
    assert len(passwords) == 3
    assert {len(password) for password in passwords} == {48}


def test_make_up_keeps_passwords_and_fills_the_empty_catalog(stack: Composition) -> None:
    last_line = stack.run("make", "up").splitlines()[-1]

    assert last_line == f"READY {stack.url('CATALOG_PORT')}"
    file = stack.folder / ".env"
    written = file.read_text()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert {product["name"] for product in every_product(stack)} == {name for name, _ in SAMPLE}
    values = dict(line.split("=") for line in written.splitlines() if "=" in line)
    assert stack.secret("rabbitmq", "administrator") == values["ADMINISTRATOR_RABBITMQ_PASSWORD"]

    stack.run("make", "up")

    assert file.read_text() == written
    assert len(list(every_product(stack))) == len(SAMPLE)


@pytest.mark.parametrize("service", [*PROCESSES, *SERVERS])
def test_a_container_may_do_little(made: Composition, service: str) -> None:
    (container,) = made.containers(service)
    config, host = container["Config"], container["HostConfig"]

    assert config["User"] not in ("", "0", "root")
    if service in PROCESSES:
        assert config["User"] == "10001:10001"
        assert config["StopSignal"] == "SIGTERM"
        assert config["Cmd"] == [PROCESSES[service]]
    assert host["ReadonlyRootfs"] is True
    assert host["CapDrop"] == ["ALL"]
    assert not host["CapAdd"]
    assert "no-new-privileges:true" in host["SecurityOpt"]
    assert not host["Privileged"]
    assert host["RestartPolicy"]["Name"] == "unless-stopped"
    assert host["Memory"] > 0
    assert host["NanoCpus"] > 0
    assert host["PidsLimit"] > 0
    published = [address for addresses in host["PortBindings"].values() for address in addresses]
    assert all(address["HostIp"] == "127.0.0.1" for address in published)
    assert not any("docker.sock" in mount["Source"] for mount in container["Mounts"])


@pytest.mark.parametrize("service", PROCESSES)
def test_a_process_is_told_its_own_secrets_and_no_others(made: Composition, service: str) -> None:
    (container,) = made.containers(service)
    values = dict(line.split("=") for line in (made.folder / ".env").read_text().splitlines() if "=" in line)
    own = {"offers-simulator": "-"}.get(service, service.removesuffix("-worker").removesuffix("-api"))
    service_name = "catalog-api" if own == "catalog" else own
    prefix = service_name.replace("-", "_").upper()

    environment = " ".join(container["Config"]["Env"])
    assert not any(value in environment for value in values.values())
    script = "cat /run/secrets/* 2>/dev/null; exit 0"
    readable = made.compose("exec", "-T", service, "sh", "-c", script)
    seen = {name for name, value in values.items() if value in readable}
    token = {"PRICE_HISTORY_TOKEN"} if service in ("catalog-api", "price-history-api") else set()
    expected = (
        set() if own == "-" else {f"{prefix.removesuffix('_API')}_DB_PASSWORD", f"{prefix}_RABBITMQ_PASSWORD"} | token
    )
    assert seen == expected


def test_accounts_may_do_what_their_service_needs_and_no_more(made: Composition) -> None:
    for database, other in itertools.permutations(("catalog", "offers_sync", "price_history"), 2):
        assert made.query(database, f"SELECT has_database_privilege('{other}', '{database}', 'CONNECT')") == ["f"]
    for database in ("catalog", "offers_sync", "price_history"):
        makes = f"SELECT has_schema_privilege('{database}', 'public', 'CREATE')"
        owners = "SELECT DISTINCT tableowner FROM pg_tables WHERE schemaname = 'public'"
        assert made.query(database, makes) + made.query(database, owners) == ["f", f"{database}_owner"]
    told = json.loads((made.folder / "deploy/rabbitmq/definitions.json").read_text())
    allowed = made.management().call("GET", "/permissions")
    assert sorted(told["permissions"], key=str) == sorted((a for a in allowed if a["user"] != "administrator"), key=str)
    assert sorted(told["topic_permissions"], key=str) == sorted(
        made.management().call("GET", "/topic-permissions"), key=str
    )


@pytest.mark.parametrize("image", IMAGES)
def test_an_image_has_no_secrets_and_nothing_that_builds(made: Composition, image: str) -> None:
    name = f"aggregator/{image}:test"
    history = docker("history", "--no-trunc", "--format", "{{.CreatedBy}}", name)
    values = [line.split("=")[1] for line in (made.folder / ".env").read_text().splitlines() if "=" in line]

    assert not any(value in history for value in values)
    assert "PIP_INDEX_URL" not in history
    script = f"for name in {BUILDERS}; do command -v $name; done; exit 0"
    assert docker("run", "--rm", "--network", "none", "--entrypoint", "sh", name, "-c", script) == ""
    modules = "import importlib.util as u; print([m for m in ('pip', 'ensurepip', 'setuptools') if u.find_spec(m)])"
    for python in ("/app/bin/python", "python3"):
        assert docker("run", "--rm", "--entrypoint", python, name, "-c", modules).strip() == "[]"
    (inspected,) = json.loads(docker("image", "inspect", name))
    labels = inspected["Config"]["Labels"]
    assert labels["org.opencontainers.image.title"] == image
    assert labels["org.opencontainers.image.version"] == "test"
    assert inspected["Config"]["Healthcheck"]["Test"] == ["CMD", "healthy", "/healthz"]


def test_an_image_has_what_its_service_needs_and_no_more(made: Composition) -> None:  # noqa: ARG001 - builds them
    modules = ("fastapi", "aiohttp", "faststream", "asyncpg", "aiolimiter", "pytest", "hypothesis", "devstack")
    ask = f"import importlib.util as u; print(*[m for m in {modules!r} if u.find_spec(m)])"
    found = {
        image: set(
            docker("run", "--rm", "--entrypoint", "/app/bin/python", f"aggregator/{image}:test", "-c", ask).split()
        )
        for image in IMAGES
    }

    assert found == {
        "catalog-api": {"fastapi", "aiohttp", "faststream", "asyncpg"},
        "offers-sync": {"aiohttp", "faststream", "asyncpg", "aiolimiter"},
        "price-history": {"fastapi", "faststream", "asyncpg"},
        "offers-simulator": set(),
    }


def test_the_broker_tells_prometheus_how_long_each_queue_is(made: Composition) -> None:
    url = "http://rabbitmq:15692/metrics/detailed?family=queue_coarse_metrics"
    ask = f"import urllib.request as r; print(r.urlopen({url!r}).read().decode())"
    told = made.compose("exec", "-T", "catalog-api", "/app/bin/python", "-c", ask)

    for subscription in SUBSCRIPTIONS:
        assert f'rabbitmq_detailed_queue_messages{{vhost="aggregator",queue="{subscription.queue}"}}' in told


def test_three_copies_of_a_worker_share_its_work(made: Composition) -> None:
    made.compose("up", "--detach", "--wait", "--scale", "offers-sync-worker=3")
    assert healthy(made, "offers-sync-worker", copies=3)
    items = [{"name": f"shared {number}", "description": ""} for number in range(60)]
    loopback_http.call("POST", f"{made.catalog}/products/batch", {"items": items})

    def polled(copy: int) -> bool:
        lines = made.metrics("offers-sync-worker", copy).splitlines()
        return any(
            float(line.split()[1]) > 0 for line in lines if line.startswith("aggregator_offers_sync_polls_total{")
        )

    for copy in (1, 2, 3):
        assert wait_until(partial(polled, copy), seconds=SETTLE_SECONDS), f"copy {copy} polls nothing"


def test_nothing_is_lost_when_each_container_is_restarted(made: Composition) -> None:
    copies = {"offers-sync-worker": len(made.containers("offers-sync-worker"))}
    with Writer(made.catalog) as writer:
        for service in (*SERVERS, *PROCESSES):
            made.compose("restart", service)
            assert wait_until(partial(healthy, made, service, copies.get(service, 1)), seconds=SETTLE_SECONDS), (
                f"{service} does not recover"
            )
    assert wait_until(lambda: all(healthy(made, s, copies.get(s, 1)) for s in PROCESSES), seconds=SETTLE_SECONDS)

    loopback_http.call("PATCH", f"{made.url('SIMULATOR_PORT')}/admin/clock", {"frozen": True})
    left: list[str] = ["not looked at yet"]

    def settled() -> bool:
        left[:] = what_is_unsettled(made)
        return not left

    assert wait_until(settled, seconds=SETTLE_SECONDS), "\n".join(left[:10])
    assert len(writer.accepted) > 20
    assert set(writer.accepted) <= {product["id"] for product in every_product(made)}
    tokens = loopback_http.call("GET", f"{made.url('SIMULATOR_PORT')}/admin/tokens")
    assert tokens["count"] == 1


def test_every_process_drains_when_it_is_told_to_stop(made: Composition) -> None:
    made.compose("stop", *PROCESSES)

    stopped = [container for service in PROCESSES for container in made.containers(service)]
    assert {container["State"]["ExitCode"] for container in stopped} == {0}
    made.compose("up", "--detach", "--wait", "--no-recreate", "--scale", "offers-sync-worker=3")


def test_data_outlives_make_down(made: Composition) -> None:
    before = {product["id"] for product in every_product(made)}

    made.run("make", "down")
    assert made.containers() == []
    made.run("make", "up")

    assert {product["id"] for product in every_product(made)} == before


def test_where_access_is_required_the_first_token_opens_the_catalog_and_the_history_behind_it(
    made: Composition,
) -> None:
    product = next(every_product(made))["id"]
    urls = [f"{made.catalog}/products/{product}{rest}" for rest in ("", "/trend?period=1h&resolution=raw")]
    made.compose("up", "--detach", "--wait", API_AUTH="required")

    told = re.findall(r"agg_\w+", made.compose("logs", "--no-log-prefix", "catalog-api-migrate"))
    assert len(told) == 1
    for url in urls:
        assert " answered 401: " in str(loopback_http.failure(url))
        assert loopback_http.failure(url, headers={"Authorization": f"Bearer {told[0]}"}) is None
    behind = f"{made.url('PRICE_HISTORY_PORT')}/api/v1/products/{product}/trend?period=1h&resolution=raw"
    assert " answered 401: " in str(loopback_http.failure(behind))
    assert " answered 401: " in str(loopback_http.failure(behind, headers={"Authorization": f"Bearer {told[0]}"}))
