"""Messages for webhooks, sent to a receiver that does as it likes."""

import asyncio
import itertools
import json
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from aiohttp import web
from cryptography.fernet import Fernet
from tests.integration.processes import eventually

from catalog_api.db.database import Database
from catalog_api.db.webhook_deliveries import enqueue
from catalog_api.domain.webhooks import Message
from catalog_api.use_cases.send_webhooks import SLOW_SHARE
from sealing import Seals

from .conftest import Api, serving, settings
from .webhook_receiver import Got, Receiver, receiving, self_signed, sending, working

ATTEMPT_SECONDS = 16.0
SLOW_SECONDS = ATTEMPT_SECONDS / SLOW_SHARE + 0.2
WAIT = "SELECT extract(epoch FROM due_at - now())::float8 AS seconds FROM webhook_deliveries"
WAIT_SINCE_ATTEMPT = """
SELECT extract(epoch FROM due_at - (SELECT max(at + make_interval(secs => seconds)) FROM webhook_attempts))::float8
FROM webhook_deliveries
"""


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with receiving() as receiver:
        yield receiver


async def make(api: Api, url: str) -> Any:
    reply = await api("POST", "/webhooks", json={"url": url})
    assert reply.status == 201, reply
    return reply.json


async def test(api: Api, webhook: Any) -> Any:
    reply = await api("POST", f"/webhooks/{webhook['id']}/test")
    assert reply.status == 202, reply
    return reply.json


test.__test__ = False  # type: ignore[attr-defined]


async def deliveries(api: Api, webhook: Any) -> list[Any]:
    items: list[Any] = (await api("GET", f"/webhooks/{webhook['id']}/deliveries", params={"limit": "100"})).json[
        "items"
    ]
    return items


async def delivery(api: Api, webhook: Any) -> Any:
    (only,) = await deliveries(api, webhook)
    return only


async def attempted(api: Api, webhook: Any, times: int) -> Any:
    """The only delivery, once so many attempts are logged."""

    async def done() -> bool:
        return len((await delivery(api, webhook))["attempts"]) >= times

    await eventually(done)
    return await delivery(api, webhook)


async def due_now(sql: Any) -> None:
    await sql.fetch("UPDATE webhook_deliveries SET due_at = now() WHERE state = 'pending'")
    await sql.fetch("SELECT pg_notify('webhooks', '')")


async def test_a_message_is_sent_at_once_and_the_reference_library_verifies_it(
    api: Api, database: Database, catalog_dsn: str, receiver: Receiver
) -> None:
    webhook = await make(api, f"{receiver.url}/hook?shop=1")
    async with sending(database, catalog_dsn):
        asked = await test(api, webhook)
        sent = await attempted(api, webhook, 1)
    (got,) = receiver.got
    assert got.verified(webhook["secret"]) == sent["payload"] == asked["payload"]
    assert (got.id, got.path, got.headers["content-type"]) == (asked["id"], "/hook", "application/json")
    assert re.fullmatch(r"v1,[A-Za-z0-9+/]+=*", got.headers["webhook-signature"])
    assert (sent["state"], sent["next_attempt_at"]) == ("delivered", None)
    (attempt,) = sent["attempts"]
    assert (attempt["status"], attempt["error"], attempt["answer"]) == (200, None, "")
    with pytest.raises(Exception, match="No matching signature"):
        got.verified((await make(api, receiver.url))["secret"])


