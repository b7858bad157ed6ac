"""The OpenAPI document is true: schemathesis, with all its checks, finds nothing that contradicts it."""

import asyncio
import json
import sys
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
import yaml
from jsonschema import Draft202012Validator

import price_history.bootstrap
from aggregator_contracts.schemas import CONTRACTS
from catalog_api.db.database import Database
from catalog_api.domain.access import TokenScope
from catalog_api.domain.signatures import signed_headers
from catalog_api.use_cases.manage_tokens import ManageTokens
from price_history.db.migrate import migrate as migrate_history
from price_history.settings import ServeSettings as HistorySettings

from .conftest import Api, served, serving, settings

SCHEMATHESIS = Path(sys.executable).with_name("schemathesis")
OPERATIONS = {
    ("/api/v1/products", "get"): {"200", "422", "503"},
    ("/api/v1/products", "post"): {"201", "400", "408", "409", "413", "415", "422", "503"},
    ("/api/v1/products/batch", "post"): {"200", "400", "408", "409", "413", "415", "422", "503"},
    ("/api/v1/products/{product_id}", "get"): {"200", "404", "422", "503"},
    ("/api/v1/products/{product_id}", "put"): {"200", "400", "404", "408", "412", "413", "415", "422", "503"},
    ("/api/v1/products/{product_id}", "patch"): {"200", "400", "404", "408", "412", "413", "415", "422", "503"},
    ("/api/v1/products/{product_id}", "delete"): {"204", "404", "412", "422", "503"},
    ("/api/v1/products/{product_id}/offers", "get"): {"200", "404", "422", "503"},
    ("/api/v1/products/{product_id}/trend", "get"): {"200", "404", "422", "503"},
    ("/api/v1/products/{product_id}/offers/{offer_id}/trend", "get"): {"200", "404", "422", "503"},
    ("/api/v1/products/{product_id}/history", "get"): {"200", "404", "422", "503"},
    ("/api/v1/stream", "get"): {"200", "422", "503"},
    ("/api/v1/tokens", "post"): {"201", "400", "403", "408", "413", "415", "422", "503"},
    ("/api/v1/tokens", "get"): {"200", "403", "422", "503"},
    ("/api/v1/tokens/{token_id}", "delete"): {"204", "403", "404", "422", "503"},
    ("/api/v1/alerts", "post"): {"201", "400", "408", "409", "413", "415", "422", "503"},
    ("/api/v1/alerts", "get"): {"200", "422", "503"},
    ("/api/v1/alerts/dry-run", "post"): {"200", "400", "404", "408", "413", "415", "422", "503"},
    ("/api/v1/alerts/{alert_id}", "get"): {"200", "404", "422", "503"},
    ("/api/v1/alerts/{alert_id}", "patch"): {"200", "400", "404", "408", "409", "413", "415", "422", "503"},
    ("/api/v1/alerts/{alert_id}", "delete"): {"204", "404", "422", "503"},
    ("/api/v1/alerts/{alert_id}/firings", "get"): {"200", "404", "422", "503"},
    ("/api/v1/webhooks", "post"): {"201", "400", "408", "409", "413", "415", "422", "503"},
    ("/api/v1/webhooks", "get"): {"200", "422", "503"},
    ("/api/v1/webhooks/{webhook_id}", "get"): {"200", "404", "422", "503"},
    ("/api/v1/webhooks/{webhook_id}", "patch"): {"200", "400", "404", "408", "413", "415", "422", "503"},
    ("/api/v1/webhooks/{webhook_id}", "delete"): {"204", "404", "409", "422", "503"},
    ("/api/v1/webhooks/{webhook_id}/rotate-secret", "post"): {"200", "400", "404", "408", "413", "415", "422", "503"},
    ("/api/v1/webhooks/{webhook_id}/test", "post"): {"202", "404", "409", "422", "503"},
    ("/api/v1/webhooks/{webhook_id}/deliveries", "get"): {"200", "404", "422", "503"},
    ("/api/v1/webhooks/{webhook_id}/deliveries/{delivery_id}/redeliver", "post"): {"202", "404", "409", "422", "503"},
}


async def document(api: Api) -> Any:
    async with api.session.get(f"{api.url}/openapi.json") as response:
        assert response.status == 200
        return await response.json()


async def test_every_operation_lists_its_answers(api: Api) -> None:
    paths = (await document(api))["paths"]
    found = {(path, method): set(operation["responses"]) for path in paths for method, operation in paths[path].items()}
    assert found == OPERATIONS
    for path, method in OPERATIONS:
        for status, response in paths[path][method]["responses"].items():
            if status >= "400":
                assert list(response["content"]) == ["application/problem+json"], (path, method, status)


