"""The admin API over HTTP: truth and set offers, the clock, the ledger, registrations, and clear refusals."""

# ruff: noqa: S310 - every URL is the simulator's

import json
import uuid
from collections.abc import Iterator
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest

from offers_simulator.launch import AdminError, LaunchedSimulator, launched


@pytest.fixture(scope="module")
def shared() -> Iterator[LaunchedSimulator]:
    with launched(simulator_tick_seconds=60) as simulator:
        yield simulator


@pytest.fixture
def simulator(shared: LaunchedSimulator) -> LaunchedSimulator:
    shared.admin("POST", "/reset")
    return shared


def call(simulator: LaunchedSimulator, method: str, path: str, token: str = "", body: Any = None) -> tuple[int, bytes]:
    content = None if body is None else json.dumps(body).encode()
    headers = {"Content-Type": "application/json"} | ({"Bearer": token} if token else {})
    try:
        with urlopen(Request(simulator.base_url + path, content, headers, method=method), timeout=30) as answer:
            return answer.status, answer.read()
    except HTTPError as refusal:
        with refusal:
            return refusal.code, refusal.read()


def new_token(simulator: LaunchedSimulator) -> str:
    return str(json.loads(call(simulator, "POST", "/auth")[1])["access_token"])


def register(simulator: LaunchedSimulator, token: str, product: str = "") -> str:
    product = product or str(uuid.uuid4())
    body = {"id": product, "name": "n", "description": "d"}
    assert call(simulator, "POST", "/products/register", token, body)[0] == 201
    return product


def offers(simulator: LaunchedSimulator, token: str, product: str) -> bytes:
    status, body = call(simulator, "GET", f"/products/{product}/offers", token)
    assert status == 200
    return body


def test_set_offers_are_served_byte_for_byte_until_they_are_cleared(simulator: LaunchedSimulator) -> None:
    token = new_token(simulator)
    product = register(simulator, token)
    simulator.admin("PATCH", "/clock", {"frozen": True})
    walk = offers(simulator, token, product)
    exact = b'[ {"id": "a", "price": 1e400, "items_in_stock": 5.0, "id": "b"} ]\n'
    simulator.admin("PUT", f"/products/{product.upper()}/offers", exact)
    assert offers(simulator, token, product) == exact
    simulator.admin("PUT", f"/products/{product}/offers/raw", b"\xff not json")
    assert offers(simulator, token, product) == b"\xff not json"
    truth = simulator.admin("GET", f"/products/{product}/offers")
    assert (truth["source"], truth["offers"], truth["base64"]) == ("set", None, "/yBub3QganNvbg==")
    simulator.admin("DELETE", f"/products/{product}/offers")
    assert offers(simulator, token, product) == walk
    assert simulator.admin("GET", f"/products/{product}/offers")["offers"] == json.loads(walk)


def test_offers_of_many_products_are_set_and_read_at_once(simulator: LaunchedSimulator) -> None:
    token = new_token(simulator)
    products = [register(simulator, token) for _ in range(3)]
    simulator.admin("PUT", "/offers", {products[0]: [], products[1]: [{"id": 1, "price": 2, "items_in_stock": 3}]})
    simulator.admin("PATCH", "/clock", {"frozen": True})
    truth = simulator.admin("GET", "/offers")
    assert set(products) <= set(truth["offers"])
    assert truth["tick"] == simulator.admin("GET", "/clock")["tick"]
    for product in products:
        assert truth["offers"][product] == json.loads(offers(simulator, token, product))
    assert simulator.admin("DELETE", "/offers") == {"released": 2}


def test_a_tick_of_the_clock_moves_prices_and_nothing_else_does(simulator: LaunchedSimulator) -> None:
    token = new_token(simulator)
    # Of some hundred products one is closed at this tick and at the next, so neither is left to chance.
    product = register(simulator, token, str(uuid.UUID(int=2)))
    start = simulator.admin("PATCH", "/clock", {"frozen": True, "tick": 1000})
    before = offers(simulator, token, product)
    assert offers(simulator, token, product) == before
    moved = simulator.admin("PATCH", "/clock", {"advance_ticks": 1})
    assert (moved["tick"], moved["frozen"], moved["next_tick_at"]) == (start["tick"] + 1, True, None)
    assert offers(simulator, token, product) != before
    assert simulator.admin("PATCH", "/clock", {"advance_seconds": -60})["tick"] == start["tick"]
    assert offers(simulator, token, product) == before
    assert simulator.admin("PATCH", "/clock", {"tick": 7})["tick"] == 7
    assert not simulator.admin("PATCH", "/clock", {"frozen": False})["frozen"]


def test_the_ledger_tells_every_call_with_its_token_and_product(simulator: LaunchedSimulator) -> None:
    token = new_token(simulator)
    product = register(simulator, token)
    offers(simulator, token, product)
    call(simulator, "GET", f"/products/{product}/offers", "other")
    call(simulator, "GET", "/nowhere")
    book = simulator.admin("GET", "/ledger")
    assert [(entry["endpoint"], entry["status"], entry["token"], entry["product"]) for entry in book["calls"]] == [
        ("auth", 201, None, None),
        ("register", 201, token, product),
        ("offers", 200, token, product),
        ("offers", 401, "other", product),
        ("other", 404, None, None),
    ]
    times = [entry["at"] for entry in book["calls"]]
    assert times == sorted(times)
    assert [entry["index"] for entry in book["calls"]] == list(range(book["first"], book["next"]))

    polls = simulator.admin("GET", f"/ledger?endpoint=offers&product={product.upper()}&token={token}&limit=5")
    assert [entry["status"] for entry in polls["calls"]] == [200]
    assert simulator.admin("GET", f"/ledger?since={book['next']}")["calls"] == []
    with urlopen(f"{simulator.origin}/admin/ledger?format=jsonl&status=201", timeout=30) as answer:
        assert answer.headers["Ledger-Next"] == str(book["next"])
        assert [json.loads(line)["endpoint"] for line in answer] == ["auth", "register"]
    assert simulator.admin("DELETE", "/ledger") == {"next": book["next"]}
    assert simulator.admin("GET", "/ledger")["calls"] == []


