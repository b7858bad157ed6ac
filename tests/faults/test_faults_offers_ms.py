"""The Offers MS misbehaves: the previous list is kept, other products are unaffected, the cycle ends."""

import os
import socket
import time
from collections.abc import Callable, Iterator
from itertools import dropwhile, pairwise
from typing import Any, NamedTuple

import pytest
from tests.faults.laboratory.laboratory import TIMEOUT_SECONDS, Laboratory
from tests.faults.laboratory.proxy import Link
from tests.faults.laboratory.report import Report

#: Ten minutes are asked for with OUTAGE_SECONDS=600.
OUTAGE_SECONDS = int(os.environ.get("OUTAGE_SECONDS", "60"))
Json = dict[str, Any]
LIST = [{"id": 1, "price": 100, "items_in_stock": 5}, {"id": 2, "price": 200, "items_in_stock": 0}]
NEW = [{"id": 1, "price": 111, "items_in_stock": 5}, {"id": 3, "price": 333, "items_in_stock": 1}]
WITNESSES = 5
READ_EACH_SECONDS = 0.05
AT_ONCE_SECONDS = 0.5
HELD_BACK_SECONDS = 30
"""A quarter of what it would take if calls were stopped, and one in five seconds was another product's probe."""
LEAST_PAUSE_SECONDS = 2.5
"""While calls are stopped there is at most one in five seconds; that before may have come late."""
GATE_UNAVAILABLE = 'aggregator_offers_sync_calls_state{state="unavailable"}'


class Row(NamedTuple):
    """One row of the list of misbehaviours: what the simulator does instead of serving NEW as it is."""

    name: str
    fault: Json


def prices(*values: Any) -> list[Row]:
    return [Row(f"price {value!r}", {"kind": "price", "price": value, "rows": "all"}) for value in values]


#: The list that was there before is kept.
KEPT = [
    Row("403", {"kind": "status", "status": 403}),
    Row("400", {"kind": "status", "status": 400}),
    Row("422", {"kind": "status", "status": 422}),
    Row("429", {"kind": "status", "status": 429}),
    Row("429 with Retry-After", {"kind": "status", "status": 429, "retry_after": 1}),
    Row("500", {"kind": "status", "status": 500}),
    Row("502", {"kind": "status", "status": 502}),
    Row("503", {"kind": "status", "status": 503}),
    Row("401 for one product", {"kind": "status", "status": 401}),
    Row("404", {"kind": "status", "status": 404}),
    Row("reset in mid-body", {"kind": "reset", "at": "body"}),
    Row("reset before the headers", {"kind": "reset", "at": "start"}),
    Row("black hole", {"kind": "black_hole"}),
    Row("one byte a second", {"kind": "drip"}),
    Row("truncated JSON", {"kind": "truncated_json"}),
    Row("NaN", {"kind": "nan", "rows": "all"}),
    Row("deep nesting", {"kind": "deep_nesting"}),
    Row("an object", {"kind": "object"}),
    Row("200 MB", {"kind": "huge_body"}),
    Row("gzip bomb", {"kind": "gzip_bomb"}),
    Row("wrong content type", {"kind": "content_type"}),
    *prices(-1, 2**63, 10.5, "12", True, None),
    Row("price 1e400", {"kind": "body", "text": '[{"id": 1, "price": 1e400, "items_in_stock": 5}]'}),
    *(Row(f"no {field}", {"kind": "missing_field", "field": field, "rows": "all"}) for field in LIST[0]),
]


class Accepted(NamedTuple):
    """One row of what is unusual but right: the fault, and how many offers there are then."""

    name: str
    fault: Json
    offers: int


TAKEN = [
    Accepted("extra fields", {"kind": "extra_fields"}, 2),
    Accepted("duplicate offer ids", {"kind": "duplicate_ids"}, 2),
    Accepted("one id under two products", {"kind": "shared_id", "offer_id": 77}, 2),
    Accepted("ids as numbers", {"kind": "offer_ids", "style": "numbers"}, 2),
    Accepted("ids as strings", {"kind": "offer_ids", "style": "strings"}, 2),
    Accepted("ids as UUIDs", {"kind": "offer_ids", "style": "uuids"}, 2),
    Accepted("10,000 offers", {"kind": "many_offers"}, 10_000),
    Accepted("an empty list", {"kind": "empty"}, 0),
    Accepted("one row of two is bad", {"kind": "price", "price": -1, "rows": "first"}, 1),
]