async def test_it_comes_again_with_the_same_id_until_it_is_taken(
    api: Api, database: Database, catalog_dsn: str, receiver: Receiver, sql: Any
) -> None:
    answers = iter([500, 404, 302, 204])
    receiver.answer = lambda _: web.Response(
        status=next(answers), text="who knows", headers={"Location": f"{receiver.url}/elsewhere"}
    )
    webhook = await make(api, receiver.url)
    async with sending(database, catalog_dsn):
        await test(api, webhook)
        for times, status in enumerate((500, 404, 302), 1):
            failed = await attempted(api, webhook, times)
            assert (failed["state"], failed["attempts"][0]["status"]) == ("pending", status)
            assert failed["attempts"][0]["answer"] == "who knows"
            assert (await api("GET", f"/webhooks/{webhook['id']}")).json["failing_since"]
            await due_now(sql)
        taken = await attempted(api, webhook, 4)
    assert taken["state"] == "delivered"
    assert (await api("GET", f"/webhooks/{webhook['id']}")).json["failing_since"] is None
    assert len(receiver.ids) == 1
    assert {got.path for got in receiver.got} == {"/"}, "no redirection is followed"
    for got in receiver.got:
        assert got.verified(webhook["secret"]) == taken["payload"]


async def test_it_fails_after_a_day_and_may_be_delivered_again_by_hand(
    api: Api, database: Database, catalog_dsn: str, receiver: Receiver, sql: Any
) -> None:
    receiver.answer = lambda _: web.Response(status=503)
    webhook = await make(api, receiver.url)
    waits = []
    async with sending(database, catalog_dsn):
        await test(api, webhook)
        for times in range(1, 12):
            assert (await attempted(api, webhook, times))["state"] == "pending"
            waits.append(await sql.fetchval(WAIT_SINCE_ATTEMPT))
            await due_now(sql)
        failed = await attempted(api, webhook, 12)
        assert failed["state"] == "failed"
        assert 21.5 * 3600 < sum(waits) < 26.5 * 3600
        assert all(later > 1.9 * earlier for earlier, later in itertools.pairwise(waits)), waits
        receiver.answer = lambda _: web.Response()
        again = await api("POST", f"/webhooks/{webhook['id']}/deliveries/{failed['id']}/redeliver")
        assert (again.status, again.json["state"]) == (202, "pending")
        taken = await attempted(api, webhook, 13)
    assert (taken["id"], taken["state"]) == (failed["id"], "delivered")
    assert receiver.ids == {failed["id"]: 13}


async def test_retry_after_is_honoured(
    api: Api, database: Database, catalog_dsn: str, receiver: Receiver, sql: Any
) -> None:
    receiver.answer = lambda _: web.Response(status=429, headers={"Retry-After": "1234"})
    webhook = await make(api, receiver.url)
    async with sending(database, catalog_dsn):
        await test(api, webhook)
        await attempted(api, webhook, 1)
    assert 1200 < await sql.fetchval(WAIT) <= 1234


async def test_a_mistake_of_ours_is_an_attempt_that_failed(
    api: Api, database: Database, catalog_dsn: str, receiver: Receiver, sql: Any
) -> None:
    webhook = await make(api, receiver.url)
    await sql.execute("UPDATE webhook_secrets SET value = 'whsec_a'")  # no base64
    async with sending(database, catalog_dsn):
        await test(api, webhook)
        failed = await attempted(api, webhook, 1)
        assert (failed["state"], failed["attempts"][0]["error"]) == (
            "pending",
            "a mistake of ours, which the worker's log tells",
        )
        assert await sql.fetchval("SELECT failures FROM webhook_deliveries") == 1
        await sql.execute("UPDATE webhook_secrets SET value = $1", webhook["secret"])
        await due_now(sql)
        assert (await attempted(api, webhook, 2))["state"] == "delivered"


