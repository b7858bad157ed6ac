"""Every row that the Offers microservice sends is checked; a list that is no list says nothing."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from offers_sync.domain.offers import BadListError, Offer, parse_offer_list

GOOD = {"id": 7, "price": 100, "items_in_stock": 5}


def parsed(rows: Any) -> list[tuple[str, int, int]]:
    body = rows if isinstance(rows, bytes) else json.dumps(rows).encode()
    return [(offer.id, offer.price, offer.items_in_stock) for offer in parse_offer_list(body).offers]


def test_a_valid_list_is_sorted_by_id_as_text() -> None:
    rows = [{**GOOD, "id": offer_id} for offer_id in ("b", 10, 9, "a")]
    assert [offer_id for offer_id, _, _ in parsed(rows)] == ["10", "9", "a", "b"]


def test_only_an_empty_list_is_empty() -> None:
    assert parsed([]) == []
    assert parse_offer_list(b" [ ] ").offers == []


@pytest.mark.parametrize(
    "row",
    [
        {"price": 0, "items_in_stock": 0},
        {"price": 2**63 - 1, "items_in_stock": 2**31 - 1},
        {"id": "x" * 200},
        {"id": -3},
        {"id": 10**30},
        {"currency": "CZK", "seller": {"id": 7, "tags": [1, None]}},
    ],
)
def test_a_row_at_the_limits_or_with_more_fields_is_good(row: dict[str, Any]) -> None:
    whole = {**GOOD, **row}
    assert parsed([whole]) == [(str(whole["id"]), whole["price"], whole["items_in_stock"])]


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        ('{"id": true, "price": 1, "items_in_stock": 1}', "id"),
        ('{"id": null, "price": 1, "items_in_stock": 1}', "id"),
        ('{"id": 1.0, "price": 1, "items_in_stock": 1}', "id"),
        ('{"id": "", "price": 1, "items_in_stock": 1}', "id"),
        ('{"id": "nul\\u0000", "price": 1, "items_in_stock": 1}', "id"),
        (f'{{"id": "{"x" * 201}", "price": 1, "items_in_stock": 1}}', "id"),
        (f'{{"id": 1{"0" * 200}, "price": 1, "items_in_stock": 1}}', "id"),
        ('{"price": 1, "items_in_stock": 1}', "id"),
        ('{"id": 1, "price": -1, "items_in_stock": 1}', "price"),
        ('{"id": 1, "price": 9223372036854775808, "items_in_stock": 1}', "price"),
        ('{"id": 1, "price": 1e400, "items_in_stock": 1}', "price"),
        ('{"id": 1, "price": 10.5, "items_in_stock": 1}', "price"),
        ('{"id": 1, "price": 10.0, "items_in_stock": 1}', "price"),
        ('{"id": 1, "price": "12", "items_in_stock": 1}', "price"),
        ('{"id": 1, "price": true, "items_in_stock": 1}', "price"),
        ('{"id": 1, "price": null, "items_in_stock": 1}', "price"),
        ('{"id": 1, "items_in_stock": 1}', "price"),
        ('{"id": 1, "price": 1, "items_in_stock": -1}', "items_in_stock"),
        ('{"id": 1, "price": 1, "items_in_stock": 2147483648}', "items_in_stock"),
        ('{"id": 1, "price": 1, "items_in_stock": false}', "items_in_stock"),
        ('{"id": 1, "price": 1}', "items_in_stock"),
        ("17", "shape"),
        ("[]", "shape"),
        ("null", "shape"),
    ],
)
def test_a_bad_row_is_dropped_and_counted_and_the_others_stay(bad: str, reason: str) -> None:
    found = parse_offer_list(f"[{bad}, {json.dumps(GOOD)}]".encode())
    assert found.offers == [Offer("7", 100, 5)]
    assert found.dropped == {reason: 1}
    with pytest.raises(BadListError, match="no valid row"):
        parse_offer_list(f"[{bad}]".encode())


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"null",
        b"{}",
        b'{"offers": []}',
        b'"[]"',
        b"[",
        b"[]x",
        b"\xef\xbb\xbf[]",
        b'[{"id": 7, "price": 100, "items_in',
        b'[{"id": 7, "price": NaN, "items_in_stock": 5}]',
        b'[{"id": "\\ud800", "price": 1, "items_in_stock": 5}]',
        b"[" * 100_000 + b"]" * 100_000,
        b'[{"id": 7, "price": 1, "items_in_stock": 5, "x": ' + b"[" * 100_000 + b"]" * 100_000 + b"}]",
        "[]".encode("utf-16"),
    ],
)
def test_what_is_no_list_is_a_bad_list(body: bytes) -> None:
    with pytest.raises(BadListError):
        parse_offer_list(body)


def test_duplicates_that_agree_are_one_offer() -> None:
    found = parse_offer_list(json.dumps([GOOD, {**GOOD, "id": "7"}]).encode())
    assert found.offers == [Offer("7", 100, 5)]
    assert not found.dropped


@given(st.permutations([(100, 5), (90, 7), (90, 3), (95, 1)]))
def test_of_duplicates_that_disagree_the_cheapest_stands_in_any_order(rows: list[tuple[int, int]]) -> None:
    body = json.dumps([{"id": 7, "price": price, "items_in_stock": stock} for price, stock in rows]).encode()
    found = parse_offer_list(body)
    assert found.offers == [Offer("7", 90, 3)]
    assert found.dropped == {"conflicting": 3}


@given(st.permutations([GOOD, {**GOOD, "id": "a"}, {"items_in_stock": 1, "price": 2, "id": 3, "more": []}]))
def test_the_digest_depends_on_the_offers_alone(rows: list[dict[str, Any]]) -> None:
    reference = parse_offer_list(
        b'[{"id":"3","price":2,"items_in_stock":1},'
        b'{"id":7,"price":100,"items_in_stock":5},{"id":"a","price":100,"items_in_stock":5}]'
    )
    assert parse_offer_list(json.dumps(rows, indent=2).encode()).digest == reference.digest


@pytest.mark.parametrize("change", [{"id": 8}, {"price": 101}, {"items_in_stock": 6}])
def test_any_change_changes_the_digest(change: dict[str, int]) -> None:
    one = parse_offer_list(json.dumps([GOOD]).encode()).digest
    assert parse_offer_list(json.dumps([{**GOOD, **change}]).encode()).digest != one


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(["id", "price", "items_in_stock"]), inner)
    ),
    max_leaves=12,
)


@given(json_values)
def test_whatever_json_comes_only_valid_offers_go_on(value: Any) -> None:
    try:
        found = parse_offer_list(json.dumps(value).encode())
    except BadListError:
        return
    assert isinstance(value, list)
    assert bool(found.offers) == bool(value)
    for offer in found.offers:
        assert 1 <= len(offer.id) <= 200
        assert 0 <= offer.price < 2**63
        assert 0 <= offer.items_in_stock < 2**31
