"""How often someone may ask: a limit for each key, told to clients in the RateLimit fields.

The fields are those of draft-ietf-httpapi-ratelimit-headers-10. Counted in this process alone, so N copies of it allow
N times as much.
"""

import math
import time
from collections import OrderedDict
from collections.abc import Callable
from ipaddress import IPv6Address, ip_address
from typing import Final, NamedTuple

from starlette.types import ASGIApp, Receive, Scope, Send

from http_api.middleware import is_for_api
from http_api.problems import problem_response
from http_api.security_headers import with_headers

WINDOW_SECONDS: Final = 60
KEYS_MAX: Final = 10_000
"""Keys that are remembered; about 200 bytes each."""
_ROUNDING_SECONDS: Final = 1e-6
"""What sums of fractions may be off by; taken at its word, it would cost the last request of a quota."""
_IPV6_NETWORK_BITS: Final = 64


class Allowance(NamedTuple):
    """What is left to a key: `remaining` requests at once, all of the quota after `reset` seconds.

    `retry_after` is 0 for a request that was granted, else the seconds until one would be.
    """

    remaining: int
    reset: int
    retry_after: int


class RateLimit:
    """Grants each key `per_minute` requests, at once or spread: what is used comes back evenly over a minute.

    This is the generic cell rate algorithm (ITU-T I.371): one number for each key, the time at which it has all of its
    quota again, and no window whose end lets twice the quota through at once. The least recently seen of more than
    10,000 keys are forgotten, so nobody fills the memory by asking under many.

    Args:
        name: the policy's, in the RateLimit fields.
        per_minute: at least 1.
        clock: seconds, growing.
    """

    def __init__(self, name: str, per_minute: int, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._name = name
        self._cost = WINDOW_SECONDS / per_minute
        self._clock = clock
        self._full_at: OrderedDict[str, float] = OrderedDict()
        self._policy = (b"ratelimit-policy", f'"{name}";q={per_minute};w={WINDOW_SECONDS}'.encode())

    def take(self, key: str) -> Allowance:
        """Count a request of `key`, if there is room for it."""
        now = self._clock()
        full_at = max(self._full_at.get(key, now), now)
        wait = full_at + self._cost - WINDOW_SECONDS - now
        granted = wait <= _ROUNDING_SECONDS
        if granted:
            full_at += self._cost
            self._full_at[key] = full_at
            self._full_at.move_to_end(key)
            if len(self._full_at) > KEYS_MAX:
                self._full_at.popitem(last=False)
        left = WINDOW_SECONDS - (full_at - now)
        return Allowance(
            remaining=max(0, math.floor((left + _ROUNDING_SECONDS) / self._cost)),
            reset=math.ceil(full_at - now - _ROUNDING_SECONDS),
            retry_after=0 if granted else max(1, math.ceil(wait)),
        )

    def is_spent(self, key: str) -> bool:
        """Whether `take` would refuse `key` now."""
        now = self._clock()
        return self._full_at.get(key, now) + self._cost - WINDOW_SECONDS - now > _ROUNDING_SECONDS

    def around(self, app: ASGIApp, key: str) -> ASGIApp:
        """What answers one request of `key`: `app`, or 429; either way with the RateLimit fields."""
        allowance = self.take(key)
        if allowance.retry_after:
            app = problem_response(
                429,
                f"Too many requests; the next one may come in {allowance.retry_after} s.",
                headers={"Retry-After": str(allowance.retry_after)},
            )
        left = (b"ratelimit", f'"{self._name}";r={allowance.remaining};t={allowance.reset}'.encode())

        async def answer(scope: Scope, receive: Receive, send: Send) -> None:
            await app(scope, receive, with_headers(send, (self._policy, left)))

        return answer


class AddressLimit:
    """Limits the requests to an open API by the address that they come from."""

    def __init__(self, app: ASGIApp, *, limit: RateLimit) -> None:
        self._app = app
        self._limit = limit

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        app = self._limit.around(self._app, address(scope)) if is_for_api(scope) else self._app
        await app(scope, receive, send)


def address(scope: Scope) -> str:
    """The client's address; of IPv6 the network, as every customer has 2^64 addresses in one."""
    host: str = scope["client"][0] if scope["client"] else ""
    if ":" not in host:
        return host
    try:
        parsed = ip_address(host)
    except ValueError:
        return host
    if not isinstance(parsed, IPv6Address):
        return host
    return str(parsed.ipv4_mapped or IPv6Address(int(parsed) >> _IPV6_NETWORK_BITS << _IPV6_NETWORK_BITS))
