"""The parts of HTTP that need no server: If-Match, texts and their schema, pointers, settings."""

import re
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from pydantic import TypeAdapter

from catalog_api.domain.product import NAME_MAX, checked_name
from catalog_api.entrypoints.http.conditions import precondition
from catalog_api.entrypoints.http.schemas import Name
from catalog_api.settings import ServeSettings
from http_api import pointer
from lifecycle import load_settings

NAME_SCHEMA = TypeAdapter(Name).json_schema()
GOOD = {
    "DATABASE_URL": "postgres://me:secret@db.example/catalog?sslmode=require",
    "RABBITMQ_URL": "amqp://a,amqps://b:5671/vhost",
    "PRICE_HISTORY_URL": "http://history:8001/",
}


@given(st.text(st.sampled_from(" \t\x1c\x1f\x85\u3000\ufeff\x00ax🪓"), max_size=6) | st.text())
@example("x" * NAME_MAX)
@example("x" * (NAME_MAX + 1))
@example(f"{' ' * 300}x{' ' * NAME_MAX}x{' ' * 300}")
@example(f" x{' ' * (NAME_MAX - 2)}x ")
def test_the_schema_of_a_name_says_exactly_what_is_taken(raw: str) -> None:
    matches = re.search(NAME_SCHEMA["pattern"].replace("$", r"\Z"), raw) is not None
    try:
        checked_name(raw)
    except ValueError:
        assert not matches
    else:
        assert matches


@given(st.text(st.sampled_from('"W/*, \t1x'), max_size=12), st.integers(1, 11))
def test_any_if_match_is_understood_or_matches_nothing(value: str, version: int) -> None:
    accepts = precondition([value])
    assert accepts(version) in {True, False}
    assert not accepts(version) or value.strip(" \t") == "*" or f'"{version}"' in value


def test_several_if_match_fields_are_one_list() -> None:
    accepts = precondition(['"1", W/"2"', '"3,4"', '"5"'])
    assert [version for version in range(8) if accepts(version)] == [1, 5]


def test_pointers_escape() -> None:
    assert pointer(("items", 3, "a/b~c")) == "/items/3/a~1b~0c"


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    for name, value in GOOD.items():
        monkeypatch.setenv(name, value)
    return monkeypatch


def test_settings_come_from_the_environment(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("API_AUTH", "off")
    settings = load_settings(ServeSettings)
    assert settings.database_url == GOOD["DATABASE_URL"]
    assert settings.price_history_url == "http://history:8001"
    assert (settings.host, settings.port, settings.api_auth) == ("127.0.0.1", 8000, "off")


def test_origins_and_a_secret_are_taken(environment: pytest.MonkeyPatch) -> None:
    assert load_settings(ServeSettings).cors_allowed_origins == ()
    environment.setenv("CORS_ALLOWED_ORIGINS", "https://shop.example, http://localhost:3000,*")
    environment.setenv("PRICE_HISTORY_TOKEN", "sixteen-letters-")
    settings = load_settings(ServeSettings)
    assert settings.cors_allowed_origins == ("https://shop.example", "http://localhost:3000", "*")
    assert settings.price_history_token is not None
    assert settings.price_history_token.get_secret_value() == "sixteen-letters-"
    assert "sixteen" not in repr(settings)


def test_access_is_required_by_default(environment: pytest.MonkeyPatch) -> None:
    assert environment
    assert load_settings(ServeSettings).api_auth == "required"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *((name, None) for name in GOOD),
        ("DATABASE_URL", "mysql://db/catalog"),
        ("DATABASE_URL", "postgresql://db:secret/catalog"),
        ("DATABASE_URL", "postgresql://db/catalog?secret=1"),
        ("RABBITMQ_URL", "http://secret"),
        ("RABBITMQ_URL", "amqp://a,"),
        ("PRICE_HISTORY_URL", "history:8001"),
        ("PRICE_HISTORY_URL", "http://history:secret"),
        ("API_AUTH", "none"),
        ("PORT", "http"),
        ("PORT", "65536"),
        ("DATABASE_POOL_SIZE", "0"),
        ("ACCESS_CACHE_SECONDS", "31"),
        ("RATE_LIMIT_PER_MINUTE", "-1"),
        ("PRICE_HISTORY_TOKEN", "secret"),
        ("PRICE_HISTORY_TOKEN", "a secret of many words"),
        ("CORS_ALLOWED_ORIGINS", "https://shop.example/secret"),
        ("CORS_ALLOWED_ORIGINS", "https://shop.example,secret"),
        ("WEBHOOK_TARGETS", "secret"),
        ("WEBHOOK_SECRET_KEYS", "secret"),
        ("WEBHOOK_SECRET_KEYS", f"{'A' * 43}=,"),
    ],
)
def test_a_bad_setting_is_named_in_one_line(
    environment: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], name: str, value: Any
) -> None:
    if value is None:
        environment.delenv(name)
    else:
        environment.setenv(name, value)
    with pytest.raises(SystemExit) as stopped:
        load_settings(ServeSettings)
    assert stopped.value.code == 2
    said = capsys.readouterr().err
    assert name in said
    assert said.count("\n") == 1
    assert "secret" not in said
