"""Opaque cursors: what this API made comes back whole, anything else is refused."""

import base64
from datetime import UTC, datetime
from hashlib import blake2b
from typing import Any
from uuid import UUID

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from catalog_api.domain.errors import InvalidCursorError
from catalog_api.domain.pages import Position, Query, Sort, SortField
from catalog_api.domain.search import words
from catalog_api.entrypoints.http import cursors

values: dict[SortField, st.SearchStrategy[Any]] = {
    SortField.CREATED_AT: st.datetimes(timezones=st.just(UTC)),
    SortField.NAME: st.text(st.characters(codec="utf-8", exclude_characters="\x00"), min_size=1, max_size=200),
    SortField.BEST_PRICE: st.none() | st.integers(0, 2**63 - 1),
}


@st.composite
def queries(draw: st.DrawFn) -> Query:
    sort = draw(st.sampled_from(Sort))
    position = Position(draw(values[sort.field]), draw(st.uuids()))
    return Query(sort, tuple(words(draw(st.text(max_size=50)))), position)


@given(queries())
def test_a_cursor_comes_back_whole(query: Query) -> None:
    assert cursors.decode(cursors.encode(query)) == query


@given(queries(), st.data())
def test_a_changed_cursor_is_refused(query: Query, data: st.DataObject) -> None:
    cursor = cursors.encode(query)
    place = data.draw(st.integers(0, len(cursor) - 1))
    character = data.draw(st.characters(codec="ascii").filter(lambda c: c != cursor[place]))
    with pytest.raises(InvalidCursorError):
        cursors.decode(cursor[:place] + character + cursor[place + 1 :])


@given(st.text(max_size=100) | st.binary(max_size=100).map(lambda raw: base64.urlsafe_b64encode(raw).decode()))
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(InvalidCursorError):
        cursors.decode(text)


def forged(content: Any) -> str:
    payload = msgspec.msgpack.encode(content)
    digest = blake2b(payload, digest_size=8, person=b"catalog.v1").digest()
    return base64.urlsafe_b64encode(digest + payload).rstrip(b"=").decode()


ID = UUID("01936d2e-7c1a-7cc0-8000-5a7b1c2d3e4f")


@pytest.mark.parametrize(
    "content",
    [
        None,
        [],
        {},
        "name",
        ["nome", [], "x", ID],
        ["name", [], "x", "no id"],
        ["name", [], "a\x00b", ID],
        ["name", [], None, ID],
        ["name", [], "x", ID, "more"],
        ["name", ["a' | 'b"], "x", ID],
        ["name", ["Upper"], "x", ID],
        ["name", ["b", "a"], "x", ID],
        ["best_price", [], 2**63, ID],
        ["best_price", [], -1, ID],
        ["best_price", [], True, ID],
        ["created_at", [], "2026-01-01", ID],
        ["created_at", [], 5, ID],
        [["name"], [], "x", ID],
    ],
)
def test_a_forged_cursor_reaches_no_statement(content: Any) -> None:
    with pytest.raises(InvalidCursorError):
        cursors.decode(forged(content))


def test_the_forger_of_these_tests_could_make_a_good_one() -> None:
    moment = datetime(2026, 1, 1, tzinfo=UTC)
    query = Query(Sort.CREATED_AT, ("a",), Position(moment, ID))
    assert forged(["created_at", ["a"], moment, ID]) == cursors.encode(query)
