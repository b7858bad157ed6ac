"""Webhooks over REST."""

import asyncio
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest

from catalog_api.db.database import Database
from catalog_api.domain.webhooks import MOST_WEBHOOKS
from catalog_api.use_cases.send_webhooks import ForgetDeliveries

from .conftest import UNKNOWN, Api, serving, settings

URL = "http://127.0.0.1:9/hook"


async def make(api: Api, **fields: Any) -> Any:
    reply = await api("POST", "/webhooks", json={"url": URL} | fields)
    assert reply.status == 201, reply
    return reply.json


async def pages(api: Api, path: str, **parameters: str) -> list[Any]:
    items: list[Any] = []
    cursor = None
    while True:
        page = await api("GET", path, params={"limit": "3", **parameters} | ({"cursor": cursor} if cursor else {}))
        assert page.status == 200, page
        items += page.json["items"]
        if (cursor := page.json["next_cursor"]) is None:
            return items


async def test_a_secret_is_shown_once(api: Api) -> None:
    webhook = await make(api, description="For the shop")
    assert webhook["secret"].startswith("whsec_")
    path = f"/webhooks/{webhook['id']}"
    rotated = await api("POST", f"{path}/rotate-secret")
    assert (rotated.status, rotated.json["secret"] != webhook["secret"]) == (200, True)
    await api("POST", f"{path}/test")
    for reply in (
        await api("GET", path),
        await api("GET", "/webhooks"),
        await api("PATCH", path, json={"description": ""}),
        await api("GET", f"{path}/deliveries"),
    ):
        assert reply.status == 200
        assert b"whsec_" not in reply.body
        for shown in (webhook, rotated.json):
            assert shown["secret"][6:].encode() not in reply.body
    shown = (await api("GET", path)).json
    assert shown == {
        "id": webhook["id"],
        "url": URL,
        "description": "",
        "enabled": True,
        "disabled_because": None,
        "failing_since": None,
        "previous_secret_ends_at": rotated.json["previous_secret_ends_at"],
        "created_at": webhook["created_at"],
        "updated_at": shown["updated_at"],
    }


async def test_webhooks_and_deliveries_are_listed_in_pages(api: Api) -> None:
    made = [(await make(api))["id"] for _ in range(7)]
    assert [item["id"] for item in await pages(api, "/webhooks")] == made
    path = f"/webhooks/{made[0]}"
    sent = [(await api("POST", f"{path}/test")).json["id"] for _ in range(8)]
    assert [item["id"] for item in await pages(api, f"{path}/deliveries")] == sent[::-1]
    assert [item["id"] for item in await pages(api, f"{path}/deliveries", state="pending")] == sent[::-1]
    assert await pages(api, f"{path}/deliveries", state="failed") == []
    assert await pages(api, f"/webhooks/{made[1]}/deliveries") == []

    cursor = (await api("GET", f"{path}/deliveries", params={"limit": "1"})).json["next_cursor"]
    elsewhere = [
        ("/webhooks", {}),
        (f"{path}/deliveries", {"state": "failed"}),
        (f"/webhooks/{made[1]}/deliveries", {}),
    ]
    for where, parameters in elsewhere:
        assert (await api("GET", where, params={"cursor": cursor, **parameters})).pointers() == ["/query/cursor"]
    for bad in ("", "x", cursor[:-1], f"{cursor}A", "š"):
        assert (await api("GET", f"{path}/deliveries", params={"cursor": bad})).pointers() == ["/query/cursor"]


async def test_a_webhook_is_changed_switched_off_and_deleted(api: Api) -> None:
    webhook = await make(api)
    path = f"/webhooks/{webhook['id']}"
    moved = await api("PATCH", path, json={"url": f"{URL}/2", "description": "Moved"})
    assert (moved.status, moved.json["url"], moved.json["description"]) == (200, f"{URL}/2", "Moved")
    assert moved.json["updated_at"] > webhook["updated_at"]
    same = await api("PATCH", path, json={"description": "Moved", "enabled": True})
    assert same.json["updated_at"] == moved.json["updated_at"]
    off = await api("PATCH", path, json={"enabled": False})
    assert (off.json["enabled"], off.json["disabled_because"]) == (False, "switched_off")
    (await api("POST", f"{path}/test")).problem(409)
    on = await api("PATCH", path, json={"enabled": True})
    assert (on.json["enabled"], on.json["disabled_because"]) == (True, None)
    assert (await api("DELETE", path)).status == 204
    requests: list[tuple[str, str, Any]] = [
        ("GET", path, None),
        ("PATCH", path, {}),
        ("DELETE", path, None),
        ("POST", f"{path}/test", None),
        ("POST", f"{path}/rotate-secret", None),
        ("GET", f"{path}/deliveries", None),
        ("POST", f"{path}/deliveries/{UNKNOWN}/redeliver", None),
    ]
    for method, where, body in requests:
        (await api(method, where, json=body)).problem(404)
    webhook = await make(api)
    (await api("POST", f"/webhooks/{webhook['id']}/deliveries/{UNKNOWN}/redeliver")).problem(404)