Rows = tuple[tuple[str, int, int], ...]


def rows_of(offers: list[Json]) -> Rows:
    return tuple((str(offer["id"]), offer["price"], offer["items_in_stock"]) for offer in offers)


class Products:
    """Registered products with known lists."""

    def __init__(self, laboratory: Laboratory, count: int) -> None:
        self._laboratory = laboratory
        items = [{"name": f"product {number}", "description": ""} for number in range(count)]
        results = laboratory.call("POST", "/products/batch", {"items": items})["results"]
        self.ids = [result["product"]["id"] for result in results]
        laboratory.until(self._registered, 30, "registered")
        self.serve(LIST)
        self.wait_for(self.ids, LIST)

    def _registered(self) -> bool:
        return set(self.ids) <= self._laboratory.offers_ms.registered()

    def serve(self, offers: list[Json]) -> None:
        self._laboratory.offers_ms.admin("PUT", "/offers", dict.fromkeys(self.ids, offers))

    def shown(self, product_id: str) -> Rows:
        return rows_of(self._laboratory.call("GET", f"/products/{product_id}/offers")["items"])

    def wait_for(self, ids: list[str], offers: list[Json], seconds: float = 20) -> float:
        wanted = rows_of(offers)

        def all_shown() -> bool:
            return all(self.shown(product_id) == wanted for product_id in ids)

        return self._laboratory.until(all_shown, seconds, "lists in the catalog")

    def delete(self) -> None:
        for product_id in self.ids:
            self._laboratory.call("DELETE", f"/products/{product_id}")


@pytest.fixture
def calm(laboratory: Laboratory) -> Iterator[Laboratory]:
    """A laboratory whose Offers MS behaves before and after."""
    laboratory.offers_ms.behave()
    yield laboratory
    laboratory.offers_ms.behave()
    laboratory.proxies.restore()


