"""Real parts for tests: a PostgreSQL server and a RabbitMQ broker, shared by all workers of a run.

They come, in this order, from TEST_DATABASE_URL and TEST_RABBITMQ_URL (whose accounts may create databases and virtual
hosts; TEST_RABBITMQ_MANAGEMENT_URL where the management API is not on port 15672), from containers where a Docker
engine answers (of POSTGRES_IMAGE and RABBITMQ_IMAGE, where these are set), and from devstack. They are started when the
tests chosen need them, before the first one runs.
"""

import os
import tempfile
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import hypothesis
import psycopg2
import pytest

from devstack.broker_management import BrokerManagement
from devstack.conditions import wait_until
from devstack.databases import make_roles
from devstack.postgresql import PostgresServer
from devstack.rabbitmq import RabbitNode
from devstack.throwaway import shared_by_run, throwaway_broker, throwaway_postgres
from event_bus.definitions import definitions
from event_bus.permissions import PERMISSIONS

# A busy machine is no wrong answer.
hypothesis.settings.register_profile("any machine", deadline=None)
hypothesis.settings.load_profile("any machine")

PARTS = pytest.StashKey[dict[str, Any]]()
CLOSE = pytest.StashKey[ExitStack]()
START_SECONDS = 90.0


def pytest_collection_finish(session: pytest.Session) -> None:
    """Launch what the collected tests will ask for; it starts while the first of them run."""
    wanted = {name for item in session.items for name in getattr(item, "fixturenames", ())}
    openers = {
        name: opener for name, opener in (("postgres", open_postgres), ("broker", open_broker)) if name in wanted
    }
    if not openers or session.config.option.collectonly:
        return
    run = os.environ.get("PYTEST_XDIST_TESTRUNUID", uuid.uuid4().hex)
    close = session.config.stash[CLOSE] = ExitStack()
    folder = Path(tempfile.gettempdir()) / f"aggregator-tests-{run}"
    session.config.stash[PARTS] = close.enter_context(shared_by_run(folder, openers))


def pytest_unconfigure(config: pytest.Config) -> None:
    """Stop what was launched."""
    config.stash.get(CLOSE, ExitStack()).close()


@pytest.fixture(scope="session")
def postgres(pytestconfig: pytest.Config) -> str:
    """DSN of the shared server, which answers."""
    dsn: str = pytestconfig.stash[PARTS]["postgres"]

    def answers() -> bool:
        with suppress(psycopg2.OperationalError):
            psycopg2.connect(dsn, connect_timeout=2).close()
            return True
        return False

    assert wait_until(answers, seconds=START_SECONDS), "the PostgreSQL server for tests does not answer"
    return dsn


@pytest.fixture(scope="session")
def broker(pytestconfig: pytest.Config) -> tuple[str, BrokerManagement]:
    """AMQP URL of the shared broker, and its management API, which answers."""
    part = pytestconfig.stash[PARTS]["broker"]
    management = BrokerManagement(**part["management"])
    assert wait_until(management.answers, seconds=START_SECONDS), "the RabbitMQ broker for tests does not answer"
    return part["url"], management


@pytest.fixture(scope="session")
def postgres_dsn(postgres: str) -> str:
    """DSN of an account of the shared server that may do anything on it."""
    return postgres


@pytest.fixture(scope="session")
def database_roles(postgres: str) -> Iterator[tuple[str, str]]:
    """The names of an owner and of a role to run in, for databases of services."""
    name = f"test_{uuid.uuid4().hex}"
    roles = (f"{name}_owner", name)
    yield roles
    for role in roles:
        _execute(postgres, f'DROP ROLE IF EXISTS "{role}"')


@pytest.fixture(scope="session")
def service_database(
    postgres: str, database_roles: tuple[str, str], make_database: Callable[..., str]
) -> Callable[[Callable[[str], object]], str]:
    """`service_database(migrate)` returns the DSN of a migrated database for the role that services run in."""
    owner, role = database_roles
    password = uuid.uuid4().hex

    def make(migrate: Callable[[str], object]) -> str:
        dsn = make_database()
        make_roles(postgres, urlsplit(dsn).path[1:], owner=(owner, password), role=(role, password))
        migrate(_as(dsn, owner, password))
        return _as(dsn, role, password)

    return make


@pytest.fixture(scope="session")
def as_administrator(postgres: str) -> Callable[[str], str]:
    """`as_administrator(dsn)` leads to the same database with an account that may do anything."""
    return lambda dsn: urlunsplit(urlsplit(postgres)._replace(path=urlsplit(dsn).path))