@pytest.mark.parametrize(
    ("body", "pointers"),
    [
        ({}, ["/url"]),
        ({"url": None}, ["/url"]),
        ({"url": 1}, ["/url"]),
        ({"url": "shop.example"}, ["/url"]),
        ({"url": "https://nobody.invalid/"}, ["/url"]),
        ({"url": "https://a\ud800.example/"}, ["/url"]),
        ({"url": URL, "description": "x" * 501}, ["/description"]),
        ({"url": URL, "description": "a\x00b"}, ["/description"]),
        ({"url": URL, "description": None}, ["/description"]),
        ({"url": URL, "enabled": False}, ["/enabled"]),
        ({"url": URL, "secret": "whsec_mine"}, ["/secret"]),
    ],
)
async def test_what_is_wrong_is_pointed_at(body: Any, pointers: list[str], api: Api) -> None:
    assert (await api("POST", "/webhooks", json=body)).pointers() == pointers


async def test_a_change_is_held_to_the_same(api: Api) -> None:
    path = f"/webhooks/{(await make(api))['id']}"
    for body in ({"url": None}, {"url": ""}, {"url": "ftp://shop.example/"}, {"enabled": None}, {"enabled": 1}):
        assert (await api("PATCH", path, json=body)).pointers() == [f"/{next(iter(body))}"]
    for body in ({"overlap_seconds": -1}, {"overlap_seconds": 604_801}, {"overlap_seconds": "1"}):
        assert (await api("POST", f"{path}/rotate-secret", json=body)).pointers() == ["/overlap_seconds"]
    for bad in ("1", f"{UNKNOWN}x"):
        assert (await api("GET", f"/webhooks/{bad}")).pointers() == ["/path/webhook_id"]
        assert (await api("POST", f"{path}/deliveries/{bad}/redeliver")).pointers() == ["/path/delivery_id"]
    assert (await api("GET", f"{path}/deliveries", params={"state": "lost"})).pointers() == ["/query/state"]


async def test_by_default_webhooks_lead_to_public_addresses_by_https_only(catalog_dsn: str) -> None:
    async with serving(settings(catalog_dsn, webhook_targets="public")) as api:
        for url in (
            URL,
            "https://127.0.0.1/",
            "https://[::1]/",
            "https://169.254.169.254/latest",
            "https://localhost/",
        ):
            assert (await api("POST", "/webhooks", json={"url": url})).pointers() == ["/url"]
        webhook = (await api("POST", "/webhooks", json={"url": "https://93.184.216.34/hook"})).json
        assert (await api("PATCH", f"/webhooks/{webhook['id']}", json={"url": "https://10.0.0.1/"})).pointers() == [
            "/url"
        ]


async def test_there_are_only_so_many(api: Api, sql: Any) -> None:
    await sql.fetch(
        "INSERT INTO webhooks (id, url, description) SELECT gen_random_uuid(), $1, '' FROM generate_series(1, $2)",
        URL,
        MOST_WEBHOOKS - 2,
    )
    replies = await asyncio.gather(*(api("POST", "/webhooks", json={"url": URL}) for _ in range(8)))
    assert sorted(reply.status for reply in replies) == [201, 201, *[409] * 6]


async def test_two_rotations_at_once_leave_two_secrets(api: Api, sql: Any) -> None:
    path = f"/webhooks/{(await make(api))['id']}/rotate-secret"
    replies = await asyncio.gather(*(api("POST", path, json={}) for _ in range(6)))
    assert {reply.status for reply in replies} == {200}
    rows = await sql.fetch("SELECT value, ends_at FROM webhook_secrets ORDER BY id")
    assert [row["ends_at"] is None for row in rows] == [False, True]
    assert rows[-1]["value"] in [reply.json["secret"] for reply in replies]


async def test_deliveries_that_are_old_or_left_over_are_forgotten(api: Api, database: Database, sql: Any) -> None:

    kept, deleted = await make(api), await make(api)
    old, young = [(await api("POST", f"/webhooks/{kept['id']}/test")).json["id"] for _ in range(2)]
    await api("POST", f"/webhooks/{deleted['id']}/test")
    await sql.fetch("UPDATE webhook_deliveries SET created_at = now() - interval '31 days' WHERE id = $1", old)
    await sql.fetch(
        "INSERT INTO webhook_attempts (webhook_id, delivery_id, at, seconds, status) VALUES ($1, $2, now(), 1, 500)",
        kept["id"],
        old,
    )
    await api("POST", f"/webhooks/{kept['id']}/rotate-secret", json={})
    await sql.fetch("UPDATE webhook_secrets SET ends_at = now() WHERE ends_at IS NOT NULL")
    assert (await api("DELETE", f"/webhooks/{deleted['id']}")).status == 204
    forget = ForgetDeliveries(database, timedelta(days=30))
    assert [await forget(), await forget(), await forget()] == [1, 1, 0]
    assert [item["id"] for item in await pages(api, f"/webhooks/{kept['id']}/deliveries")] == [young]
    assert await sql.fetch("SELECT FROM webhook_attempts") == []
    assert len(await sql.fetch("SELECT FROM webhook_secrets")) == 1


async def test_nothing_is_known_of_a_webhook_that_is_not_there(api: Api) -> None:
    (await api("GET", f"/webhooks/{uuid4()}")).problem(404)
