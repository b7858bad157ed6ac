"""Idempotency-Key: asked twice, done once, answered alike."""

import asyncio
import json
from collections import Counter
from typing import Any

import pytest

from catalog_api.db import idempotency
from catalog_api.db.database import Database
from catalog_api.domain.errors import DatabaseUnavailableError
from catalog_api.use_cases.answer_once import ForgetExpiredKeys

from .conftest import PRODUCT, Api

KEY = {"Idempotency-Key": "5d0c4b5e-order-17"}


async def test_the_same_request_is_answered_alike_and_done_once(api: Api, sql: Any) -> None:
    first = await api("POST", "/products", json=PRODUCT, headers=KEY)
    assert first.status == 201
    assert "Idempotency-Replayed" not in first.headers
    other_spelling = json.dumps(dict(reversed(PRODUCT.items())), indent=2)
    again = await api("POST", "/products", data=other_spelling, headers=KEY | {"Content-Type": "application/json"})
    assert (again.status, again.body) == (201, first.body)
    assert (again.headers["ETag"], again.headers["Location"]) == (first.headers["ETag"], first.headers["Location"])
    assert again.headers["Idempotency-Replayed"] == "true"
    assert await sql.fetchval("SELECT count(*) FROM products") == 1
    assert await sql.fetchval("SELECT count(*) FROM outbox") == 1


async def test_the_first_answer_is_replayed_even_when_the_product_has_changed(api: Api) -> None:
    first = await api("POST", "/products", json=PRODUCT, headers=KEY)
    await api("PATCH", f"/products/{first.json['id']}", json={"name": "other"})
    assert (await api("POST", "/products", json=PRODUCT, headers=KEY)).body == first.body


async def test_another_body_under_the_same_key_is_refused(api: Api, sql: Any) -> None:
    await api("POST", "/products", json=PRODUCT, headers=KEY)
    (await api("POST", "/products", json=PRODUCT | {"name": "other"}, headers=KEY)).problem(422)
    (await api("POST", "/products/batch", json={"items": [PRODUCT]}, headers=KEY)).problem(422)
    assert await sql.fetchval("SELECT count(*) FROM products") == 1


async def test_a_refused_request_does_not_use_its_key_up(api: Api) -> None:
    assert (await api("POST", "/products", json={"name": ""}, headers=KEY)).status == 422
    assert (await api("POST", "/products", json=PRODUCT, headers=KEY)).status == 201


async def test_a_batch_is_replayed_whole(api: Api, sql: Any) -> None:
    body = {"items": [PRODUCT, {"name": ""}, PRODUCT]}
    first = await api("POST", "/products/batch", json=body, headers=KEY)
    again = await api("POST", "/products/batch", json=body, headers=KEY)
    assert (again.status, again.body, again.headers["Idempotency-Replayed"]) == (200, first.body, "true")
    assert await sql.fetchval("SELECT count(*) FROM products") == 2


async def test_twenty_at_once_create_one_product(api: Api, sql: Any) -> None:
    replies = await asyncio.gather(*(api("POST", "/products", json=PRODUCT, headers=KEY) for _ in range(20)))
    statuses = Counter(reply.status for reply in replies)
    assert statuses.keys() <= {201, 409}
    assert len({reply.body for reply in replies if reply.status == 201}) == 1
    assert await sql.fetchval("SELECT count(*) FROM products") == 1
    assert await sql.fetchval("SELECT count(*) FROM outbox") == 1


async def test_a_request_that_is_in_flight_is_409(api: Api, database: Database) -> None:
    async with database.writing() as elsewhere, elsewhere.transaction():
        assert await idempotency.try_lock(elsewhere, KEY["Idempotency-Key"])
        reply = await api("POST", "/products", json=PRODUCT, headers=KEY)
        reply.problem(409)
        assert reply.headers["Retry-After"] == "1"
    assert (await api("POST", "/products", json=PRODUCT, headers=KEY)).status == 201


async def test_a_crash_leaves_neither_product_nor_key(api: Api, database: Database, sql: Any) -> None:
    async def crashes() -> None:
        async with database.writing() as connection, connection.transaction():
            assert await idempotency.try_lock(connection, KEY["Idempotency-Key"])
            await idempotency.store(connection, KEY["Idempotency-Key"], idempotency.StoredAnswer(b"", 201, {}, b""))
            # It has ended, and so let go of its lock, before its client hears of it.
            assert await sql.fetchval("SELECT pg_terminate_backend($1, 30000)", connection.get_server_pid())
            await idempotency.find(connection, KEY["Idempotency-Key"])

    with pytest.raises(DatabaseUnavailableError):
        await crashes()
    assert (await api("POST", "/products", json=PRODUCT, headers=KEY)).status == 201


async def test_a_key_lives_for_a_day(api: Api, database: Database, sql: Any) -> None:
    first = await api("POST", "/products", json=PRODUCT, headers=KEY)
    await sql.execute("UPDATE idempotency_keys SET created_at = now() - interval '23 hours 59 minutes'")
    assert (await api("POST", "/products", json=PRODUCT, headers=KEY)).body == first.body
    assert await ForgetExpiredKeys(database)() == 0
    await sql.execute("UPDATE idempotency_keys SET created_at = now() - interval '24 hours'")
    second = await api("POST", "/products", json=PRODUCT, headers=KEY)
    assert second.status == 201
    assert second.json["id"] != first.json["id"]
    assert (await api("POST", "/products", json=PRODUCT, headers=KEY)).body == second.body


async def test_expired_keys_are_forgotten_in_batches(api: Api, database: Database, sql: Any) -> None:
    for number in range(5):
        await api("POST", "/products", json=PRODUCT, headers={"Idempotency-Key": f"key-{number}"})
    await sql.execute("UPDATE idempotency_keys SET created_at = now() - interval '25 hours' WHERE key <> 'key-0'")
    forget = ForgetExpiredKeys(database)
    assert [await forget(3), await forget(3), await forget(3)] == [3, 1, 0]
    assert await sql.fetchval("SELECT array_agg(key) FROM idempotency_keys") == ["key-0"]


@pytest.mark.parametrize("key", ["", "x" * 256, "with space", "tab\there", "ř"])
async def test_a_malformed_key_is_refused(api: Api, key: str) -> None:
    reply = await api("POST", "/products", json=PRODUCT, headers={"Idempotency-Key": key})
    assert reply.pointers() == ["/header/Idempotency-Key"]


async def test_the_longest_key_is_taken(api: Api) -> None:
    assert (await api("POST", "/products", json=PRODUCT, headers={"Idempotency-Key": "x" * 255})).status == 201
