"""Which call meets which fault, what the faults do to a list, and how a wrong fault is refused."""

import json
from typing import Any

import msgspec
import pytest

from offers_simulator.faults.board import FaultBoard, read_fault
from offers_simulator.http.message import Answer, Response, json_response

P1 = "0190aaaa-0000-7000-8000-000000000001"
P2 = "0190aaaa-0000-7000-8000-000000000002"
ROWS = [{"id": 7, "price": 100, "items_in_stock": 1}, {"id": 8, "price": 200, "items_in_stock": 2}]


def board(*faults: dict[str, Any]) -> FaultBoard:
    board = FaultBoard()
    for fault in faults:
        board.add(read_fault(json.dumps(fault).encode()))
    return board


def status(code: int, endpoint: str = "offers", **further: Any) -> dict[str, Any]:
    return {"kind": "status", "status": code, "endpoint": endpoint, **further}


def met(board: FaultBoard, endpoint: str = "offers", product: str | None = P1) -> int | None:
    active = board.take(endpoint, product)
    return active.fault.answer(lambda: pytest.fail("no effect was wanted")).status if active else None


def test_without_faults_no_call_meets_one() -> None:
    assert not FaultBoard()
    assert met(FaultBoard()) is None


def test_a_fault_concerns_its_endpoint_only() -> None:
    faults = board(status(500, "register"))
    assert met(faults, "offers") is None
    assert met(faults, "auth", None) is None
    assert met(faults, "register") == 500


def test_the_star_means_every_endpoint() -> None:
    faults = board(status(500, "*"))
    assert met(faults, "auth", None) == met(faults, "register") == met(faults, "offers") == 500


def test_faults_play_one_after_another_each_for_its_times() -> None:
    faults = board(status(500, times=2), status(429, times=1), status(503, times=1))
    assert [met(faults) for _ in range(6)] == [500, 500, 429, 503, None, None]
    assert not faults


def test_a_fault_without_times_lasts_until_it_is_cleared() -> None:
    faults = board(status(500), status(503))
    assert [met(faults) for _ in range(3)] == [500] * 3
    first, second = faults.active()
    assert (first.hits, second.hits) == (3, 0)
    assert faults.remove(first.number)
    assert not faults.remove(first.number)
    assert met(faults) == 503
    assert faults.clear() == 1
    assert met(faults) is None


def test_a_products_own_fault_comes_before_the_endpoints() -> None:
    faults = board(status(500), status(503, product=P1.upper(), times=1))
    assert met(faults, product=P2) == 500
    assert met(faults, product=P1) == 503
    assert met(faults, product=P1) == 500


@pytest.mark.parametrize(
    ("fault", "complaint"),
    [
        ({"endpoint": "offers"}, "kind"),
        ({"kind": "stauts", "endpoint": "offers"}, "stauts"),
        ({"kind": "status", "status": 500}, "endpoint"),
        (status(500, "orders"), "orders"),
        (status(99), ">= 200"),
        (status(500, times=0), ">= 1"),
        (status(500, tiems=1), "tiems"),
        (status(500, retry_after=-1), "retry_after"),
        (status(500, retry_after="1\r\nX: y"), "retry_after"),
        (status(500, product="shoe"), "product"),
        (status(500, "auth", product=P1), "auth"),
        ({"kind": "delay", "endpoint": "offers"}, "delay_seconds"),
        ({"kind": "price", "endpoint": "register", "price": 1}, "register"),
        ({"kind": "price", "endpoint": "offers"}, "price"),
        ({"kind": "missing_field", "endpoint": "offers", "field": "colour"}, "colour"),
        ({"kind": "body", "endpoint": "offers"}, "base64"),
        ({"kind": "body", "endpoint": "offers", "base64": "?"}, "base64"),
        ([], "object"),
    ],
)
def test_a_wrong_fault_is_refused_by_name(fault: Any, complaint: str) -> None:
    with pytest.raises(msgspec.ValidationError, match=complaint):
        read_fault(json.dumps(fault).encode())


def spoiled(kind: str, rows: Any = ROWS, **parameters: Any) -> Any:
    return json.loads(spoiled_text({"kind": kind, "endpoint": "offers", **parameters}, rows))


def spoiled_text(fault: dict[str, Any] | bytes, rows: Any = ROWS) -> str:
    content = fault if isinstance(fault, bytes) else json.dumps(fault).encode()
    answer: Answer = read_fault(content).answer(lambda: json_response(200, rows))
    assert isinstance(answer, Response)
    return answer.body.decode()


@pytest.mark.parametrize("price", ["-1", "9223372036854775808", "1e400", "10.5", '"12"', "true", "null"])
@pytest.mark.parametrize(("which", "count"), [("first", 1), ("all", 2)])
def test_a_price_is_sent_as_it_was_written(price: str, which: str, count: int) -> None:
    text = spoiled_text(f'{{"kind":"price","endpoint":"offers","price":{price},"rows":"{which}"}}'.encode())
    assert text.count(f'"price":{price},') == count
    assert text.count('"price":') == 2


@pytest.mark.parametrize("field", ["id", "price", "items_in_stock"])
def test_a_field_is_left_out(field: str) -> None:
    first, second = spoiled("missing_field", field=field)
    assert {*first, field} == set(ROWS[0])
    assert second == ROWS[1]


def test_the_other_kinds_that_spoil_a_list() -> None:
    assert '"price":NaN' in spoiled_text({"kind": "nan", "endpoint": "offers"})
    assert spoiled("object") == {"offers": ROWS, "total": 2}
    assert spoiled("empty") == []
    assert [row["id"] for row in spoiled("duplicate_ids")] == [7, 8, 7]
    assert [row["price"] for row in spoiled("duplicate_ids")] == [100, 200, 101]
    assert [row["id"] for row in spoiled("shared_id", offer_id="same")] == ["same", 8]
    assert [row["id"] for row in spoiled("offer_ids", style="strings")] == ["7", "8"]
    assert [row["id"] for row in spoiled("offer_ids", style="numbers")] == [7, 8]
    assert spoiled("offer_ids", style="uuids")[0]["id"] == "00000007-0000-f000-0000-000000000007"
    assert spoiled("offer_ids", style="fresh") != spoiled("offer_ids", style="fresh")
    assert all(row.items() > ROWS[0].items() for row in spoiled("extra_fields")[:1])
    many = spoiled("many_offers")
    assert len({row["id"] for row in many}) == len(many) == 10_000


@pytest.mark.parametrize("rows", [[], {"no": "list"}, [1, 2]])
def test_there_is_always_a_row_to_spoil(rows: Any) -> None:
    assert [row["price"] for row in spoiled("price", rows, price=-1)] == [-1]


def test_a_refusal_is_not_spoiled() -> None:
    refusal = json_response(404, {"code": "NOT FOUND"})
    fault = read_fault(b'{"kind":"price","endpoint":"offers","price":-1}')
    assert fault.answer(lambda: refusal) is refusal


@pytest.mark.parametrize("applied", [True, False])
def test_a_made_up_answer_leaves_the_call_without_effect_unless_told_otherwise(*, applied: bool) -> None:
    effects = []

    def truth() -> Response:
        effects.append("registered")
        return json_response(201, {})

    fault = read_fault(json.dumps(status(503, "register", applied=applied)).encode())
    assert fault.answer(truth).status == 503
    assert effects == ["registered"] * applied