async def test_its_examples_are_valid(api: Api) -> None:
    schema = await document(api)
    components = {"components": schema["components"]}
    checked = 0
    for path in [*schema["paths"].values(), *schema["webhooks"].values()]:
        for operation in path.values():
            contents = [operation.get("requestBody", {}).get("content", {})]
            contents += [response.get("content", {}) for response in operation["responses"].values()]
            for content in contents:
                for media_type in content.values():
                    if "example" in media_type:
                        Draft202012Validator(media_type["schema"] | components).validate(media_type["example"])
                        checked += 1
    assert checked > 40


async def test_it_tells_what_webhooks_are_sent(api: Api) -> None:
    described = (await document(api))["webhooks"]
    webhook = (await api("POST", "/webhooks", json={"url": "http://127.0.0.1:9/"})).json
    test = (await api("POST", f"/webhooks/{webhook['id']}/test")).json
    operation = described[test["type"]]["post"]
    reference = operation["requestBody"]["content"]["application/json"]["schema"]
    components = {"components": (await document(api))["components"]}
    Draft202012Validator(reference | components).validate(test["payload"])
    headers = signed_headers(UUID(test["id"]), datetime.now(UTC), "{}", [webhook["secret"]])
    assert {parameter["name"]: parameter["in"] for parameter in operation["parameters"]} == dict.fromkeys(
        headers, "header"
    )
    assert operation["responses"].keys() == {"2XX", "410", "default"}


async def test_the_document_asks_for_tokens_when_access_is_required(catalog_dsn: str) -> None:
    async with serving(settings(catalog_dsn, api_auth="required")) as closed:
        schema = await document(closed)
    assert schema["security"] == [{"token": []}]
    for path, method in OPERATIONS:
        assert schema["paths"][path][method]["responses"].keys() >= {"401", "403", "429"}


async def test_docs_are_served(api: Api) -> None:
    async with api.session.get(f"{api.url}/docs") as response:
        assert response.status == 200


async def test_the_events_are_documented_beside(api: Api) -> None:
    assert "(/docs/events)" in (await document(api))["info"]["description"]
    async with api.session.get(f"{api.url}/docs/events") as response:
        page = await response.text()
    assert 'href="/docs"' in page
    assert 'href="/docs/events.json"' in page
    async with api.session.get(f"{api.url}/docs/events.json") as response:
        assert response.headers["Content-Type"].startswith("application/vnd.aai.asyncapi+json")
        described = json.loads(await response.read())
    assert described == yaml.safe_load((CONTRACTS / "asyncapi.yaml").read_text())
    for channel in described["channels"].values():
        assert f'id="{channel["address"]}"' in page


@pytest.fixture
async def history_url(make_database: Callable[[], str]) -> AsyncIterator[str]:
    """price-history itself."""
    dsn = make_database()
    migrate_history(dsn)
    app = price_history.bootstrap.http_app(
        HistorySettings(database_url=dsn, rabbitmq_url="amqp://localhost/", api_auth="off")
    )
    async with served(app) as url:
        yield url


@pytest.mark.timeout(300)
async def test_schemathesis_finds_nothing(
    catalog_dsn: str, database: Database, history_url: str, tmp_path: Path
) -> None:
    admin = await ManageTokens(database).create("schemathesis", [TokenScope.ADMIN], None)
    other = await ManageTokens(database).create("to be revoked", [TokenScope.READ], None)
    # What a schema can't say of a request that it allows: this cursor was never given, this key was used with another
    # body, this is not the product's version, this period ends before it begins. The token to revoke is given, as it
    # would find the one that it uses.
    (tmp_path / "schemathesis.toml").write_text(
        f"""
        [checks.positive_data_acceptance]
        expected-statuses = ["2xx", "404", "409", "412", "422"]
        [parameters]
        "path.token_id" = "{other.token.id}"
        """
    )
    required = {"api_auth": "required", "unauthenticated_rate_limit_per_minute": 0}
    async with serving(settings(catalog_dsn, price_history_url=history_url, **required)) as api:
        process = await asyncio.create_subprocess_exec(
            SCHEMATHESIS,
            "run",
            f"{api.url}/openapi.json",
            *("--header", f"Authorization: Bearer {admin.text}"),
            *("--exclude-operation-id", "follow_events"),  # an answer without end
            *("--checks", "all", "--max-examples", "20", "--seed", "20261122", "--no-color"),
            *("--request-timeout", "60"),
            cwd=tmp_path,
            stdout=asyncio.subprocess.PIPE,
        )
        found, _ = await process.communicate()
    assert process.returncode == 0, found.decode()
