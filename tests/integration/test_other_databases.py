"""A service that is given another's database by mistake leaves it alone; one that has no tables yet is waited for."""

import itertools
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any
from uuid import UUID

import aiohttp
import pytest
import typer
from tests.integration.processes import eventually, process

from catalog_api.entrypoints import cli as catalog_api
from devstack.ports import free_port
from offers_sync.entrypoints import cli as offers_sync
from price_history.entrypoints import cli as price_history

SERVICES = ("catalog-api", "offers-sync", "price-history")


COMMANDS = (
    ("catalog-api", "rebuild-offers", "--from-log"),
    ("catalog-api", "tokens", "create", "--name", "shop", "--scope", "read"),
    ("catalog-api", "tokens", "list"),
    ("catalog-api", "tokens", "revoke", "5f0c3d2e1b4a6978"),
    ("catalog-api", "import", __file__),
    ("offers-sync", "rebuild-products", "--from-log"),
    ("offers-sync", "token", "show"),
    ("offers-sync", "token", "set", "a-token"),
    ("offers-sync", "rekey"),
    ("price-history", "rebuild"),
    ("price-history", "rebuild", "--from-log"),
)
"""All that use the database at once and then end."""
PROCESSES = (
    ("catalog-api", "serve"),
    ("catalog-api", "work"),
    ("offers-sync", "work"),
    ("price-history", "serve"),
    ("price-history", "work"),
)
APPS = {"catalog-api": catalog_api.app, "offers-sync": offers_sync.app, "price-history": price_history.app}
SETTINGS = {
    "API_AUTH": "off",
    "RABBITMQ_URL": "amqp://127.0.0.1:1/",
    "PRICE_HISTORY_URL": "http://127.0.0.1:1",
    "OFFERS_BASE_URL": "http://127.0.0.1:1",
    "OFFERS_REFRESH_TOKEN": "6dbb1ee8-7a1f-4b3f-8d6a-4e5b1d0c9a77",
}


def command(service: str, *arguments: str, dsn: str) -> subprocess.CompletedProcess[str]:
    argv = [str(Path(sys.executable).parent / service), *arguments]
    environment = SETTINGS | {"DATABASE_URL": dsn}
    return subprocess.run(argv, env=environment, capture_output=True, text=True, timeout=60, check=False)


def migrate(service: str, dsn: str) -> subprocess.CompletedProcess[str]:
    return command(service, "migrate", dsn=dsn)


@pytest.mark.parametrize(("owner", "other"), list(itertools.permutations(SERVICES, 2)))
def test_no_service_migrates_the_database_of_another(make_database: Callable[..., str], owner: str, other: str) -> None:
    dsn = make_database()
    assert migrate(owner, dsn).returncode == 0

    refused = migrate(other, dsn)

    told = refused.stdout + refused.stderr
    assert refused.returncode == 1
    assert f"is that of {owner.replace('-', '_')}, not of {other.replace('-', '_')}" in told
    assert "Traceback" not in told
    assert migrate(owner, dsn).returncode == 0, "it was left as it was"


@pytest.fixture(scope="module")
def database_of(service_database: Callable[[Callable[[str], None]], str]) -> dict[str, str]:
    """The DSNs that the services have, who may do no more than they need."""

    def of(service: str) -> str:
        def migrated(dsn: str) -> None:
            assert migrate(service, dsn).returncode == 0

        return service_database(migrated)

    return {"catalog_api": of("catalog-api"), "price_history": of("price-history")}


@pytest.mark.parametrize("argv", COMMANDS, ids=" ".join)
def test_no_command_uses_the_database_of_another(database_of: dict[str, str], argv: tuple[str, ...]) -> None:
    owner = "price_history" if argv[0] == "catalog-api" else "catalog_api"

    refused = command(*argv, dsn=database_of[owner])

    told = refused.stdout + refused.stderr
    assert (refused.returncode, told.count("\n")) == (1, 1), told
    assert f"the database is that of {owner}, not of {argv[0].replace('-', '_')}" in told


def _commands(group: Any, *name: str) -> Iterator[tuple[str, ...]]:
    for word, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from _commands(command, *name, word)
        else:
            yield (*name, word)


@pytest.mark.parametrize("service", SERVICES)
def test_every_command_that_uses_the_database_is_known_here(service: str) -> None:
    tried = {argv[:length] for argv in (*COMMANDS, *PROCESSES) for length in (2, 3)}
    not_tried = {argv for argv in _commands(typer.main.get_command(APPS[service]), service) if argv not in tried}
    parked = {(service, "parked", word) for word in ("list", "show", "replay", "drop")}  # which needs the broker only
    assert not_tried == {(service, "migrate"), *parked}


@pytest.fixture(scope="module")
def empty(service_database: Callable[[Callable[[str], None]], str]) -> str:
    """The DSN that a service has of a database that was never migrated."""
    return service_database(lambda _: None)


@pytest.mark.parametrize("argv", COMMANDS, ids=" ".join)
def test_a_command_says_that_the_database_is_not_migrated_and_what_does_it(empty: str, argv: tuple[str, ...]) -> None:
    refused = command(*argv, dsn=empty)

    told = refused.stdout + refused.stderr
    assert (refused.returncode, told.count("\n")) == (1, 1), told
    assert f"the database is not migrated: run `{argv[0]} migrate` first" in told


@pytest.mark.parametrize("argv", PROCESSES, ids=" ".join)
async def test_a_process_waits_for_its_database_to_be_migrated(
    make_database: Callable[..., str], argv: tuple[str, str], capfd: pytest.CaptureFixture[str]
) -> None:
    dsn, port = make_database(), str(free_port())
    settings = SETTINGS | {"DATABASE_URL": dsn, "PORT": port, "HEALTH_PORT": port}

    async with process(*argv, **settings), aiohttp.ClientSession(f"http://127.0.0.1:{port}") as session:

        async def failing() -> Mapping[str, str]:
            with suppress(aiohttp.ClientConnectionError):
                async with session.get("/readyz") as answer:
                    found: Mapping[str, str] = (await answer.json()).get("failing", {})
                    return found
            return {}

        async def waits() -> bool:
            return (await failing()).get("database") == "DatabaseUnavailableError"

        async def goes_on() -> bool:
            return "database" not in await failing()

        await eventually(waits)
        if argv[1] == "serve":
            async with session.get(f"/api/v1/products/{UUID(int=1)}/history") as answer:
                assert (answer.status, "Retry-After" in answer.headers) == (503, True)
        assert migrate(argv[0], dsn).returncode == 0
        await eventually(goes_on)
    assert "Traceback" not in capfd.readouterr().out, "a line says what it waits for"