@pytest.fixture(scope="session")
def make_database(
    postgres: str,
    database_roles: tuple[str, str],  # noqa: ARG001 - they can be dropped when no database knows them any more
) -> Iterator[Callable[..., str]]:
    """`make_database()` returns the DSN of a fresh empty database; `make_database(template=dsn)` of a copy of one.

    The copy's DSN has the template's account, and an administrator's without a template.
    A copy takes some 30 ms, so the way to many migrated databases is to migrate one and copy it. Nobody may be
    connected to a template while it is copied. All are dropped at the end of the run.
    """
    made: list[str] = []

    def make(*, template: str | None = None) -> str:
        name = f"test_{uuid.uuid4().hex}"
        source = "template1" if template is None else urlsplit(template).path[1:]
        _execute(postgres, f'CREATE DATABASE "{name}" TEMPLATE "{source}"')
        made.append(name)
        return urlunsplit(urlsplit(template or postgres)._replace(path=f"/{name}"))

    yield make
    for name in made:
        _execute(postgres, f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')


@pytest.fixture(scope="session")
def rabbitmq_management(broker: tuple[str, BrokerManagement]) -> BrokerManagement:
    """The management API of the shared broker."""
    return broker[1]


@pytest.fixture
def rabbitmq_url(broker: tuple[str, BrokerManagement]) -> Iterator[str]:
    """URL of a fresh virtual host, which is deleted after the test, with its connections."""
    url, management = broker
    vhost = f"test-{uuid.uuid4().hex}"
    management.create_vhost(vhost)
    yield urlunsplit(urlsplit(url)._replace(path=f"/{vhost}"))
    management.delete_vhost(vhost)


@pytest.fixture
def broker_accounts(rabbitmq_url: str, rabbitmq_management: BrokerManagement) -> Iterator[Callable[[str], str]]:
    """`broker_accounts("catalog-api")` is the URL of that service's own account in the test's virtual host."""
    parts = urlsplit(rabbitmq_url)
    vhost = parts.path[1:]
    prefix, password = f"{vhost}.", uuid.uuid4().hex
    passwords = {permissions.account: password for permissions in PERMISSIONS}
    rabbitmq_management.load(definitions(vhost, passwords, prefix=prefix))

    def url(account: str) -> str:
        place = parts.netloc.rpartition("@")[2]
        return urlunsplit(parts._replace(netloc=f"{prefix}{account}:{passwords[account]}@{place}"))

    yield url
    for account in passwords:
        rabbitmq_management.delete_user(f"{prefix}{account}")


@pytest.fixture
def private_postgres(tmp_path: Path) -> Iterator[PostgresServer]:
    """A running server of this test's own, to be stopped, killed and started again."""
    server = throwaway_postgres(tmp_path / "postgresql")
    server.start()
    try:
        server.wait_until_ready()
        yield server
    finally:
        server.stop()


@pytest.fixture
def private_broker(tmp_path: Path) -> Iterator[RabbitNode]:
    """A running broker of this test's own, to be stopped, killed and started again; takes some seven seconds."""
    node = throwaway_broker(tmp_path / "rabbitmq")
    node.start()
    try:
        node.wait_until_ready()
        yield node
    finally:
        node.kill()


def open_postgres(close: ExitStack, folder: Path) -> str:
    """Find or launch a server; returns a DSN."""
    if given := os.environ.get("TEST_DATABASE_URL"):
        return given
    if docker_answers():
        # Slow to import, and seldom needed.
        from testcontainers.community.postgres import PostgresContainer  # noqa: PLC0415

        image = os.environ.get("POSTGRES_IMAGE", "postgres:18")
        container = close.enter_context(PostgresContainer(image, driver=None))
        url: str = container.get_connection_url()
        return url
    server = throwaway_postgres(folder)
    server.start()
    close.callback(server.stop)
    return server.dsn()


def open_broker(close: ExitStack, folder: Path) -> dict[str, Any]:
    """Find or launch a broker; returns an AMQP URL and what reaches its management API."""
    if given := os.environ.get("TEST_RABBITMQ_URL"):
        parts = urlsplit(given)
        management = os.environ.get("TEST_RABBITMQ_MANAGEMENT_URL", f"http://{parts.hostname}:15672")
        user, password = parts.username or "guest", parts.password or "guest"
        return {"url": given, "management": {"url": management, "user": user, "password": password}}
    if docker_answers():
        # Slow to import, and seldom needed. The library's own class for RabbitMQ wants one more client, to wait with.
        from testcontainers.core.container import DockerContainer  # noqa: PLC0415

        account = {"user": "test", "password": uuid.uuid4().hex}
        container = close.enter_context(
            DockerContainer(os.environ.get("RABBITMQ_IMAGE", "rabbitmq:4-management"))
            .with_exposed_ports(5672, 15672)
            .with_env("RABBITMQ_DEFAULT_USER", account["user"])
            .with_env("RABBITMQ_DEFAULT_PASS", account["password"])
        )
        host = container.get_container_host_ip()
        url = f"amqp://{account['user']}:{account['password']}@{host}:{container.get_exposed_port(5672)}/"
        return {"url": url, "management": {"url": f"http://{host}:{container.get_exposed_port(15672)}", **account}}
    node = throwaway_broker(folder)
    node.start()
    close.callback(node.kill)
    reach = node.management
    return {"url": node.url(), "management": {"url": reach.url, "user": reach.user, "password": reach.password}}


@cache
def docker_answers() -> bool:
    """Whether there is a Docker engine for containers; asks for at most two seconds."""
    if not os.environ.get("DOCKER_HOST") and not Path("/var/run/docker.sock").exists():
        return False
    import docker  # type: ignore[import-untyped]  # noqa: PLC0415 - slow to import, and seldom needed

    try:
        client = docker.from_env(timeout=2)
        try:
            return bool(client.ping())
        finally:
            client.close()
    except (docker.errors.DockerException, OSError):
        return False


def _as(dsn: str, role: str, password: str) -> str:
    parts = urlsplit(dsn)
    return urlunsplit(parts._replace(netloc=f"{role}:{password}@{parts.netloc.rpartition('@')[2]}"))


def _execute(dsn: str, statement: str) -> None:
    connection = psycopg2.connect(dsn)
    try:
        connection.autocommit = True
        connection.cursor().execute(statement)
    finally:
        connection.close()
