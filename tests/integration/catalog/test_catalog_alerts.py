"""Alerts over REST: made, listed, changed, deleted."""

from typing import Any

import pytest

from catalog_api.db.database import Database
from catalog_api.use_cases import manage_alerts

from .conftest import UNKNOWN, Api, make_webhook

BELOW = {"type": "best_price_at_or_below", "price": 900}
CONDITIONS = [
    BELOW,
    {"type": "drop", "percent": 7.5, "window": "24h"},
    {"type": "rise", "percent": 1_000_000.0, "window": "30d"},
    {"type": "new_low", "over": "30d"},
    {"type": "new_low", "over": "ever"},
    {"type": "back_in_stock"},
]


@pytest.fixture
async def webhook(database: Database) -> str:
    return str(await make_webhook(database))


async def make(api: Api, webhook: str, **fields: Any) -> Any:
    reply = await api("POST", "/alerts", json={"condition": BELOW, "webhook_id": webhook} | fields)
    assert reply.status == 201, reply
    assert reply.headers["Location"] == f"/api/v1/alerts/{reply.json['id']}"
    return reply.json


@pytest.mark.parametrize("condition", CONDITIONS)
async def test_an_alert_is_read_as_it_was_made(api: Api, webhook: str, condition: Any) -> None:
    product = (await api.create())["id"]
    made = await make(api, webhook, condition=condition, product_id=product, name=" mower ", enabled=False)
    assert made == {
        "id": made["id"],
        "name": "mower",
        "product_id": product,
        "condition": condition,
        "webhook_id": webhook,
        "cooldown_seconds": 3600,
        "hysteresis_percent": 1.0,
        "enabled": False,
        "firings_count": 0,
        "last_fired_at": None,
        "created_at": made["created_at"],
        "updated_at": made["created_at"],
    }
    read = await api("GET", f"/alerts/{made['id']}")
    assert (read.status, read.json) == (200, made)
    assert (await api("GET", f"/alerts/{made['id']}/firings")).json == {"items": [], "next_cursor": None}


async def test_percentages_count_to_hundredths(api: Api, webhook: str) -> None:
    condition = {"type": "drop", "percent": 3.14159, "window": "90m"}
    made = await make(api, webhook, condition=condition, hysteresis_percent=0.126, cooldown_seconds=0)
    assert made["condition"] == condition | {"percent": 3.14}
    assert (made["hysteresis_percent"], made["cooldown_seconds"]) == (0.13, 0)


async def walk(api: Api, **query: str) -> list[str]:
    """The ids on all pages, of two each."""
    walked: list[str] = []
    while True:
        page = (await api("GET", "/alerts", params={"limit": "2"} | query)).json
        walked += [alert["id"] for alert in page["items"]]
        if page["next_cursor"] is None:
            return walked
        query["cursor"] = page["next_cursor"]


async def test_pages_of_alerts_hold_each_once(api: Api, webhook: str) -> None:
    made = [(await make(api, webhook))["id"] for _ in range(5)]
    assert await walk(api) == made


async def test_the_alerts_on_a_product_are_listed(api: Api, webhook: str) -> None:
    one, other = (await api.create())["id"], (await api.create())["id"]
    made = [
        (await make(api, webhook, product_id=product))["id"] for product in (one, None, other, one, one, other, one)
    ]
    assert await walk(api) == made
    assert await walk(api, product_id=one) == [made[0], made[3], made[4], made[6]]
    assert await walk(api, product_id=other.upper()) == [made[2], made[5]]
    assert await walk(api, product_id=UNKNOWN) == []
    for malformed in ("", "all", one.replace("-", ""), f"{{{one}}}"):
        assert (await api("GET", "/alerts", params={"product_id": malformed})).pointers() == ["/query/product_id"]
    cursor = (await api("GET", "/alerts", params={"product_id": one, "limit": "1"})).json["next_cursor"]
    for others in ({}, {"product_id": other}):
        assert (await api("GET", "/alerts", params={"cursor": cursor} | others)).pointers() == ["/query/cursor"]


