"""Creating, reading, changing and deleting products over HTTP."""

import asyncio
import json
from collections import Counter
from typing import Any
from uuid import UUID

import pytest

from .conftest import PRODUCT, UNKNOWN, Api


async def events(sql: Any) -> list[tuple[str, Any]]:
    rows = await sql.fetch("SELECT type, body FROM outbox ORDER BY id")
    return [(row["type"].split(".")[1], json.loads(row["body"])["data"]) for row in rows]


async def test_a_created_product_is_answered_and_read_back(api: Api) -> None:
    created = await api("POST", "/products", json={"name": "  Sekačka \n", "description": " as it is "})
    assert created.status == 201
    product = created.json
    assert UUID(product["id"]).version == 7
    assert created.headers["Location"] == f"/api/v1/products/{product['id']}"
    assert created.headers["ETag"] == '"1"'
    assert list(product) == [
        "id",
        "name",
        "description",
        "version",
        "created_at",
        "updated_at",
        "registration",
        "best_price",
        "offers_count",
        "offers_observed_at",
    ]
    assert product["name"] == "Sekačka"
    assert product["description"] == " as it is "
    assert product["version"] == 1
    assert product["created_at"] == product["updated_at"]
    assert product["created_at"].endswith("Z")
    assert product["registration"] == "pending"
    assert (product["best_price"], product["offers_count"], product["offers_observed_at"]) == (None, 0, None)
    read = await api("GET", f"/products/{product['id']}")
    assert (read.status, read.json, read.headers["ETag"]) == (200, product, '"1"')


async def test_the_longest_texts_fit(api: Api) -> None:
    name, description = "🪓" * 200, "ř" * 10_000
    created = await api("POST", "/products", json={"name": f"  {name}  ", "description": description})
    assert created.status == 201
    assert created.json["name"] == name
    assert created.json["description"] == description


@pytest.mark.parametrize(
    ("body", "pointers"),
    [
        ({"name": "", "description": ""}, ["/name"]),
        ({"name": " \t\u3000\u00a0 ", "description": ""}, ["/name"]),
        ({"name": "x" * 201, "description": ""}, ["/name"]),
        ({"name": "x", "description": "x" * 10_001}, ["/description"]),
        ({"name": "a\x00b", "description": "\x00"}, ["/name", "/description"]),
        ({"name": "\ud800", "description": "\udfff"}, ["/name", "/description"]),
        ({"name": 1, "description": None}, ["/name", "/description"]),
        ({}, ["/name", "/description"]),
        ({"name": "x", "description": "", "a/b~c": 1}, ["/a~1b~0c"]),
        ({"name": "x", "description": "", "id": UNKNOWN}, ["/id"]),
        ([], [""]),
        ("x", [""]),
    ],
)
async def test_a_bad_product_is_refused_with_pointers(api: Api, body: Any, pointers: list[str]) -> None:
    assert (await api("POST", "/products", json=body)).pointers() == pointers


async def test_lone_surrogates_in_keys_are_refused_and_not_repeated(api: Api) -> None:
    body = b'{"name": "x", "description": "", "\\ud800": 1}'
    (await api("POST", "/products", data=body, headers={"Content-Type": "application/json"})).problem(422)


async def test_put_replaces_and_counts_versions(api: Api, sql: Any) -> None:
    product = await api.create()
    put = await api("PUT", f"/products/{product['id']}", json={"name": "New ", "description": "d"})
    assert (put.status, put.headers["ETag"]) == (200, '"2"')
    assert put.json == product | {
        "name": "New",
        "description": "d",
        "version": 2,
        "updated_at": put.json["updated_at"],
    }
    assert put.json["updated_at"] > product["updated_at"]
    assert (await api("GET", f"/products/{product['id']}")).json == put.json
    assert (await events(sql))[1:] == [
        ("product-updated", {"product_id": product["id"], "version": 2, "name": "New", "description": "d"})
    ]


async def test_put_needs_both_parts(api: Api) -> None:
    product = await api.create()
    assert (await api("PUT", f"/products/{product['id']}", json={"name": "x"})).pointers() == ["/description"]


@pytest.mark.parametrize("content_type", ["application/merge-patch+json", 'Application/JSON ; v=1;charset="UTF-8"'])
async def test_patch_changes_what_it_names(api: Api, content_type: str) -> None:
    product = await api.create()
    patch = await api(
        "PATCH",
        f"/products/{product['id']}",
        data=json.dumps({"description": "other"}),
        headers={"Content-Type": content_type},
    )
    assert patch.status == 200
    assert (patch.json["name"], patch.json["description"], patch.json["version"]) == (product["name"], "other", 2)


@pytest.mark.parametrize(
    ("patch", "pointers"),
    [({"name": None}, ["/name"]), ({"nome": "x"}, ["/nome"]), ([], [""]), ({"name": " "}, ["/name"])],
)
async def test_a_bad_patch_is_refused(api: Api, patch: Any, pointers: list[str]) -> None:
    product = await api.create()
    assert (await api("PATCH", f"/products/{product['id']}", json=patch)).pointers() == pointers


@pytest.mark.parametrize("patch", [{}, {"name": f" {PRODUCT['name']} "}, PRODUCT])
async def test_what_changes_nothing_makes_no_version_and_no_event(api: Api, sql: Any, patch: Any) -> None:
    product = await api.create()
    assert (await api("PATCH", f"/products/{product['id']}", json=patch)).json == product
    assert (await api("PUT", f"/products/{product['id']}", json=PRODUCT)).json == product
    assert len(await events(sql)) == 1


