"""Listing: sorts, cursors, search."""

import asyncio
import random
from typing import Any
from uuid import UUID

import pytest

from catalog_api.db import product_reads

from .conftest import Api

SORTS = ["created_at", "-created_at", "name", "-name", "best_price", "-best_price"]


async def fill(api: Api, sql: Any, count: int = 30) -> None:
    """Products with many equal names, some equal prices and some without one."""
    chance = random.Random(7)  # noqa: S311
    names = ["a", "A", "Ž", "z", "é", "🪓", "10", "9"]
    items = [{"name": chance.choice(names), "description": f"{number}"} for number in range(count)]
    for start in range(0, count, 7):  # products of one batch were created at the same time
        reply = await api("POST", "/products/batch", json={"items": items[start : start + 7]})
        assert reply.status == 200
    await sql.execute(
        "UPDATE product_offers SET best_price = ('x' || right(product_id::text, 1))::bit(4)::int WHERE "
        "right(product_id::text, 1) > '5'"
    )


def in_order(products: list[Any], sort: str) -> list[Any]:
    field, descending = sort.removeprefix("-"), sort.startswith("-")
    priced = [product for product in products if product[field] is not None]
    unpriced = [product for product in products if product[field] is None]

    def key(product: Any) -> Any:
        return product[field], UUID(product["id"])

    return sorted(priced, key=key, reverse=descending) + sorted(unpriced, key=key_of_id, reverse=descending)


def key_of_id(product: Any) -> UUID:
    return UUID(product["id"])


@pytest.mark.parametrize("limit", [1, 4, 30, 100])
@pytest.mark.parametrize("sort", SORTS)
async def test_every_sort_walks_every_product_once_in_order(api: Api, sql: Any, sort: str, limit: int) -> None:
    await fill(api, sql)
    everything = (await api("GET", "/products?limit=100")).json["items"]
    assert len(everything) == 30
    walked = await api.walk(sort=sort, limit=limit)
    assert [product["id"] for product in walked] == [product["id"] for product in in_order(everything, sort)]


async def test_creation_is_the_default_sort_and_fifty_the_default_limit(api: Api, sql: Any) -> None:
    await fill(api, sql, 51)
    page = (await api("GET", "/products")).json
    assert page["items"] == (await api("GET", "/products?sort=created_at&limit=50")).json["items"]
    assert page["next_cursor"] is not None
    rest = (await api("GET", f"/products?cursor={page['next_cursor']}")).json
    assert (len(page["items"]), len(rest["items"]), rest["next_cursor"]) == (50, 1, None)


@pytest.mark.parametrize("sort", ["created_at", "-created_at", "name"])
async def test_a_walk_sees_each_product_once_while_others_come_and_go(api: Api, sql: Any, sort: str) -> None:
    await fill(api, sql)
    before = {product["id"] for product in await api.walk()}
    walking = asyncio.create_task(api.walk(sort=sort, limit=2))
    while not walking.done():
        extra = await api.create(name=random.choice(["0", "m", "🪓🪓"]))  # noqa: S311
        await api("DELETE", f"/products/{extra['id']}")
        await api.create(name="n")
    seen = [product["id"] for product in await walking]
    assert len(seen) == len(set(seen))
    assert before <= set(seen)


async def test_a_cursor_carries_its_sort_and_search(api: Api, sql: Any) -> None:
    await fill(api, sql)
    first = (await api("GET", "/products?sort=-name&q=1&limit=2")).json
    alone = await api("GET", f"/products?limit=2&cursor={first['next_cursor']}")
    repeated = await api("GET", f"/products?limit=2&sort=-name&q=1&cursor={first['next_cursor']}")
    assert alone.json == repeated.json
    assert alone.json["items"] != first["items"]


async def test_a_cursor_of_another_sort_or_search_is_refused(api: Api, sql: Any) -> None:
    await fill(api, sql)
    cursor = (await api("GET", "/products?sort=name&q=1&limit=2")).json["next_cursor"]
    for other in ("sort=-name", "sort=created_at", "q=2", "q=", "q=1+2"):
        assert (await api("GET", f"/products?cursor={cursor}&{other}")).pointers() == ["/query/cursor"]


