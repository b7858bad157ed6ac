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
}  # fmt: skip
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


@pytest.mark.parametrize("process", PROCESSES)
def test_operations_md_tells_of_every_setting(process: str) -> None:
    table = (ROOT / "docs/operations.md").read_text()
    told = {name for row in re.findall(r"^\| (`[A-Z].*?) \|", table, re.MULTILINE) for name in re.findall(r"\w+", row)}
    assert settings(process) <= told


@pytest.mark.parametrize("process", PROCESSES)
def test_the_chart_gives_each_process_what_it_decides_itself(process: str, render: Render) -> None:
    names = {manifest["metadata"]["name"]: manifest for manifest in render() if manifest["kind"] == "Deployment"}
    (container,) = names[f"shop-product-aggregator-{process}"]["spec"]["template"]["spec"]["containers"]
    given = {entry["name"] for entry in container["env"]}
    assert given == settings(process) & DECIDED_BY_THE_CHART