async def test_a_deleted_product_is_gone(api: Api, sql: Any) -> None:
    product = await api.create()
    path = f"/products/{product['id']}"
    deleted = await api("DELETE", path)
    assert (deleted.status, deleted.body) == (204, b"")
    for method, body in (("DELETE", None), ("GET", None), ("PUT", PRODUCT), ("PATCH", {})):
        (await api(method, path, **({} if body is None else {"json": body}))).problem(404)
    for resource in ("offers", "trend", "history", "offers/1/trend"):
        (await api("GET", f"{path}/{resource}")).problem(404)
    assert (await events(sql))[1:] == [("product-deleted", {"product_id": product["id"], "version": 2})]
    assert await sql.fetchval("SELECT count(*) FROM product_offers") == 0


@pytest.mark.parametrize("path", ["", "/offers", "/trend", "/history", "/offers/1/trend"])
async def test_unknown_ids_are_404_and_malformed_ones_422(api: Api, path: str) -> None:
    assert UNKNOWN in (await api("GET", f"/products/{UNKNOWN}{path}")).problem(404)["detail"]
    for malformed in ("1", UNKNOWN.replace("-", ""), f"%7B{UNKNOWN}%7D", "%FF", "%00", "a" * 3000):
        assert (await api("GET", f"/products/{malformed}{path}")).pointers() == ["/path/product_id"]


@pytest.mark.parametrize(
    ("if_match", "status"),
    [
        ('"1"', 200),
        ('"7", "1"', 200),
        (', "7",, "1" ,', 200),
        ("*", 200),
        ('"2"', 412),
        ('W/"1"', 412),
        ('"01"', 412),
        ('"1', 412),
        ("1", 412),
        ("", 412),
        ('*, "1"', 412),
        ('"1" "2"', 412),
    ],
)
async def test_if_match_guards_changes(api: Api, if_match: str, status: int) -> None:
    product = await api.create()
    headers = {"If-Match": if_match}
    path = f"/products/{product['id']}"
    for method, body in (("PUT", PRODUCT), ("PATCH", {})):
        assert (await api(method, path, json=body, headers=headers)).status == status
    if status != 200:
        assert (await api("DELETE", path, headers=headers)).problem(status)
        assert (await api("GET", path)).json == product
    else:
        assert (await api("DELETE", path, headers=headers)).status == 204


async def test_an_unknown_product_is_404_whatever_if_match_says(api: Api) -> None:
    (await api("PUT", f"/products/{UNKNOWN}", json=PRODUCT, headers={"If-Match": '"1"'})).problem(404)


async def test_of_two_changes_to_one_version_one_wins(api: Api) -> None:
    product = await api.create()
    path, headers = f"/products/{product['id']}", {"If-Match": '"1"'}
    replies = await asyncio.gather(
        *(api("PATCH", path, json={"name": f"name {number}"}, headers=headers) for number in range(8))
    )
    assert Counter(reply.status for reply in replies) == {200: 1, 412: 7}
    winner = next(reply.json for reply in replies if reply.status == 200)
    assert (await api("GET", path)).json == winner
    assert winner["version"] == 2


async def test_concurrent_changes_each_make_a_version(api: Api, sql: Any) -> None:
    product = await api.create()
    path = f"/products/{product['id']}"
    replies = await asyncio.gather(*(api("PATCH", path, json={"name": f"name {number}"}) for number in range(10)))
    assert sorted(reply.json["version"] for reply in replies) == list(range(2, 12))
    assert [data["version"] for _, data in await events(sql)] == list(range(1, 12))


async def test_methods_that_a_resource_lacks_are_405_with_those_that_it_has(api: Api) -> None:
    product = await api.create()
    for path, allow in (
        ("/products", "GET, HEAD, POST"),
        (f"/products/{product['id']}", "DELETE, GET, HEAD, PATCH, PUT"),
        ("/products/batch", "POST"),
        (f"/products/{product['id']}/offers", "GET, HEAD"),
    ):
        reply = await api("OPTIONS", path)
        reply.problem(405)
        assert reply.headers["Allow"] == allow
    (await api("GET", "/products/batch")).problem(405)


async def test_head_is_answered_as_get_is_but_for_the_body(api: Api) -> None:
    product = await api.create()
    for path in ("/products", f"/products/{product['id']}", f"/products/{UNKNOWN}", "/products?limit=0"):
        get, head = await api("GET", path), await api("HEAD", path)
        assert (head.status, head.body) == (get.status, b"")
        for name in ("Content-Type", "Content-Length", "ETag", "Cache-Control"):
            assert head.headers.get(name) == get.headers.get(name)
    refused = await api("HEAD", "/products/batch")
    assert (refused.status, refused.headers["Allow"]) == (405, "POST")
    async with api.session.get(f"{api.url}/metrics") as response:
        assert 'method="HEAD",route="/api/v1/products/{product_id}",status="200"' in await response.text()


@pytest.mark.parametrize("path", ["/", "/product", "/products/", "/products//offers", f"/products/{UNKNOWN}/offer"])
async def test_paths_that_lead_nowhere_are_404(api: Api, path: str) -> None:
    (await api("GET", path)).problem(404)


async def test_unknown_query_parameters_are_refused_by_name(api: Api) -> None:
    assert (await api("GET", "/products?limit=1&lmit=2&x=")).pointers() == ["/query/lmit", "/query/x"]
    assert (await api("POST", "/products?dry_run=1", json=PRODUCT)).pointers() == ["/query/dry_run"]


async def test_metrics_count_requests_by_route_and_not_by_id(api: Api) -> None:
    product = await api.create()
    await api("GET", f"/products/{product['id']}")
    async with api.session.get(f"{api.url}/metrics") as response:
        metrics = await response.text()
    labels = 'method="GET",route="/api/v1/products/{product_id}",status="200"'
    assert f"aggregator_catalog_http_request_seconds_count{{{labels}}}" in metrics
    assert product["id"] not in metrics
