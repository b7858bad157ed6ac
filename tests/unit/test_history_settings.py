"""Settings of price-history: defaults as in the contract, and one line for what is wrong."""

import pytest

from lifecycle import ProcessSettings, load_settings
from price_history.settings import MigrateSettings, ServeSettings, WorkSettings

DATABASE = {"DATABASE_URL": "postgresql://h/d"}
WORK = {**DATABASE, "RABBITMQ_URL": "amqp://h"}


@pytest.fixture(autouse=True)
def _no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (*WORK, "HOST", "PORT", "API_AUTH", "HEALTH_PORT", "HEALTH_HOST", "RETENTION_DAYS", "PREFETCH"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize(
    ("kind", "settings", "named"),
    [
        (MigrateSettings, {}, "DATABASE_URL"),
        (MigrateSettings, {"DATABASE_URL": "mysql://secret@h/d"}, "DATABASE_URL"),
        (MigrateSettings, {"DATABASE_URL": "postgresql://u:secret@h/d?nope=1"}, "DATABASE_URL"),
        (ServeSettings, {}, "DATABASE_URL"),
        (ServeSettings, {**DATABASE, "API_AUTH": "maybe"}, "API_AUTH"),
        (ServeSettings, {**DATABASE, "PRICE_HISTORY_TOKEN": "secret"}, "PRICE_HISTORY_TOKEN"),
        (ServeSettings, {**DATABASE, "PORT": "http"}, "PORT"),
        (ServeSettings, {**DATABASE, "PORT": "65536"}, "PORT"),
        (WorkSettings, DATABASE, "RABBITMQ_URL"),
        (WorkSettings, {**WORK, "RABBITMQ_URL": "http://secret@h"}, "RABBITMQ_URL"),
        (WorkSettings, {**WORK, "RETENTION_DAYS": "0"}, "RETENTION_DAYS"),
    ],
)
def test_a_bad_setting_is_named_in_one_line_without_its_value(
    kind: type[ProcessSettings],
    settings: dict[str, str],
    named: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(SystemExit) as stopped:
        load_settings(kind)
    assert stopped.value.code == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1
    assert named in lines[0]
    assert "secret" not in lines[0]


def test_the_defaults_are_the_contracts(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in WORK.items():
        monkeypatch.setenv(name, value)
    serve, work = load_settings(ServeSettings), load_settings(WorkSettings)
    assert (serve.host, serve.port, serve.api_auth) == ("127.0.0.1", 8001, "required")
    assert (work.health_port, work.retention_days) == (0, 400)


@pytest.mark.parametrize("scheme", ["postgres", "postgresql"])
def test_both_schemes_of_postgresql_are_taken(scheme: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", f"{scheme}://h/d?sslmode=require")
    assert load_settings(MigrateSettings).database_url.startswith(scheme)
