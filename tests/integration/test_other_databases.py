"""A service that is given another's database by mistake leaves it alone."""

import itertools
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

SERVICES = ("catalog-api", "offers-sync", "price-history")


COMMANDS = (
    ("catalog-api", "rebuild-offers", "--from-log"),
    ("catalog-api", "tokens", "list"),
    ("catalog-api", "import", __file__),
    ("offers-sync", "rebuild-products", "--from-log"),
    ("offers-sync", "token", "show"),
    ("offers-sync", "token", "set", "a-token"),
    ("offers-sync", "rekey"),
    ("price-history", "rebuild"),
    ("price-history", "rebuild", "--from-log"),
)


def command(service: str, *arguments: str, dsn: str) -> subprocess.CompletedProcess[str]:
    argv = [str(Path(sys.executable).parent / service), *arguments]
    environment = {
        "DATABASE_URL": dsn,
        "API_AUTH": "off",
        "RABBITMQ_URL": "amqp://127.0.0.1:1/",
        "OFFERS_BASE_URL": "http://127.0.0.1:1",
        "OFFERS_REFRESH_TOKEN": "6dbb1ee8-7a1f-4b3f-8d6a-4e5b1d0c9a77",
    }
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
