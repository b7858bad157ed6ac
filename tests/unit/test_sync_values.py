"""Clocks, tokens, delays and messages as plain values."""

import base64
import json
from collections import Counter
from datetime import UTC, datetime
from uuid import uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aggregator_contracts import OffersUpdated, parse_event
from offers_sync.domain.access_token import AccessToken, expiry_claim, is_token, masked
from offers_sync.domain.answers import Granted
from offers_sync.domain.backoff import retry_delay
from offers_sync.domain.database_clock import DatabaseClock
from offers_sync.domain.offers import parse_offer_list
from offers_sync.domain.polling import ChangedList, HeldBucket
from offers_sync.use_cases.offers_updated import MAX_OFFERS, in_messages, offers_updated


def jwt(claims: object) -> str:
    payload = base64.urlsafe_b64encode(json.dumps(claims).encode()).decode().rstrip("=")
    return f"eyJhbGciOiJIUzI1NiJ9.{payload}.c2lnbmF0dXJl"


def test_the_expiry_is_read_from_a_jwt() -> None:
    assert expiry_claim(jwt({"expires": 1700000000.5})) == 1700000000.5


@pytest.mark.parametrize(
    "token",
    ["opaque", "a.b.c", "a..c", jwt({}), jwt([]), jwt({"expires": None}), jwt({"expires": "inf"}), jwt({"exp": 1})],
)
def test_a_token_without_expiry_is_used_until_it_is_rejected(token: str) -> None:
    assert expiry_claim(token) is None


def test_tokens_hide_themselves() -> None:
    secret = "0123456789abcdef"
    assert masked(secret) == "0123… (16 characters)"
    assert secret not in repr(Granted(secret, None))
    assert secret not in repr(AccessToken(secret))


@pytest.mark.parametrize(
    ("value", "sendable"),
    [
        ("a-b.c_1", True),
        ("", False),
        ("a b", False),
        ("a\r\nX: y", False),
        ("ž", False),
        (5, False),
        ("x" * 4097, False),
    ],
)
def test_only_what_fits_a_header_is_a_token(value: object, sendable: bool) -> None:  # noqa: FBT001
    assert is_token(value) is sendable


def test_delays_grow_to_a_minute() -> None:
    assert all(0.25 <= retry_delay(0) <= 0.5 for _ in range(100))
    assert all(30 <= retry_delay(attempts) <= 60 for attempts in (7, 100, 10**9))
    assert all(retry_delay(100, longest_seconds=5) <= 5 for _ in range(100))
    assert retry_delay(0, 30) == 30
    assert retry_delay(0, 10**6) == 300


class TestDatabaseClock:
    def test_it_tells_the_databases_time(self) -> None:
        clock = DatabaseClock(1_700_000_000.0, 10.0, 10.0)
        assert clock.moment(12.5) == datetime(2023, 11, 14, 22, 13, 22, 500_000, tzinfo=UTC)

    @given(
        st.lists(st.tuples(st.floats(0, 5), st.floats(0, 5), st.floats(0, 60)), max_size=20),
    )
    def test_slow_answers_are_no_steps(self, answers: list[tuple[float, float, float]]) -> None:
        offset, now = 1e9, 0.0
        clock = DatabaseClock(now + offset, now, now)
        for before, after, pause in answers:
            asked, spoke, answered = now, now + before, now + before + after
            assert not clock.observe(spoke + offset, asked, answered)
            assert abs(clock.epoch(answered) - (answered + offset)) < 1e-3
            now = answered + pause

    @pytest.mark.parametrize("step", [3600.0, -3600.0, 2.0, -2.0])
    def test_a_step_is_noticed_once_and_followed(self, step: float) -> None:
        clock = DatabaseClock(1e9, 0, 0)
        assert clock.observe(1e9 + 10 + step, 10, 10.1)
        assert not clock.observe(1e9 + 20 + step, 20, 20.1)
        assert abs(clock.epoch(20) - (1e9 + 20 + step)) < 0.2


def changed(offers: int) -> ChangedList:
    bucket = HeldBucket(1, 1, 0.0, 0.0)
    rows = [{"id": number, "price": 1, "items_in_stock": 1} for number in range(offers)]
    return ChangedList(uuid4(), bucket, parse_offer_list(json.dumps(rows).encode()), 1, datetime.now(UTC))


@pytest.mark.parametrize(
    "moment", [datetime(2026, 11, 22, 12, tzinfo=UTC), datetime(2026, 1, 2, 3, 4, 5, 67, tzinfo=UTC)]
)
def test_the_event_is_the_one_that_the_contract_would_write(moment: datetime) -> None:
    rows = [
        {"id": 'ž"\\\u2028', "price": 2**63 - 1, "items_in_stock": 0},
        {"id": 7, "price": 0, "items_in_stock": 2**31 - 1},
    ]
    lists = [parse_offer_list(json.dumps(listed).encode()) for listed in (rows, [])]
    changes = [ChangedList(uuid4(), HeldBucket(1, 1, 0.0, 0.0), found, 3, moment) for found in lists]
    outgoing = offers_updated(changes)
    event = parse_event(outgoing.body)
    assert isinstance(event, OffersUpdated)
    assert (event.id, event.type) == (outgoing.id, outgoing.type)
    assert json.loads(event.to_json()) == json.loads(outgoing.body)
    for change, update in zip(changes, event.data.updates, strict=True):
        assert (update.product_id, update.revision, update.observed_at) == (change.product_id, 3, moment)
        assert [(offer.id, offer.price, offer.items_in_stock) for offer in update.offers] == [
            (offer.id, offer.price, offer.items_in_stock) for offer in change.found.offers
        ]


@given(st.lists(st.sampled_from([0, 1, 30, 700, MAX_OFFERS + 1]), max_size=30), st.integers(0, 250))
def test_messages_are_bounded_in_products_and_offers_and_lose_nothing(sizes: list[int], small: int) -> None:
    changes = [changed(size) for size in sizes] + [changed(1)] * small
    parts = list(in_messages(changes))
    assert [change for part in parts for change in part] == changes
    for part in parts:
        assert 1 <= len(part) <= 100
        assert len(part) == 1 or sum(len(change.found.offers) for change in part) <= MAX_OFFERS
    assert Counter(map(id, changes)) == Counter(id(change) for part in parts for change in part)
