"""The stream of events over HTTP, on a real broker: what arrives, from where it goes on, whom it is refused."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import suppress
from itertools import pairwise
from uuid import uuid4

import pytest
from tests.integration.processes import eventually

from aggregator_contracts import OffersUpdated, ProductCreated, ProductDeleted, parse_event
from catalog_api.db.database import Database
from catalog_api.domain.access import TokenScope
from catalog_api.use_cases.manage_tokens import ManageTokens
from devstack.rabbitmq import RabbitNode
from event_bus import EventPublisher, Extent, PublishError

from .conftest import Api, serving, settings
from .event_streams import created, fill_until_dropped, small_log, streaming, updated

QUICK = {"stream_heartbeat_seconds": 0.15}


@pytest.fixture
async def publisher(rabbitmq_url: str) -> AsyncIterator[EventPublisher]:
    publisher = EventPublisher(rabbitmq_url)
    await publisher.start()
    yield publisher
    await publisher.stop()


@pytest.fixture
async def live(catalog_dsn: str, rabbitmq_url: str, publisher: EventPublisher) -> AsyncIterator[Api]:
    """A catalog of this test's own, on a broker that has the log."""
    assert publisher
    async with serving(settings(catalog_dsn, rabbitmq_url=rabbitmq_url, **QUICK)) as api:
        yield api


async def metrics(api: Api) -> dict[str, float]:
    async with api.session.get(f"{api.url}/metrics") as response:
        lines = (await response.text()).splitlines()
    return {name: float(value) for name, _, value in (line.rpartition(" ") for line in lines if line[0] != "#")}


async def test_events_arrive_as_they_were_published(live: Api, publisher: EventPublisher) -> None:
    published = [created(), updated(uuid4(), uuid4()), ProductDeleted.of(uuid4(), 2)]
    async with streaming(live) as stream:
        assert (stream.last_id, stream.events) == ("-1", [])
        assert stream.retry is not None
        assert 1000 <= stream.retry <= 4000
        await publisher.publish(published)
        told = await stream.take(3)
    assert [event.data for event in told] == [event.to_json() for event in published]
    assert [event.type for event in told] == [event.type for event in published]
    assert [int(event.id) for event in told] == [0, 1, 2]


async def test_a_stream_begins_now_or_with_the_first_event_there_is(live: Api, publisher: EventPublisher) -> None:
    await publisher.publish([created(), created()])
    later = created()
    async with streaming(live) as now, streaming(live, "?from=first") as first:
        await first.take(2)
        await publisher.publish([later])
        assert parse_event((await now.take(1))[0].data) == later
        assert parse_event((await first.take(3))[2].data) == later


async def test_only_the_products_and_types_asked_for_arrive(live: Api, publisher: EventPublisher) -> None:
    one, other, third = uuid4(), uuid4(), uuid4()
    async with (
        streaming(live, f"?product_id={str(one).upper()}&product_id={third}") as by_product,
        streaming(live, f"?type={ProductCreated.TYPE}&type={ProductDeleted.TYPE}") as by_type,
        streaming(live, f"?product_id={other}&type={OffersUpdated.TYPE}") as by_both,
    ):
        batch = updated(one, other, uuid4())
        last = [created(third), updated(other, revision=2)]
        await publisher.publish([created(one), created(other), batch, updated(other), *last])
        for_products = [parse_event(event.data) for event in await by_product.take(3)]
        assert isinstance(for_products[1], OffersUpdated)
        assert for_products[1].id == batch.id
        assert for_products[1].data.updates == batch.data.updates[:1]
        assert for_products[2] == last[0]
        assert {event.type for event in await by_type.take(3)} == {ProductCreated.TYPE}
        updates = [event.json["data"]["updates"] for event in await by_both.take(3)]
        assert {update["product_id"] for [update] in updates} == {str(other)}


async def test_a_client_goes_on_behind_the_last_id_that_it_has(live: Api, publisher: EventPublisher) -> None:
    published = [created() for _ in range(30)]
    async with streaming(live) as stream:
        await publisher.publish(published[:10])
        last = (await stream.take(10))[-1].id
    await publisher.publish(published[10:])
    async with (
        streaming(live, Last_Event_ID=last) as by_header,
        streaming(live, f"?last_event_id={last}") as by_query,
        streaming(live, "?last_event_id=0&from=first", Last_Event_ID=last) as by_both,
    ):
        for stream in (by_header, by_query, by_both):
            assert [parse_event(event.data) for event in await stream.take(20)] == published[10:]


