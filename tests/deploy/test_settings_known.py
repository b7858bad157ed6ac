"""Every setting of a service is one that an operator can find, and can set in the chart."""

import json
import re
from functools import cache
from typing import Any, Final

import pytest
from tests.deploy.conftest import CHART, ROOT, Render

import catalog_api.settings
import offers_sync.settings
import price_history.settings
from event_bus.parked_commands import BrokerSettings
from lifecycle import ProcessSettings

PROCESSES: Final[dict[str, type[ProcessSettings]]] = {
    "catalog-api-serve": catalog_api.settings.ServeSettings,
    "catalog-api-work": catalog_api.settings.WorkSettings,
    "offers-sync-work": offers_sync.settings.WorkSettings,
    "price-history-serve": price_history.settings.ServeSettings,
    "price-history-work": price_history.settings.WorkSettings,
}
DECIDED_BY_THE_CHART: Final = {
    "API_AUTH", "DATABASE_URL", "HEALTH_HOST", "HEALTH_PORT", "HOST", "OFFERS_ACCESS_TOKEN", "OFFERS_BASE_URL",
    "OFFERS_REFRESH_TOKEN", "OFFERS_TOKEN_KEYS", "PORT", "PRICE_HISTORY_TOKEN", "PRICE_HISTORY_URL", "RABBITMQ_URL",
    "WEBHOOK_SECRET_KEYS",
}  # fmt: skip
COMMANDS: Final[dict[str, type[ProcessSettings]]] = {
    **{name.replace("-serve", " serve").replace("-work", " work"): cls for name, cls in PROCESSES.items()},
    "catalog-api migrate": catalog_api.settings.MigrateSettings,
    "catalog-api import": catalog_api.settings.DatabaseSettings,
    "catalog-api tokens": catalog_api.settings.DatabaseSettings,
    "catalog-api parked": BrokerSettings,
    "catalog-api rebuild-offers": catalog_api.settings.RebuildSettings,
    "offers-sync migrate": offers_sync.settings.DatabaseSettings,
    "offers-sync token": offers_sync.settings.TokenSettings,
    "offers-sync rekey": offers_sync.settings.OffersMsSettings,
    "offers-sync parked": BrokerSettings,
    "offers-sync rebuild-products": offers_sync.settings.RebuildSettings,
    "price-history migrate": price_history.settings.MigrateSettings,
    "price-history rebuild": price_history.settings.MigrateSettings,
    "price-history rebuild --from-log": price_history.settings.RecordSettings,
    "price-history parked": BrokerSettings,
}
READ_BY_THE_SERVER: Final = {"FORWARDED_ALLOW_IPS"}
"""By uvicorn itself."""


def settings(process: str) -> set[str]:
    return {name.upper() for name in PROCESSES[process].model_fields}


@cache
def schema() -> dict[str, Any]:
    values: dict[str, Any] = json.loads((CHART / "values.schema.json").read_text())["properties"]
    return values


@pytest.mark.parametrize("process", PROCESSES)
def test_the_chart_takes_every_setting_and_no_other(process: str) -> None:
    known = set(schema()["processes"]["properties"][process]["properties"]["settings"]["properties"])
    assert known - READ_BY_THE_SERVER == settings(process) - DECIDED_BY_THE_CHART


def commands(column: str) -> set[str]:
    """The commands that the column `process` names: `all`, `all but …`, `serve` of every service, or one's own."""
    if column == "all":
        return set(COMMANDS)
    if column.startswith("all but "):
        return COMMANDS.keys() - commands(column.removeprefix("all but "))
    named: set[str] = set()
    for name in column.split(", "):
        meant = {command for command in COMMANDS if f"`{command}`" == name or f"`{command.split()[1]}`" == name}
        assert meant, f"no service has a command {name}"
        named |= meant
    return named


@cache
def told() -> dict[str, set[str]]:
    """What docs/operations.md says that each command reads."""
    section = (ROOT / "docs/operations.md").read_text().split("\n## Settings\n")[1].split("\n## ")[0]
    rows = re.findall(r"^\| (`[A-Z].*?) \| (.+?) \|", section, re.MULTILINE)
    return {
        command: {name for names, column in rows if command in commands(column) for name in re.findall(r"\w+", names)}
        for command in COMMANDS
    }


@pytest.mark.parametrize("command", COMMANDS)
def test_operations_md_tells_what_each_command_reads(command: str) -> None:
    assert told()[command] - READ_BY_THE_SERVER == {name.upper() for name in COMMANDS[command].model_fields}


def test_operations_md_tells_which_settings_are_required() -> None:
    table = (ROOT / "docs/operations.md").read_text()
    required = set(re.findall(r"^\| `([A-Z_]+)` \| [^|]+ \| required \|", table, re.MULTILINE))
    assert required == {
        name.upper() for cls in COMMANDS.values() for name, field in cls.model_fields.items() if field.is_required()
    }


@pytest.mark.parametrize("process", PROCESSES)
def test_the_chart_gives_each_process_what_it_decides_itself(process: str, render: Render) -> None:
    names = {manifest["metadata"]["name"]: manifest for manifest in render() if manifest["kind"] == "Deployment"}
    (container,) = names[f"shop-product-aggregator-{process}"]["spec"]["template"]["spec"]["containers"]
    given = {entry["name"] for entry in container["env"]}
    assert given == settings(process) & DECIDED_BY_THE_CHART