async def test_410_disables_and_enabling_goes_on_with_what_was_pending(
    api: Api, database: Database, catalog_dsn: str, receiver: Receiver, sql: Any
) -> None:
    answers = iter([500, 410])
    receiver.answer = lambda _: web.Response(status=next(answers, 200))
    webhook = await make(api, receiver.url)
    path = f"/webhooks/{webhook['id']}"

    async def gone() -> bool:
        shown = (await api("GET", path)).json
        return (shown["enabled"], shown["disabled_because"]) == (False, "gone")

    async with sending(database, catalog_dsn):
        first = await test(api, webhook)
        await attempted(api, webhook, 1)
        second = await test(api, webhook)
        await eventually(gone)
        (await api("POST", f"{path}/test")).problem(409)
        (await api("POST", f"{path}/deliveries/{first['id']}/redeliver")).problem(409)
        async with database.transaction() as connection:
            assert await enqueue(connection, [Message(uuid4(), UUID(webhook["id"]), "alert.fired", "{}")]) == 0
        await due_now(sql)
        await test(api, other := await make(api, receiver.url))
        assert (await attempted(api, other, 1))["state"] == "delivered"
        assert receiver.ids[first["id"]] == 1, "a disabled webhook is sent nothing"

        enabled = await api("PATCH", path, json={"enabled": True})
        assert (enabled.json["enabled"], enabled.json["disabled_because"]) == (True, None)

        async def delivered() -> bool:
            return receiver.ids[first["id"]] == 2

        await eventually(delivered)
    states = {found["id"]: found["state"] for found in await deliveries(api, webhook)}
    assert states == {first["id"]: "delivered", second["id"]: "failed"}


async def test_while_the_secret_changes_both_sign_and_afterwards_the_new_one(
    api: Api, database: Database, catalog_dsn: str, receiver: Receiver
) -> None:
    old = await make(api, receiver.url)
    path = f"/webhooks/{old['id']}/rotate-secret"

    async def latest() -> Got:
        before = len(receiver.got)
        await test(api, old)

        async def came() -> bool:
            return len(receiver.got) > before

        await eventually(came)
        return receiver.got[-1]

    async with sending(database, catalog_dsn):
        new = (await api("POST", path, json={})).json
        assert new["previous_secret_ends_at"] is not None
        got = await latest()
        assert got.headers["webhook-signature"].count("v1,") == 2
        assert got.verified(old["secret"]) == got.verified(new["secret"])

        newer = (await api("POST", path, json={"overlap_seconds": 3600})).json
        got = await latest()
        assert got.verified(new["secret"]) == got.verified(newer["secret"])
        with pytest.raises(Exception, match="No matching signature"):
            got.verified(old["secret"])

        newest = (await api("POST", path, json={"overlap_seconds": 0})).json
        assert newest["previous_secret_ends_at"] is None
        got = await latest()
        got.verified(newest["secret"])
        with pytest.raises(Exception, match="No matching signature"):
            got.verified(newer["secret"])


async def test_one_that_hangs_or_is_dead_holds_up_no_other(
    api: Api, database: Database, catalog_dsn: str, receiver: Receiver
) -> None:
    hanging = asyncio.Event()

    async def hang(_: Got) -> web.Response:
        await hanging.wait()
        return web.Response()

    async with receiving() as slow:
        slow.answer = hang
        stuck = [await make(api, slow.url) for _ in range(3)]
        dead = await make(api, "http://127.0.0.1:9")
        fast = await make(api, receiver.url)
        for webhook in [*stuck, dead, fast]:
            for _ in range(20):
                await test(api, webhook)

        async def all_came() -> bool:
            return len(receiver.got) == 20 and len(slow.got) >= 12

        async with sending(database, catalog_dsn, attempt_seconds=60, at_once=32):
            await eventually(all_came)
            assert len(slow.got) == 12, "four at once for each"
            hanging.set()


async def test_however_many_fail_most_places_are_for_the_others(
    api: Api, database: Database, catalog_dsn: str, receiver: Receiver, sql: Any
) -> None:
    released = asyncio.Event()

    async def hang(_: Got) -> web.Response:
        await released.wait()
        return web.Response()

    async with receiving() as slow:
        slow.answer = hang
        for _ in range(20):
            await test(api, await make(api, slow.url))
        await sql.execute("UPDATE webhooks SET failing_since = now()")
        fast = [await make(api, receiver.url) for _ in range(5)]
        async with sending(database, catalog_dsn, attempt_seconds=60, at_once=16):
            for webhook in fast * 4:
                await test(api, webhook)

            async def all_came() -> bool:
                return len(receiver.got) == 20 and len(slow.got) >= 4

            await eventually(all_came)
            assert len(slow.got) == 4, "a quarter of the places"
            released.set()

            async def healed() -> bool:
                return not await sql.fetchval("SELECT count(*) FROM webhooks WHERE failing_since IS NOT NULL")

            await eventually(healed)
        assert len(slow.ids) == 20