async def test_a_patch_replaces_what_it_names(api: Api, webhook: str, database: Database) -> None:
    product, other = (await api.create())["id"], str(await make_webhook(database))
    made = await make(api, webhook, product_id=product, name="a")
    path = f"/alerts/{made['id']}"
    changed = await api("PATCH", path, json={"condition": CONDITIONS[1], "name": None, "product_id": None})
    assert changed.status == 200
    expected = made | {"condition": CONDITIONS[1], "name": None, "product_id": None}
    assert changed.json == expected | {"updated_at": changed.json["updated_at"]}
    assert changed.json["updated_at"] > made["updated_at"]
    rest = {"webhook_id": other, "cooldown_seconds": 5, "hysteresis_percent": 2.5, "enabled": False}
    changed = await api("PATCH", path, json=rest)
    assert changed.json == expected | rest | {"updated_at": changed.json["updated_at"]}
    assert (await api("GET", path)).json == changed.json


async def test_a_deleted_alert_is_gone(api: Api, webhook: str) -> None:
    path = f"/alerts/{(await make(api, webhook))['id']}"
    assert (await api("DELETE", path)).status == 204
    for method, rest, body in (("GET", "", None), ("DELETE", "", None), ("PATCH", "", {}), ("GET", "/firings", None)):
        (await api(method, path + rest, json=body)).problem(404)


async def test_an_alert_is_deleted_with_its_product(api: Api, webhook: str) -> None:
    product = (await api.create())["id"]
    of_product, of_all = (await make(api, webhook, product_id=product))["id"], (await make(api, webhook))["id"]
    await api("DELETE", f"/products/{product}")
    (await api("GET", f"/alerts/{of_product}")).problem(404)
    assert (await api("GET", f"/alerts/{of_all}")).status == 200


@pytest.mark.parametrize(
    ("fields", "pointers"),
    [
        ({"condition": None}, ["/condition"]),
        ({"condition": "drop"}, ["/condition"]),
        ({"condition": {}}, ["/condition/type"]),
        ({"condition": {"type": "fall"}}, ["/condition/type"]),
        ({"condition": {"type": "drop", "percent": 5}}, ["/condition/window"]),
        ({"condition": BELOW | {"best_price_at_or_below": 1}}, ["/condition/best_price_at_or_below"]),
        ({"condition": BELOW | {"window": "1h"}}, ["/condition/window"]),
        ({"condition": BELOW | {"price": -1}}, ["/condition/price"]),
        ({"condition": BELOW | {"price": 2**63}}, ["/condition/price"]),
        ({"condition": {"type": "drop", "percent": 100.01, "window": "1h"}}, ["/condition/percent"]),
        ({"condition": {"type": "drop", "percent": 0, "window": "1h"}}, ["/condition/percent"]),
        ({"condition": {"type": "drop", "percent": True, "window": "1h"}}, ["/condition/percent"]),
        ({"condition": {"type": "drop", "percent": 5, "window": "31d"}}, ["/condition/window"]),
        ({"condition": {"type": "drop", "percent": 5, "window": "0m"}}, ["/condition/window"]),
        ({"condition": {"type": "rise", "percent": 5, "window": 5}}, ["/condition/window"]),
        ({"condition": {"type": "new_low", "over": "7d"}}, ["/condition/over"]),
        ({"webhook_id": UNKNOWN}, ["/webhook_id"]),
        ({"webhook_id": None}, ["/webhook_id"]),
        ({"webhook_id": 7}, ["/webhook_id"]),
        ({"product_id": UNKNOWN}, ["/product_id"]),
        ({"product_id": "all"}, ["/product_id"]),
        ({"cooldown_seconds": -1}, ["/cooldown_seconds"]),
        ({"cooldown_seconds": 2_592_001}, ["/cooldown_seconds"]),
        ({"hysteresis_percent": 101}, ["/hysteresis_percent"]),
        ({"enabled": 1}, ["/enabled"]),
        ({"name": ""}, ["/name"]),
        ({"firings_count": 0}, ["/firings_count"]),
    ],
)
async def test_what_makes_no_sense_is_refused_with_its_place(
    api: Api, webhook: str, fields: Any, pointers: list[str]
) -> None:
    valid = {"condition": BELOW, "webhook_id": webhook}
    assert (await api("POST", "/alerts", json=valid | fields)).pointers() == pointers
    made = await make(api, webhook)
    assert (await api("PATCH", f"/alerts/{made['id']}", json=fields)).pointers() == pointers
    assert (await api("GET", f"/alerts/{made['id']}")).json == made