async def test_the_id_moves_behind_what_is_not_for_the_client(live: Api, publisher: EventPublisher) -> None:
    mine = uuid4()
    query = f"?product_id={mine}"
    async with streaming(live, query) as stream:
        await publisher.publish([created() for _ in range(5)])
        await stream.until(lambda: stream.last_id == "4")
        assert stream.events == []
    await publisher.publish([created(mine)])
    async with streaming(live, query, Last_Event_ID=stream.last_id) as stream:
        assert [event.id for event in await stream.take(1)] == ["5"]


async def test_quiet_streams_tell_that_they_live(live: Api) -> None:
    async with live.session.get(f"{live.url}/api/v1/stream") as response:
        assert await response.content.readuntil(b"\n\n")
        for _ in range(3):
            assert await response.content.readuntil(b"\n\n") == b"id: -1\n:\n\n"


@pytest.mark.parametrize(
    ("query", "pointer"),
    [
        ("last_event_id=x", "/query/last_event_id"),
        ("last_event_id=-2", "/query/last_event_id"),
        (f"last_event_id={2**63}", "/query/last_event_id"),
        ("last_event_id=%00", "/query/last_event_id"),
        ("from=yesterday", "/query/from"),
        ("type=prices.unheard-of.v1", "/query/type/0"),
        (f"type={ProductCreated.TYPE}&type=", "/query/type/1"),
        ("product_id=1", "/query/product_id/0"),
        ("&".join(f"product_id={uuid4()}" for _ in range(101)), "/query/product_id"),
        ("since=1", "/query/since"),
    ],
)
async def test_what_can_not_be_followed_is_422(api: Api, query: str, pointer: str) -> None:
    assert (await api("GET", f"/stream?{query}")).pointers() == [pointer]


async def test_a_last_event_id_that_is_none_of_ours_is_422(api: Api) -> None:
    for value in ("x", "-2", "1e3", "1.5", str(2**63), "", "1,2", "٣"):
        reply = await api("GET", "/stream", headers={"Last-Event-ID": value})
        assert reply.pointers() == ["/header/Last-Event-ID"], value


async def test_an_id_of_a_log_that_was_made_anew_is_one_gap_and_then_the_first_event(
    live: Api, publisher: EventPublisher
) -> None:
    await publisher.publish([created(), created()])
    async with streaming(live, Last_Event_ID="17") as stream:
        gap, first, _ = await stream.take(3)
    assert (gap.type, gap.json, gap.id) == ("gap", {"missed_from": None, "missed_to": None}, "-1")
    assert first.id == "0"


async def test_what_the_log_dropped_is_one_gap_and_then_the_first_event_that_is_kept(
    catalog_dsn: str, rabbitmq_url: str
) -> None:
    of_this_broker = settings(catalog_dsn, rabbitmq_url=rabbitmq_url)
    async with small_log(rabbitmq_url) as fill, serving(of_this_broker) as api:
        await fill(5)
        async with streaming(api, "?from=first") as stream:
            await stream.until(lambda: len(stream.events) == 5)
        last = int(stream.last_id)
        async with streaming(api) as following:

            async def keeps_up(extent: Extent) -> None:
                await following.until(lambda: int(following.last_id) >= extent.last)

            extent = await fill_until_dropped(rabbitmq_url, fill, last + 1, keeps_up)
        # One has read the log all the while, the other begins with what is left of it.
        async with serving(of_this_broker) as other:
            for server in (api, other):
                async with streaming(server, Last_Event_ID=str(last)) as resumed:
                    await resumed.until(lambda resumed=resumed: int(resumed.last_id) == extent.last)  # type: ignore[misc]
                told = resumed.events
                if server is api:
                    assert "gap" not in {event.type for event in told}
                    assert told[0].json["number"] == 5
                else:
                    # What was dropped by then is one gap. What the log drops a moment later is another.
                    assert told[0].type == "gap"
                    assert told[0].json["missed_from"] == last + 1
                    assert told[0].json["missed_to"] >= extent.first - 1
                    assert (await metrics(server))["aggregator_catalog_stream_gaps_total"] >= 1
                for before, after in pairwise(told):
                    if after.type == "gap":
                        assert after.json["missed_from"] == int(before.id) + 1
                    elif before.type == "gap":
                        assert int(before.id) == before.json["missed_to"] == int(after.id) - 1
                    else:
                        assert after.json["number"] == before.json["number"] + 1