def test_a_small_ledger_says_what_it_has_cut() -> None:
    with launched(simulator_ledger_calls=3) as simulator:
        for _ in range(5):
            call(simulator, "POST", "/auth")
        book = simulator.admin("GET", "/ledger")
        assert (book["first"], book["next"], book["cut"], len(book["calls"])) == (2, 5, 2, 3)


def test_registrations_and_tokens_are_listed_and_taken_back(simulator: LaunchedSimulator) -> None:
    token = new_token(simulator)
    product = register(simulator, token)
    listed = simulator.admin("GET", "/products")
    assert {"id": product, "token": token, "name": "n"}.items() <= listed["items"][-1].items()
    simulator.admin("DELETE", f"/products/{product}")
    assert call(simulator, "GET", f"/products/{product}/offers", token)[0] == 404
    assert simulator.admin("GET", "/tokens")["items"][-1]["token"] == token
    simulator.admin("DELETE", f"/tokens/{token}")
    assert call(simulator, "GET", f"/products/{product}/offers", token)[0] == 401


def test_reset_ends_all_misbehaviour(simulator: LaunchedSimulator) -> None:
    token = new_token(simulator)
    product = register(simulator, token)
    simulator.admin("POST", "/faults", {"kind": "status", "endpoint": "*", "status": 500})
    simulator.admin("PUT", "/offers", {product: None})
    simulator.admin("PATCH", "/clock", {"frozen": True})
    state = simulator.admin("POST", "/reset")
    assert (state["faults"], state["products_with_set_offers"], state["clock"]["frozen"]) == (0, 0, False)
    assert json.loads(offers(simulator, token, product)) != b"null"
    assert state["ledger"]["next"] == state["ledger"]["first"]


def test_faults_are_listed_with_what_is_left_of_them(simulator: LaunchedSimulator) -> None:
    added = simulator.admin("POST", "/faults", {"kind": "status", "endpoint": "auth", "status": 500, "times": 2})
    call(simulator, "POST", "/auth")
    (listed,) = simulator.admin("GET", "/faults")["items"]
    assert (listed["id"], listed["remaining"], listed["hits"]) == (added["id"], 1, 1)
    assert listed["fault"]["kind"] == "status"
    simulator.admin("DELETE", f"/faults/{added['id']}")
    assert simulator.admin("GET", "/faults") == {"items": []}


def test_the_front_page_lists_every_path(simulator: LaunchedSimulator) -> None:
    with urlopen(f"{simulator.origin}/", timeout=30) as answer:
        page = json.load(answer)
    assert page["generation"] == 1
    assert {"GET /admin/ledger", "POST /admin/faults", "PATCH /admin/clock", "GET /readyz"} <= set(page["paths"])
    for path in ("/healthz", "/readyz"):
        with urlopen(simulator.origin + path, timeout=30) as answer:
            assert answer.status == 200


@pytest.mark.parametrize(
    ("admin_call", "content", "status", "reason"),
    [
        ("GET /nowhere", None, 404, "/admin/nowhere"),
        ("POST /ledger", None, 405, "GET, DELETE"),
        ("GET /ledger?endpont=auth", None, 400, "endpont"),
        ("GET /ledger?since=-1", None, 400, "since"),
        ("GET /ledger?format=xml", None, 400, "xml"),
        ("PATCH /clock", {"ticks": 1}, 400, "ticks"),
        ("PATCH /clock", {"tick": 1, "advance_ticks": 1}, 400, "one of"),
        ("PATCH /clock", {"advance_seconds": 90}, 400, "multiple of 60"),
        ("PATCH /clock", {"advance_ticks": -(2**50)}, 400, "before the first"),
        ("PATCH /clock", b"frozen", 400, "malformed"),
        ("POST /faults", {"kind": "statuss", "endpoint": "offers"}, 400, "statuss"),
        ("DELETE /faults/77", None, 404, "77"),
        ("PUT /products/shoe/offers", [], 400, "shoe"),
        (f"PUT /products/{uuid.UUID(int=1)}/offers", b"[NaN]", 400, "malformed"),
        (f"PUT /products/{uuid.UUID(int=1)}/offers", b"", 400, "body"),
        (f"DELETE /products/{uuid.UUID(int=1)}/offers", None, 404, "no offers were set"),
        (f"DELETE /products/{uuid.UUID(int=1)}", None, 404, "not registered"),
        ("DELETE /tokens/unheard-of", None, 404, "no such token"),
        ("PUT /offers", {"shoe": []}, 400, "shoe"),
        ("GET /offers?tick=1", None, 400, "no parameters"),
    ],
)
def test_a_wrong_admin_call_is_told_what_is_wrong(
    simulator: LaunchedSimulator, admin_call: str, content: Any, status: int, reason: str
) -> None:
    method, path = admin_call.split(" ")
    with pytest.raises(AdminError, match=reason) as refused:
        simulator.admin(method, path, content)
    assert refused.value.status == status