async def test_however_many_are_slow_the_others_do_not_wait_for_them(
    api: Api, database: Database, catalog_dsn: str, receiver: Receiver, sql: Any
) -> None:
    holding, released = asyncio.Event(), asyncio.Event()
    held: set[str] = set()

    async def answer_late(got: Got) -> web.Response:
        if holding.is_set():
            held.add(got.id)
            await released.wait()
        else:
            await asyncio.sleep(SLOW_SECONDS)
        return web.Response()

    async with receiving() as slow:
        slow.answer = answer_late
        webhooks = [await make(api, slow.url) for _ in range(8)]
        fast = await make(api, receiver.url)

        async def tell(*hooks: Any, times: int) -> None:
            messages = [Message(uuid4(), UUID(hook["id"]), "alert.fired", "{}") for hook in hooks for _ in range(times)]
            async with database.transaction() as connection:
                await enqueue(connection, messages)

        await tell(*webhooks, times=40)

        async def all_have_answered() -> bool:
            return bool(await sql.fetchval("SELECT count(DISTINCT webhook_id) = 8 FROM webhook_attempts"))

        async with sending(database, catalog_dsn, attempt_seconds=ATTEMPT_SECONDS, at_once=16):
            await eventually(all_have_answered)
            known = len(slow.got)

            async def only_their_places_are_theirs() -> bool:
                return len(slow.got) >= known + 24  # at most 12 of these were claimed before they were known

            await eventually(only_their_places_are_theirs, seconds=60)
            holding.set()
            await tell(fast, times=20)

            async def all_came() -> bool:
                return len(receiver.got) == 20 and len(held) == 4

            await eventually(all_came)
            assert not await sql.fetchval("SELECT count(*) FROM webhooks WHERE failing_since IS NOT NULL")
            released.set()