async def test_no_more_streams_than_allowed_and_they_take_no_place_of_others(
    catalog_dsn: str, rabbitmq_url: str, publisher: EventPublisher
) -> None:
    assert publisher
    limits = settings(catalog_dsn, rabbitmq_url=rabbitmq_url, http_max_streams=2, http_max_requests_in_flight=1)
    async with serving(limits) as api:
        async with streaming(api), streaming(api):
            refused = await api("GET", "/stream")
            assert "2 streams" in refused.problem(503)["detail"]
            assert int(refused.headers["Retry-After"]) >= 1
            assert (await api("GET", "/products")).status == 200
            assert (await metrics(api))["aggregator_catalog_streams_open"] == 2

        async def there_is_room() -> bool:
            return (await api("HEAD", "/stream")).status == 200

        await eventually(there_is_room)


async def test_head_is_answered_and_over(live: Api) -> None:
    reply = await live("HEAD", "/stream")
    assert (reply.status, reply.body) == (200, b"")
    assert reply.headers["Content-Type"].startswith("text/event-stream")

    async def all_closed() -> bool:
        return (await metrics(live))["aggregator_catalog_streams_open"] == 0

    await eventually(all_closed)


async def test_a_stream_is_timed_to_its_beginning(live: Api) -> None:
    count, total = (
        f'aggregator_catalog_http_request_seconds_{part}{{method="GET",route="/api/v1/stream",status="200"}}'
        for part in ("count", "sum")
    )
    async with streaming(live):  # which has the log read
        before = await metrics(live)
        began = time.monotonic()
        async with streaming(live):
            opened_after = time.monotonic() - began
            await asyncio.sleep(1)  # what is not to be counted

        async def counted() -> bool:
            return (await metrics(live)).get(count, 0) > before.get(count, 0)

        await eventually(counted)
        assert (await metrics(live))[total] - before.get(total, 0) <= opened_after


async def test_without_a_broker_streams_are_503_and_all_else_goes_on(catalog_dsn: str) -> None:
    async with serving(settings(catalog_dsn, rabbitmq_url="amqp://127.0.0.1:9/")) as api:
        for query in ("", "?from=first", "?last_event_id=3"):
            refused = await api("GET", f"/stream{query}")
            refused.problem(503)
            assert int(refused.headers["Retry-After"]) >= 1
        assert (await api("GET", "/products")).status == 200
        async with api.session.get(f"{api.url}/readyz") as response:
            assert response.status == 200


async def test_a_broker_without_the_log_is_503(catalog_dsn: str, rabbitmq_url: str) -> None:
    async with serving(settings(catalog_dsn, rabbitmq_url=rabbitmq_url)) as api:
        (await api("GET", "/stream")).problem(503)


async def test_streams_end_with_the_broker_and_go_on_with_it(catalog_dsn: str, private_broker: RabbitNode) -> None:
    url = private_broker.url()
    publisher = EventPublisher(url)
    published = [created() for _ in range(4)]
    await publisher.publish(published[:2])
    async with serving(settings(catalog_dsn, rabbitmq_url=url)) as api:
        async with streaming(api, "?from=first") as stream:
            await stream.take(2)
            await asyncio.to_thread(private_broker.stop)
            await stream.end()
        (await api("GET", "/stream")).problem(503)
        assert (await metrics(api))['aggregator_catalog_streams_ended_total{reason="broker"}'] >= 1
        private_broker.start()
        await asyncio.to_thread(private_broker.wait_until_ready)

        async def is_published() -> bool:
            with suppress(PublishError):  # the log takes a moment longer than the broker
                await publisher.publish(published[2:])
                return True
            return False

        await eventually(is_published, 60)
        async with streaming(api, Last_Event_ID=stream.last_id) as resumed:
            await resumed.until(lambda: len(resumed.events) >= 2)
        # A publish that was given up may have arrived, too.
        seen = list(dict.fromkeys(parse_event(event.data).id for event in resumed.events))
        assert seen == [event.id for event in published[2:]]
    await publisher.stop()


async def test_a_token_that_is_revoked_ends_its_streams(
    catalog_dsn: str, rabbitmq_url: str, publisher: EventPublisher, database: Database
) -> None:
    manage = ManageTokens(database)
    reader, other = [await manage.create("reader", [TokenScope.READ], None) for _ in range(2)]
    required = settings(catalog_dsn, rabbitmq_url=rabbitmq_url, api_auth="required", access_cache_seconds=0.2, **QUICK)
    async with serving(required) as api:
        (await api("GET", "/stream")).problem(401)
        async with (
            streaming(api, Authorization=f"Bearer {reader.text}") as stream,
            streaming(api, Authorization=f"Bearer {other.text}") as kept,
        ):
            await publisher.publish([created()])
            await stream.take(1)
            await manage.revoke(reader.token.id)
            await stream.end()
            await publisher.publish([created()])
            await kept.take(2)
        assert len(stream.events) == 1
        assert (await metrics(api))['aggregator_catalog_streams_ended_total{reason="access"}'] >= 1
