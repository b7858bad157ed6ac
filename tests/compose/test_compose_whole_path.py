"""The whole path of tests/e2e, against containers: an Offers MS outside of Compose takes the place of the simulator."""

import json
import urllib.parse
from collections.abc import Iterator
from typing import Any

import pytest
from tests.compose.composition import Composition, docker
from tests.e2e.documented_offers_ms import DocumentedOffersMs
from tests.e2e.test_whole_path import (  # noqa: F401 - fixtures and tests that run here too
    INTERVAL,
    catalog,
    subscriber,
    test_a_deleted_product_is_not_polled_from_the_next_interval_on,
    test_a_new_product_is_registered_within_a_second,
    test_a_product_without_prices_has_an_empty_trend_at_once,
    test_a_refused_product_says_so_and_is_cured_by_a_change,
    test_an_update_keeps_the_registration,
    test_no_event_was_published_twice_and_each_is_as_the_contract_says,
    test_no_product_was_polled_twice_in_a_slot,
    test_offers_arrive_within_an_interval_and_a_second_of_their_change,
    test_the_trend_is_exact,
)

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(1800)]
WORKERS = ("catalog-api-worker", "offers-sync-worker", "price-history-worker")
HOST = "host.docker.internal"


@pytest.fixture(scope="module")
def offers_ms() -> Iterator[DocumentedOffersMs]:
    service = DocumentedOffersMs(host="0.0.0.0")
    service.start()
    yield service
    service.stop()


@pytest.fixture(scope="module")
def description(composition: Composition, offers_ms: DocumentedOffersMs) -> dict[str, Any]:
    """The stack runs, two copies of every worker, as the scenarios expect it."""
    port = urllib.parse.urlsplit(offers_ms.base_url).port
    override = {"services": {"offers-sync-worker": {"extra_hosts": [f"{HOST}:host-gateway"]}}}
    (composition.folder / "compose.override.yml").write_text(json.dumps(override))
    composition.environment.update(
        COMPOSE_FILE="docker-compose.yml:compose.override.yml",
        OFFERS_BASE_URL=f"http://{HOST}:{port}/api/v1",
        OFFERS_POLL_INTERVAL_SECONDS=f"{INTERVAL:g}",
    )
    scale = [word for worker in WORKERS for word in ("--scale", f"{worker}=2")]
    composition.compose("up", "--build", "--detach", "--wait", *scale)
    return {
        "catalog_url": composition.url("CATALOG_PORT"),
        "rabbitmq_subscriber_url": composition.rabbitmq_url("subscriber"),
    }


@pytest.mark.usefixtures("description")
async def test_the_token_survives_restarts_of_every_worker(
    composition: Composition, offers_ms: DocumentedOffersMs
) -> None:
    assert len(offers_ms.calls_to("auth")) == 1
    composition.compose("restart", "offers-sync-worker")
    composition.compose(
        "up", "--detach", "--wait", "--no-recreate", "--scale", "offers-sync-worker=2", "offers-sync-worker"
    )
    assert len(offers_ms.calls_to("auth")) == 1
    assert {call.token for call in offers_ms.calls if call.endpoint != "auth"} == set(offers_ms.tokens)


async def test_there_is_no_simulator_where_an_offers_ms_is_given(composition: Composition) -> None:
    names = docker(
        "ps", "--all", "--filter", f"label=com.docker.compose.project={composition.project}", "--format", "{{.Names}}"
    )

    assert "offers-sync-worker" in names
    assert "simulator" not in names