@pytest.mark.parametrize("behaviour", ["hang", "huge", "endless", "drip", "close"])
async def test_whatever_a_receiver_does_ends_in_time_and_is_logged(
    behaviour: str, api: Api, database: Database, catalog_dsn: str
) -> None:
    never = asyncio.Event()
    server = await asyncio.start_server(lambda r, w: misbehaving(behaviour, r, w, never), "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    webhook = await make(api, f"http://127.0.0.1:{port}/")
    async with sending(database, catalog_dsn, attempt_seconds=1):
        await test(api, webhook)
        failed = await attempted(api, webhook, 1)
    never.set()
    server.close()
    (attempt,) = failed["attempts"]
    expected = {"hang": "no answer within 1 s", "endless": "no answer within 1 s"}
    expected |= {"close": "the connection broke: ServerDisconnectedError"}
    assert attempt["error"] == expected.get(behaviour)
    assert attempt["seconds"] < 10
    assert attempt["seconds"] == round(attempt["seconds"], 3)
    if attempt["error"] is None:
        assert attempt["status"] == 500
        assert len(attempt["answer"]) <= 1024
        assert "\x00" not in attempt["answer"]


async def misbehaving(
    behaviour: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, never: asyncio.Event
) -> None:
    try:
        await reader.readuntil(b"\r\n\r\n")
        match behaviour:
            case "hang":
                await never.wait()
            case "huge":
                writer.write(b"HTTP/1.1 500 No\r\nContent-Length: 1000000000\r\n\r\n")
                while not never.is_set():
                    writer.write(b"\x00\xff" * 50_000)
                    await writer.drain()
            case "endless":
                while not never.is_set():
                    writer.write(b"HTTP/1.1 103 Early Hints\r\n\r\n")
                    await writer.drain()
                    await asyncio.sleep(0.01)
            case "drip":
                writer.write(b"HTTP/1.1 500 No\r\nContent-Length: 1000\r\n\r\nx")
                await never.wait()
    except OSError:
        pass
    finally:
        writer.close()


async def test_what_a_killed_worker_had_in_hand_comes_again_with_the_same_id(
    api: Api, catalog_dsn: str, receiver: Receiver, sql: Any
) -> None:
    released = asyncio.Event()

    async def hold(_: Got) -> web.Response:
        await released.wait()
        return web.Response()

    async def came(times: int) -> None:
        async def came() -> bool:
            return len(receiver.got) >= times

        await eventually(came, seconds=60)

    receiver.answer = hold
    webhook = await make(api, receiver.url)
    asked = await test(api, webhook)
    async with working(catalog_dsn) as worker:
        await came(1)
        worker.kill()
    in_hand = await delivery(api, webhook)
    assert (in_hand["state"], in_hand["attempts"]) == ("pending", [])
    assert 20 < await sql.fetchval(WAIT) <= 30, "until its lease ends"
    released.set()
    await due_now(sql)
    async with working(catalog_dsn) as worker:
        await came(2)
        assert (await attempted(api, webhook, 1))["state"] == "delivered"
        worker.terminate()
        assert await worker.wait() == 0
    assert receiver.ids == {asked["id"]: 2}


async def test_a_worker_stops_within_ten_seconds_though_an_endpoint_hangs(
    api: Api, catalog_dsn: str, receiver: Receiver, sql: Any
) -> None:
    released = asyncio.Event()

    async def hang(_: Got) -> web.Response:
        await released.wait()
        return web.Response()

    async def came() -> bool:
        return len(receiver.got) == 1

    receiver.answer = hang
    webhook = await make(api, receiver.url)
    await test(api, webhook)
    async with working(catalog_dsn, WEBHOOK_ATTEMPT_SECONDS="60") as worker:
        await eventually(came, seconds=60)
        worker.terminate()
        assert await asyncio.wait_for(worker.wait(), 10) == 0
    released.set()
    in_hand = await delivery(api, webhook)
    assert (in_hand["state"], in_hand["attempts"]) == ("pending", []), "sent again when the lease ends"
    assert 0 < await sql.fetchval(WAIT) <= 75


async def test_an_authority_of_ones_own_signs_for_endpoints(api: Api, catalog_dsn: str, tmp_path: Path) -> None:
    context, certificate = self_signed(tmp_path)
    async with receiving(context) as receiver:
        webhook = await make(api, receiver.url)
        await test(api, webhook)
        async with working(catalog_dsn, SSL_CERT_FILE=str(certificate)):
            assert (await attempted(api, webhook, 1))["state"] == "delivered"
        assert receiver.got[0].verified(webhook["secret"])


async def test_a_sender_whose_session_ends_finishes_and_says_so(
    api: Api, database: Database, catalog_dsn: str, receiver: Receiver, sql: Any
) -> None:
    released = asyncio.Event()

    async def hold(_: Got) -> web.Response:
        await released.wait()
        return web.Response()

    async def came() -> bool:
        return len(receiver.got) == 1

    receiver.answer = hold
    webhook = await make(api, receiver.url)
    async with sending(database, catalog_dsn) as sender:
        await test(api, webhook)
        await eventually(came)
        await sql.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE application_name = 'catalog-api-webhooks' AND datname = current_database()"
        )
        released.set()
        with pytest.raises(ConnectionError, match="session"):
            await asyncio.wait_for(sender, 20)
    assert (await delivery(api, webhook))["state"] == "delivered"


async def test_a_worker_that_was_too_slow_changes_nothing_any_more(
    api: Api, database: Database, catalog_dsn: str, receiver: Receiver, sql: Any
) -> None:
    released = asyncio.Event()

    async def first_slow_then_refuse(_: Got) -> web.Response:
        if len(receiver.got) > 1:
            return web.Response(status=500)
        await released.wait()
        return web.Response(status=500)

    receiver.answer = first_slow_then_refuse
    webhook = await make(api, receiver.url)
    async with sending(database, catalog_dsn, attempt_seconds=30):
        await test(api, webhook)

        async def came() -> bool:
            return len(receiver.got) == 1

        await eventually(came)
        await due_now(sql)  # as if the lease had ended
        async with sending(database, catalog_dsn):
            await attempted(api, webhook, 1)
        released.set()
        both = await attempted(api, webhook, 2)
    assert both["state"] == "pending"
    assert await sql.fetchval("SELECT failures FROM webhook_deliveries") == 1