TYPES = "'best_price_at_or_below', 'drop', 'rise', 'new_low', 'back_in_stock'"


@pytest.mark.parametrize(
    ("fields", "detail"),
    [
        ({"condition": {}}, "is required"),
        ({"condition": "drop"}, "must be a JSON object"),
        ({"condition": {"type": "fall"}}, f"must be one of {TYPES}"),
        ({"condition": {"type": "drop", "percent": 0, "window": "1h"}}, "must be at least 0.01"),
        ({"condition": {"type": "drop", "percent": "5", "window": "1h"}}, "must be a number"),
        ({"condition": {"type": "new_low", "over": "7d"}}, "must be '30d' or 'ever'"),
        ({"condition": BELOW | {"price": 9.5}}, "must be a whole number"),
        ({"enabled": 1}, "must be true or false"),
    ],
)
async def test_what_is_wrong_is_said_in_plain_words(api: Api, webhook: str, fields: Any, detail: str) -> None:
    refused = await api("POST", "/alerts", json={"condition": BELOW, "webhook_id": webhook} | fields)
    assert [error["detail"] for error in refused.problem(422)["errors"]] == [detail]


async def test_cursors_of_other_lists_are_refused(api: Api, webhook: str) -> None:
    made = [(await make(api, webhook))["id"] for _ in range(2)]
    cursor = (await api("GET", "/alerts?limit=1")).json["next_cursor"]
    assert (await api("GET", f"/alerts?cursor={cursor}")).status == 200
    for path in (f"/alerts?cursor={cursor[:-1]}", f"/alerts/{made[0]}/firings?cursor={cursor}", "/alerts?cursor=x"):
        assert (await api("GET", path)).pointers() == ["/query/cursor"]


async def test_there_are_bounds_on_their_number(api: Api, webhook: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(manage_alerts, "MAX_ALERTS", 3)
    monkeypatch.setattr(manage_alerts, "MAX_ALERTS_FOR_ALL", 1)
    product = (await api.create())["id"]
    on_all = await make(api, webhook)
    on_one = await make(api, webhook, product_id=product)
    body = {"condition": BELOW, "webhook_id": webhook}
    assert "1 alerts on all" in (await api("POST", "/alerts", json=body)).problem(409)["detail"]
    reply = await api("PATCH", f"/alerts/{on_one['id']}", json={"product_id": None})
    assert "1 alerts on all" in reply.problem(409)["detail"]
    assert (await api("PATCH", f"/alerts/{on_all['id']}", json={"name": "still"})).status == 200
    await make(api, webhook, product_id=product)
    reply = await api("POST", "/alerts", json=body | {"product_id": product})
    assert "3 alerts" in reply.problem(409)["detail"]


async def test_a_webhook_that_alerts_go_to_is_not_deleted(api: Api, webhook: str) -> None:
    alert = (await make(api, webhook))["id"]
    assert "Alerts" in (await api("DELETE", f"/webhooks/{webhook}")).problem(409)["detail"]
    await api("DELETE", f"/alerts/{alert}")
    assert (await api("DELETE", f"/webhooks/{webhook}")).status == 204
