from pathlib import Path

import pytest

from devstack.settings import SettingError, StackSettings


def test_the_defaults_are_the_contracts() -> None:
    settings = StackSettings.from_environment({})

    assert settings.folder == Path(".local")
    ports = (settings.catalog_port, settings.price_history_port, settings.simulator_port, settings.rabbitmq_port)
    assert ports == (8000, 8001, 8010, 5673)
    assert settings.demo
    assert not settings.restart
    assert settings.scale == {}
    assert settings.host == "127.0.0.1"


def test_the_demo_is_off_with_a_real_offers_ms_unless_asked_for() -> None:
    real = {"OFFERS_BASE_URL": "https://offers.example/api/v1"}

    assert not StackSettings.from_environment(real).demo
    assert StackSettings.from_environment({**real, "DEMO": "1"}).demo


@pytest.mark.parametrize(
    ("environment", "hastened"),
    [
        ({}, True),
        ({"DEMO": "0"}, False),
        ({"OFFERS_POLL_INTERVAL_SECONDS": "60"}, False),
        ({"DEMO": "1", "OFFERS_BASE_URL": "https://offers.example"}, False),
    ],
)
def test_only_the_demo_with_the_simulator_is_hastened(environment: dict[str, str], *, hastened: bool) -> None:
    assert StackSettings.from_environment(environment).hastened is hastened


def test_scale_gives_copies_of_workers() -> None:
    settings = StackSettings.from_environment({"SCALE": "offers-sync-work=3, price-history-work=0"})

    assert settings.scale == {"offers-sync-work": 3, "price-history-work": 0}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("CATALOG_PORT", "http"),
        ("PRICE_HISTORY_PORT", "-1"),
        ("SIMULATOR_PORT", "65536"),
        ("RABBITMQ_PORT", "5672.0"),
        ("DEMO", "yes"),
        ("API_AUTH", "maybe"),
        ("RESTART", "2"),
        ("EVENT_LOG_MAX_AGE", "a week"),
        ("EVENT_LOG_MAX_BYTES", "1G"),
        ("EVENT_LOG_MAX_BYTES", "1000000"),
        ("SCALE", "offers-sync-work"),
        ("SCALE", "offers-sync-work=33"),
        ("SCALE", "catalog-api-serve=2"),
    ],
)
def test_what_can_not_be_used_is_named_in_one_line(name: str, value: str) -> None:
    with pytest.raises(SettingError, match=name) as refused:
        StackSettings.from_environment({name: value})

    assert "\n" not in str(refused.value)


def test_an_empty_variable_counts_as_unset() -> None:
    assert StackSettings.from_environment({"CATALOG_PORT": "", "OFFERS_BASE_URL": " "}).catalog_port == 8000
