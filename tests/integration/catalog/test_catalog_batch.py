"""`POST /products/batch`: good items are created, bad ones reported in their places."""

import json
from typing import Any

import pytest

from .conftest import PRODUCT, Api


async def test_each_item_has_its_result_in_order(api: Api, sql: Any) -> None:
    items: list[Any] = [
        {"name": "first", "description": ""},
        {"name": "", "description": ""},
        {"name": "third", "description": "3"},
        {"nome": "x"},
        "no product",
        None,
        {"name": "\ud800", "description": ""},
        {"name": "last", "description": ""},
    ]
    reply = await api("POST", "/products/batch", json={"items": items})
    assert reply.status == 200
    results = reply.json["results"]
    assert [result["index"] for result in results] == list(range(len(items)))
    assert [result["status"] for result in results] == [201, 422, 201, 422, 422, 422, 422, 201]
    assert [result["product"]["name"] for result in results if result["status"] == 201] == ["first", "third", "last"]
    assert results[1]["problem"]["errors"] == [
        {"pointer": "/name", "detail": "must have 1 to 200 characters after trimming"}
    ]
    assert results[3]["problem"]["errors"][-1] == {"pointer": "/nome", "detail": "is not known here"}
    assert results[4]["problem"]["errors"] == [{"pointer": "", "detail": "must be a JSON object"}]
    for result in results:
        if result["status"] == 201:
            assert (await api("GET", f"/products/{result['product']['id']}")).json == result["product"]
    bodies = [json.loads(row["body"])["data"]["name"] for row in await sql.fetch("SELECT body FROM outbox ORDER BY id")]
    assert bodies == ["first", "third", "last"]


async def test_a_thousand_products_are_created_and_listed_in_order(api: Api, sql: Any) -> None:
    reply = await api("POST", "/products/batch", json={"items": [PRODUCT] * 1000})
    ids = [result["product"]["id"] for result in reply.json["results"]]
    assert len(set(ids)) == 1000
    assert [product["id"] for product in await api.walk(limit=100)] == ids
    assert await sql.fetchval("SELECT count(DISTINCT body::json->>'subject') FROM outbox") == 1000


async def test_a_batch_of_bad_items_creates_nothing(api: Api, sql: Any) -> None:
    reply = await api("POST", "/products/batch", json={"items": [{}]})
    assert [result["status"] for result in reply.json["results"]] == [422]
    assert await sql.fetchval("SELECT count(*) FROM products") == 0


@pytest.mark.parametrize(
    ("body", "pointers"),
    [
        ({"items": []}, ["/items"]),
        ({"items": [PRODUCT] * 1001}, ["/items"]),
        ({"items": {"0": PRODUCT}}, ["/items"]),
        ({}, ["/items"]),
        ({"items": [PRODUCT], "atomic": True}, ["/atomic"]),
        ([PRODUCT], [""]),
    ],
)
async def test_a_body_that_is_no_batch_is_refused(api: Api, body: Any, pointers: list[str]) -> None:
    assert (await api("POST", "/products/batch", json=body)).pointers() == pointers