async def test_who_asks_while_the_last_attempt_is_under_way_has_it_sent_again(
    api: Api, database: Database, catalog_dsn: str, receiver: Receiver, sql: Any
) -> None:
    released = asyncio.Event()

    async def hold_the_first(_: Got) -> web.Response:
        if len(receiver.got) > 1:
            return web.Response()
        await released.wait()
        return web.Response(status=500)

    receiver.answer = hold_the_first
    webhook = await make(api, receiver.url)
    asked = await test(api, webhook)
    await sql.execute("UPDATE webhook_deliveries SET failures = 11")
    await sql.execute("UPDATE webhooks SET failing_since = now()")  # so one at a time
    async with sending(database, catalog_dsn):

        async def came() -> bool:
            return len(receiver.got) == 1

        await eventually(came)
        assert (await api("POST", f"/webhooks/{webhook['id']}/deliveries/{asked['id']}/redeliver")).status == 202
        released.set()
        assert (await attempted(api, webhook, 2))["state"] == "delivered"
    assert receiver.ids == {asked["id"]: 2}


async def test_of_many_workers_one_sends_a_message(
    api: Api, database: Database, catalog_dsn: str, receiver: Receiver, sql: Any
) -> None:
    webhooks = [await make(api, receiver.url) for _ in range(3)]
    messages = [
        Message(uuid4(), UUID(webhook["id"]), "alert.fired", json.dumps({"n": number}))
        for webhook in webhooks
        for number in range(100)
    ]
    async with database.transaction() as connection:
        assert await enqueue(connection, messages) == 300
    async with (
        sending(database, catalog_dsn), sending(database, catalog_dsn), sending(database, catalog_dsn),
    ):  # fmt: skip

        async def none_pending() -> bool:
            return not await sql.fetchval("SELECT count(*) FROM webhook_deliveries WHERE state = 'pending'")

        await eventually(none_pending, seconds=60)
    assert receiver.ids == {str(message.id): 1 for message in messages}


async def test_secrets_are_sealed_and_open_under_changed_keys(
    catalog_dsn: str, database: Database, receiver: Receiver, sql: Any
) -> None:
    first, second = Fernet.generate_key().decode(), Fernet.generate_key().decode()

    async def stored() -> list[str]:
        return [row["value"] for row in await sql.fetch("SELECT value FROM webhook_secrets ORDER BY id")]

    async with serving(settings(catalog_dsn)) as plain:
        early = await make(plain, receiver.url)
        assert await stored() == [early["secret"]]
    async with serving(settings(catalog_dsn, webhook_secret_keys=first)) as api:
        late = await make(api, receiver.url)
        _, sealed = await stored()
        assert late["secret"] not in sealed
        assert Fernet(first).decrypt(sealed).decode() == late["secret"]

        async def verified_both() -> bool:
            return sum(got.verified(late["secret"]) is not None for got in receiver.got) == 1

        async with sending(database, catalog_dsn, seals=Seals([second, first])):
            await test(api, late)
            assert (await attempted(api, late, 1))["state"] == "delivered"
            await eventually(verified_both)
        assert [Fernet(second).decrypt(value).decode() for value in await stored()] == [early["secret"], late["secret"]]
        async with sending(database, catalog_dsn, seals=Seals([first])):
            await test(api, early)
            failed = await attempted(api, early, 1)
        assert failed["state"] == "pending"
        assert "WEBHOOK_SECRET_KEYS" in failed["attempts"][0]["error"]
        assert len(receiver.got) == 1
