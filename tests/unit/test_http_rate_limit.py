"""Rate limits: how much a key is granted, when it comes back, and what is remembered."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from http_api import RateLimit
from http_api.rate_limit import KEYS_MAX, address


class Clock:
    def __init__(self) -> None:
        self.now = 123_456.789

    def __call__(self) -> float:
        return self.now


@pytest.mark.parametrize("per_minute", [1, 7, 60, 6000])
def test_the_whole_quota_can_be_used_at_once_and_comes_back_evenly(per_minute: int) -> None:
    clock = Clock()
    limit = RateLimit("x", per_minute, clock=clock)
    assert [limit.take("a").remaining for _ in range(per_minute)] == list(range(per_minute - 1, -1, -1))
    assert limit.is_spent("a")
    refused = limit.take("a")
    assert (refused.remaining, refused.reset) == (0, 60)
    assert refused.retry_after == max(1, -(-60 // per_minute))
    clock.now += 60 / per_minute
    assert not limit.is_spent("a")
    assert limit.take("a").retry_after == 0
    assert limit.take("a").retry_after > 0
    clock.now += 3600
    assert limit.take("a").remaining == per_minute - 1


@given(st.integers(1, 20), st.lists(st.floats(0, 30), max_size=60))
def test_over_time_the_rate_is_kept_and_so_is_retry_after(per_minute: int, pauses: list[float]) -> None:
    clock = Clock()
    limit = RateLimit("x", per_minute, clock=clock)
    granted: list[float] = []
    for pause in pauses:
        clock.now += pause
        allowance = limit.take("a")
        if allowance.retry_after == 0:
            granted.append(clock.now)
        else:
            clock.now += allowance.retry_after
            assert not limit.is_spent("a")
    for first, at in enumerate(granted):
        for last, until in enumerate(granted[first:], 1):
            assert last <= per_minute * (1 + (until - at) / 60) + 1e-3


def test_keys_do_not_share_and_the_oldest_of_too_many_is_forgotten() -> None:
    limit = RateLimit("x", 1)
    assert limit.take("first").retry_after == 0
    for number in range(KEYS_MAX - 1):
        assert limit.take(str(number)).retry_after == 0
    assert limit.is_spent("first")
    limit.take("one more")
    assert not limit.is_spent("first")
    assert limit.is_spent("0")


@pytest.mark.parametrize(
    ("client", "key"),
    [
        (None, ""),
        (("192.0.2.1", 1), "192.0.2.1"),
        (("2001:db8:1:2:3:4:5:6", 1), "2001:db8:1:2::"),
        (("::ffff:192.0.2.1", 1), "192.0.2.1"),
        (("fe80::1%eth0", 1), "fe80::"),
        (("not:an:address", 1), "not:an:address"),
    ],
)
def test_ipv6_counts_by_network(client: Any, key: str) -> None:
    assert address({"client": client}) == key