@pytest.fixture
def elsewhere() -> Iterator[socket.socket]:
    """Another host, which nobody may be led to: nothing ever accepts, so whoever comes stays in its queue."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.setblocking(False)
        yield listener


def polls(laboratory: Laboratory, product_id: str) -> int:
    return len(laboratory.offers_ms.calls("offers", product_id))


@pytest.mark.fault("MS")
@pytest.mark.timeout(300)
def test_every_misbehaviour_about_one_product_concerns_only_that_product(
    calm: Laboratory, elsewhere: socket.socket, report: Report
) -> None:
    location = f"http://127.0.0.1:{elsewhere.getsockname()[1]}/"
    rows = [*KEPT, *(Row(f"redirect {status}", redirect(status, location)) for status in (301, 302, 307, 308))]
    products = Products(calm, len(rows) + len(TAKEN) + WITNESSES)
    kept = dict(zip(products.ids, rows, strict=False))
    taken = dict(zip(products.ids[len(rows) :], TAKEN, strict=False))
    witnesses = products.ids[-WITNESSES:]
    for product_id, row in [*kept.items(), *taken.items()]:
        calm.offers_ms.fault(product=product_id, **row.fault)
    before = {product_id: polls(calm, product_id) for product_id in products.ids}
    products.serve(NEW)
    report.note(f"{len(rows)} rows kept, {len(TAKEN)} taken")
    # The slowest row is given up after its timeout, and holds the others back no longer than that.
    seconds = products.wait_for(witnesses, NEW, HELD_BACK_SECONDS)
    report.note(f"other products after {seconds:.1f} s")

    def each_polled_again() -> bool:
        # A product that is answered 404 is registered again first; one that is throttled waits.
        return all(polls(calm, product_id) >= before[product_id] + 2 for product_id in [*kept, *taken])

    calm.until(each_polled_again, 60, "each bad answer was given twice")
    for product_id, row in kept.items():
        assert products.shown(product_id) == rows_of(LIST), row.name
    for product_id, accepted in taken.items():

        def is_shown(product_id: str = product_id, accepted: Accepted = accepted) -> bool:
            return bool(calm.call("GET", f"/products/{product_id}")["offers_count"] == accepted.offers)

        calm.until(is_shown, 30, f"{accepted.name}, in the catalog")
    with pytest.raises(BlockingIOError):
        elsewhere.accept()
    calm.offers_ms.behave()
    report.recovered(products.wait_for(products.ids, NEW, 60))
    products.delete()


def redirect(status: int, location: str) -> Json:
    return {"kind": "redirect", "status": status, "location": location}


@pytest.mark.fault("MS")
def test_a_token_that_is_rejected_is_not_replaced(calm: Laboratory, report: Report) -> None:
    products = Products(calm, WITNESSES)
    asked, offered = len(calm.offers_ms.calls("auth")), len(calm.offers_ms.calls("offers"))
    calm.offers_ms.fault("status", "*", status=401)
    products.serve(NEW)
    calm.until(lambda: calm.readiness("offers-sync-work", "token_rejected"), 20, "readiness names the token")
    stopped = len(calm.offers_ms.calls("offers"))

    def pauses() -> list[float]:
        """Before each call since then; those that were under way at the time come first, with hardly any."""
        moments = [call["at"] for call in calm.offers_ms.calls("offers")[stopped - 1 :]]
        found = [later - earlier for earlier, later in pairwise(moments)]
        return list(dropwhile(lambda pause: pause < LEAST_PAUSE_SECONDS, found))

    calm.until(lambda: len(pauses()) >= 2, 30, "two probes")
    report.note(f"{stopped - offered} polls before calls stopped, then probes after {pauses()} s")
    assert min(pauses()) > LEAST_PAUSE_SECONDS
    assert len(calm.offers_ms.calls("auth")) == asked
    assert all(products.shown(product_id) == rows_of(LIST) for product_id in products.ids)
    calm.offers_ms.behave()
    report.recovered(products.wait_for(products.ids, NEW, 30))
    assert len(calm.offers_ms.calls("auth")) == asked
    products.delete()


@pytest.mark.fault("MS")
@pytest.mark.parametrize("way", ["refuse", "reset_each", "black_hole", "slow", "cut"])
def test_the_way_to_the_offers_ms_is_bad(calm: Laboratory, report: Report, way: str) -> None:
    products = Products(calm, WITNESSES)
    link = calm.proxies.offers_ms
    ways: dict[str, Callable[[], None]] = {
        "refuse": link.refuse,
        "reset_each": link.reset,
        "black_hole": link.black_hole,
        "slow": lambda: link.delay(0.5 * TIMEOUT_SECONDS / 2),
        "cut": lambda: link.cut_after(500),
    }
    ways[way]()
    products.serve(NEW)  # not before: a poll between the two would bring it
    if way in ("refuse", "black_hole", "cut"):
        calm.until(lambda: calm.metric("offers-sync-work", GATE_UNAVAILABLE) == 1, 30, "calls stop")
        # Some answers may have come through before the cut; none of them in part.
        seen = {tuple(products.shown(product_id)) for product_id in products.ids}
        assert seen <= ({rows_of(LIST), rows_of(NEW)} if way == "cut" else {rows_of(LIST)})
        link.restore()
    report.recovered(products.wait_for(products.ids, NEW, 30))
    products.delete()


def probes_since(link: Link, began: float) -> int:
    """How often the server was asked: when a connection dies, the client asks once more at once (RFC 9112, 9.2)."""
    attempts = [at for at in link.attempts if at >= began]
    return len(attempts[:1]) + sum(later - earlier > AT_ONCE_SECONDS for earlier, later in pairwise(attempts))


@pytest.mark.fault("F9")
@pytest.mark.thorough
@pytest.mark.timeout(OUTAGE_SECONDS + 120)
def test_the_offers_ms_is_down(calm: Laboratory, report: Report) -> None:
    products = Products(calm, WITNESSES)
    link = calm.proxies.offers_ms
    link.refuse()
    calm.until(lambda: calm.metric("offers-sync-work", GATE_UNAVAILABLE) == 1, 30, "calls stop")
    products.serve(NEW)
    began, slowest, reads = time.monotonic(), 0.0, 0
    while time.monotonic() - began < OUTAGE_SECONDS:
        asked_at = time.monotonic()
        assert products.shown(products.ids[reads % WITNESSES]) == rows_of(LIST)
        slowest, reads = max(slowest, time.monotonic() - asked_at), reads + 1
        time.sleep(READ_EACH_SECONDS)
    probes = probes_since(link, began)
    report.note(
        f"down {OUTAGE_SECONDS} s: {probes} probes of one worker; {reads} reads, slowest {1000 * slowest:.0f} ms"
    )
    assert 0 < probes <= OUTAGE_SECONDS / 5 + 1
    link.restore()
    report.recovered(products.wait_for(products.ids, NEW, 15))
    products.delete()
