"""The ledger of calls: what was asked, when, with which token, and what it got. Bounded; the oldest calls are cut."""

from array import array
from collections.abc import Iterator
from typing import Annotated, Final, Literal, NamedTuple

import msgspec
from msgspec import Meta

_BATCH: Final = 1000


class Call(msgspec.Struct, frozen=True, gc=False):
    """One call to the Offers MS; admin and health calls are not in the ledger."""

    index: int
    """Counts calls from 0 since the process began; clearing the ledger does not start it anew."""
    at: float
    """Unix time at which the request had arrived, in seconds, to the microsecond."""
    method: str
    endpoint: str
    """`auth`, `register`, `offers`, or `other` for a path that is not documented."""
    product: str | None
    """The product id asked about, in lower case."""
    token: str | None
    """The value of the header `Bearer`: an access token, or a refresh token for `auth`."""
    status: int | None
    """None where the client gets no status: a black hole, or a reset before the answer."""
    fault: str | None
    """The kind of misbehaviour that the call met."""


class Outcome(NamedTuple):
    """What many calls have in common, so that the ledger keeps it once; see `Call`."""

    method: str
    endpoint: str
    status: int | None
    fault: str | None


class Query(msgspec.Struct, frozen=True):
    """Which calls to list; None does not restrict."""

    since: Annotated[int, Meta(ge=0)] = 0
    """The first index of interest."""
    limit: Annotated[int, Meta(ge=0)] | None = None
    endpoint: Literal["auth", "register", "offers", "other"] | None = None
    product: str | None = None
    token: str | None = None
    status: Annotated[int, Meta(ge=200, le=599)] | None = None


class Ledger:
    """Columns used as a ring of `capacity` calls: 28 bytes each, as product ids and tokens are shared strings."""

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._outcomes: dict[Outcome, int] = {}
        self._outcome_counts: list[int] = []
        self._next = 0
        self.clear()

    def clear(self) -> None:
        """Forget all calls; indexes go on."""
        self._begin = self._next
        self._at = array("d")
        self._outcome = array("I")
        self._product: list[str | None] = []
        self._token: list[str | None] = []

    def record(self, at: float, outcome: Outcome, product: str | None, token: str | None) -> None:
        """Add a call."""
        number = self._outcomes.get(outcome)
        if number is None:
            number = self._outcomes[outcome] = len(self._outcomes)
            self._outcome_counts.append(0)
        self._outcome_counts[number] += 1
        if len(self._at) < self._capacity:
            self._at.append(at)
            self._outcome.append(number)
            self._product.append(product)
            self._token.append(token)
        else:
            slot = self._slot(self._next)
            self._at[slot] = at
            self._outcome[slot] = number
            self._product[slot] = product
            self._token[slot] = token
        self._next += 1

    @property
    def next_index(self) -> int:
        """The index that the next call will have: list again `since` here."""
        return self._next

    @property
    def first_index(self) -> int:
        """The index of the oldest call remembered; equal to `next_index` where there is none."""
        return self._next - len(self._at)

    @property
    def cut(self) -> int:
        """How many calls were dropped to make room since the ledger was last cleared."""
        return self.first_index - self._begin

    def totals(self) -> dict[Outcome, int]:
        """How many calls since the process began had each outcome."""
        return dict(zip(self._outcomes, self._outcome_counts, strict=True))

    def select(self, query: Query) -> Iterator[list[Call]]:
        """The calls asked for that were made up to now, oldest first, in batches that may be empty.

        Calls may be recorded between two batches; those that they push out are not listed.
        """
        end = self._next
        wanted = end if query.limit is None else query.limit
        start = query.since
        while wanted > 0:
            start = max(start, self.first_index)
            if start >= end:
                return
            stop = min(start + _BATCH, end)
            batch = self._matching(start, stop, query)[:wanted]
            yield batch
            wanted -= len(batch)
            start = stop

    def _matching(self, start: int, stop: int, query: Query) -> list[Call]:
        outcomes = list(self._outcomes)
        calls = []
        for index in range(start, stop):
            slot = self._slot(index)
            outcome = outcomes[self._outcome[slot]]
            call = Call(
                index,
                self._at[slot],
                outcome.method,
                outcome.endpoint,
                self._product[slot],
                self._token[slot],
                outcome.status,
                outcome.fault,
            )
            if (
                query.endpoint in (None, call.endpoint)
                and query.product in (None, call.product)
                and query.token in (None, call.token)
                and query.status in (None, call.status)
            ):
                calls.append(call)
        return calls

    def _slot(self, index: int) -> int:
        return (index - self._begin) % self._capacity
