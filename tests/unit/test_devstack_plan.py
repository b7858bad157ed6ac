import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from devstack.plan import SERVICES, Plan, Ports
from devstack.ports import LOOPBACK, free_port
from devstack.settings import SettingError, StackSettings

DSNS = {"catalog": "postgresql://c", "offers_sync": "postgresql://o", "price_history": "postgresql://p"}
PORTS = Ports(catalog=1, price_history=2, simulator=3, rabbitmq=4)


def plan(**environment: str) -> Plan:
    return Plan(
        StackSettings.from_environment(environment),
        PORTS,
        dsns=DSNS,
        owner_dsns={name: f"{dsn}-owner" for name, dsn in DSNS.items()},
        rabbitmq_urls={script: f"amqp://{script}@broker" for script in SERVICES},
        log=lambda name: Path(f"{name}.log"),
        price_history_token="between-services",
    )


@pytest.fixture
def taken_port() -> Iterator[int]:
    with socket.socket() as listener:
        listener.bind((LOOPBACK, 0))
        listener.listen()
        yield listener.getsockname()[1]


def test_every_process_of_the_contract_is_there_under_its_name() -> None:
    names = {service.name for service in plan().services()}

    assert names == {
        "catalog-api-serve",
        "catalog-api-work",
        "offers-sync-work",
        "price-history-serve",
        "price-history-work",
    }


def test_copies_are_numbered_and_have_health_ports_of_their_own() -> None:
    workers = [s for s in plan(SCALE="offers-sync-work=3").services() if s.name.startswith("offers-sync-work")]

    assert [worker.name for worker in workers] == ["offers-sync-work", "offers-sync-work.2", "offers-sync-work.3"]
    assert len({worker.health_url for worker in workers}) == 3


def test_workers_may_be_left_out() -> None:
    names = {service.name for service in plan(SCALE="price-history-work=0,catalog-api-work=0").services()}

    assert names == {"catalog-api-serve", "offers-sync-work", "price-history-serve"}


def test_each_service_is_told_its_own_accounts_only() -> None:
    told = plan()

    assert {script: told.environment(script)["DATABASE_URL"] for script in SERVICES} == {
        "catalog-api": "postgresql://c",
        "offers-sync": "postgresql://o",
        "price-history": "postgresql://p",
    }
    assert {script: told.environment(script)["RABBITMQ_URL"] for script in SERVICES} == {
        "catalog-api": "amqp://catalog-api@broker",
        "offers-sync": "amqp://offers-sync@broker",
        "price-history": "amqp://price-history@broker",
    }


def test_migrations_alone_are_told_of_the_databases_owners() -> None:
    told = plan()

    assert told.migration_environment("offers-sync")["DATABASE_URL"] == "postgresql://o-owner"
    assert not any("-owner" in value for script in SERVICES for value in told.environment(script).values())


def test_a_setting_of_a_service_is_passed_through_and_the_stacks_own_are_not_overridden() -> None:
    told = plan(RETENTION_DAYS="7", API_AUTH="required", DATABASE_URL="postgresql://elsewhere").environment(
        "price-history"
    )

    assert told["RETENTION_DAYS"] == "7"
    assert told["API_AUTH"] == "required"
    assert told["DATABASE_URL"] == "postgresql://p"


def test_access_is_off_webhooks_lead_anywhere_and_the_demo_is_quick_unless_told_otherwise() -> None:
    assert plan().environment("offers-sync")["API_AUTH"] == "off"
    assert plan().environment("catalog-api")["WEBHOOK_TARGETS"] == "any"
    assert plan(WEBHOOK_TARGETS="public").environment("catalog-api")["WEBHOOK_TARGETS"] == "public"
    assert "WEBHOOK_TARGETS" not in plan(API_AUTH="required").environment("catalog-api")
    either = plan(API_AUTH="required", WEBHOOK_TARGETS="any")
    assert either.environment("catalog-api")["WEBHOOK_TARGETS"] == "any"
    assert plan().environment("offers-sync")["OFFERS_POLL_INTERVAL_SECONDS"] == "5"
    assert "OFFERS_POLL_INTERVAL_SECONDS" not in plan(DEMO="0").environment("offers-sync")


def test_only_the_two_services_that_speak_to_each_other_know_their_secret() -> None:
    told = {script: plan().environment(script).get("PRICE_HISTORY_TOKEN") for script in SERVICES}

    assert told == {"catalog-api": "between-services", "price-history": "between-services", "offers-sync": None}
    assert plan(PRICE_HISTORY_TOKEN="given").environment("catalog-api")["PRICE_HISTORY_TOKEN"] == "given"


def test_the_simulator_stays_away_where_there_is_an_offers_ms() -> None:
    real = plan(OFFERS_BASE_URL="https://offers.example/api/v1")

    assert real.simulator(Path("state")) is None
    assert real.offers_base_url == "https://offers.example/api/v1"
    assert plan().simulator(Path("state")) is not None
    assert plan().offers_base_url == "http://127.0.0.1:3/api/v1"


def test_a_port_that_is_taken_is_refused_by_the_name_of_its_variable(taken_port: int) -> None:
    settings = StackSettings(catalog_port=0, price_history_port=taken_port, simulator_port=0, rabbitmq_port=0)

    with pytest.raises(SettingError, match=f"{taken_port}.*PRICE_HISTORY_PORT"):
        Ports.choose(settings)


def test_free_ports_are_never_given_twice() -> None:
    assert len({free_port() for _ in range(200)}) == 200