@pytest.mark.parametrize("sort", SORTS)
async def test_a_tampered_cursor_is_refused(api: Api, sql: Any, sort: str) -> None:
    await fill(api, sql, 5)
    cursor = (await api("GET", f"/products?sort={sort}&limit=1")).json["next_cursor"]
    chance = random.Random(sort)  # noqa: S311
    characters = "ABCabc012-_="
    damaged = {cursor[:-1], cursor[1:], f"{cursor}A", f"{cursor}=", cursor[::-1], "x", "", "%00", "%FF", "a" * 9000}
    for _ in range(30):
        place = chance.randrange(len(cursor))
        damaged.add(cursor[:place] + chance.choice(characters) + cursor[place + 1 :])
    for broken in damaged - {cursor}:
        assert (await api("GET", f"/products?sort={sort}&cursor={broken}")).pointers() == ["/query/cursor"], broken


@pytest.mark.parametrize(
    ("query", "pointer"),
    [
        ("limit=0", "limit"),
        ("limit=101", "limit"),
        ("limit=x", "limit"),
        ("limit=", "limit"),
        ("limit=1.5", "limit"),
        ("limit=99999999999999999999", "limit"),
        ("sort=price", "sort"),
        ("sort=", "sort"),
        ("sort=+name", "sort"),
        (f"q={'x' * 201}", "q"),
    ],
)
async def test_bad_parameters_are_refused(api: Api, query: str, pointer: str) -> None:
    assert (await api("GET", f"/products?{query}")).pointers() == [f"/query/{pointer}"]


@pytest.fixture
async def tools(api: Api) -> Api:
    for name, description in (
        ("Benzinová sekačka Dosquarna", "Nejlepší sekačka na trhu."),
        ("ŠROUBOVÁK iphone-15", "size: 10x20; don't drop; C:\\temp\\x; a/b_c"),
        ("Robotická sekačka", "tichá & rychlá | 'quoted' :* !not <-> \\"),
        ("日本語 テスト", "straße"),
    ):
        await api.create(name=name, description=description)
    return api


@pytest.mark.parametrize(
    ("q", "found"),
    [
        ("sekačka", 2),
        ("SEKACKA", 2),
        ("sekačka trhu", 1),
        ("trhu sekačka", 1),
        ("seka rob", 1),
        ("ekačka", 0),
        ("sekačka šroubovák", 0),
        ("šroubovák", 1),
        ("15", 1),
        ("iPhone-15", 1),
        ("IPHONE 15", 1),
        ("don't", 1),
        ("a/b_c", 1),
        ("b_c", 1),
        ("quoted not", 1),
        ("'", 4),
        ("\\", 4),
        ("& | ! :* <-> ( )", 4),
        ("", 4),
        (" ", 4),
        ("日本", 1),
        ("STRASSE", 1),
        ("straße", 1),
        ("\x00sekačka\x00", 2),
        ("robot'); DROP TABLE products; --", 0),
        ("x" * 200, 0),
    ],
)
async def test_search_finds_products_with_every_word(tools: Api, q: str, found: int) -> None:
    assert len(await tools.walk(q=q, limit=1)) == found


@pytest.mark.parametrize("rare", [0, 10_000])
@pytest.mark.parametrize("sort", SORTS)
async def test_a_search_walks_in_order_too(
    api: Api, sql: Any, sort: str, rare: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(product_reads, "RARE", rare)
    await fill(api, sql)
    everything = [p for p in await api.walk() if p["name"].startswith("1") or p["description"].startswith("1")]
    assert len(everything) > 5
    walked = await api.walk(sort=sort, q="1", limit=3)
    assert [p["id"] for p in walked] == [p["id"] for p in in_order(everything, sort)]


async def test_search_follows_changes(api: Api) -> None:
    product = await api.create(name="before", description="")
    await api("PATCH", f"/products/{product['id']}", json={"name": "after"})
    assert await api.walk(q="before") == []
    assert [found["id"] for found in await api.walk(q="after")] == [product["id"]]


async def test_a_word_of_ten_thousand_characters_is_found(api: Api) -> None:
    await api.create(description="ž" * 10_000)
    assert len(await api.walk(q="ž" * 200)) == 1
