"""Tells how often an alert would have fired on recorded prices, had it been made at the beginning of a period."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from time import monotonic
from typing import Final, Literal
from uuid import UUID

import msgspec

from catalog_api.clients.recorded_prices import RecordedPrices
from catalog_api.db.product_reads import ProductReads
from catalog_api.domain.alert_evaluation import FACTS, NOTHING_KNOWN, Firing, State, evaluate
from catalog_api.domain.alerts import Rule
from catalog_api.domain.price_facts import Before, BestPriceChange, FactsOfSeries

MAX_PRODUCTS: Final = 200
MAX_CHANGES: Final = 100_000
MAX_SECONDS: Final = 10.0
MAX_LISTED: Final = 1000
"""Firings that are listed; all are counted."""
_AT_ONCE: Final = 500
"""Changes that are evaluated before others have their turn: some five milliseconds."""

Bound = Literal["products", "changes", "seconds"]
Reason = Literal[Bound, "retention"]


class FoundFiring(msgspec.Struct, frozen=True):
    """A firing that would have been."""

    product_id: UUID
    at: datetime
    price: int
    reference: int | None


class Examined(msgspec.Struct, frozen=True):
    """How much was looked at; `reason` is why that is not all: a bound that ended it early, or changes forgotten."""

    products: int
    changes: int
    complete: bool
    reason: Reason | None


class DryRun(msgspec.Struct, frozen=True):
    """The firings found, the first ones listed, oldest first."""

    firings_count: int
    firings: list[FoundFiring]
    examined: Examined


@dataclass(frozen=True, slots=True)
class DryRunAlert:
    """Runs a rule over recorded prices, product by product, within bounds on products, changes and time."""

    read: ProductReads
    recorded: RecordedPrices
    clock: Callable[[], float] = monotonic

    async def __call__(self, rule: Rule, product_id: UUID | None, begins: datetime, ends: datetime) -> DryRun:
        """What the alert would have done after `begins` until `ends`; None is all products, the oldest first.

        Raises:
            ProductNotFoundError: there is no such product.
            PriceHistoryUnavailableError: see there.
        """
        if product_id is None:
            ids = await self.read.ids(MAX_PRODUCTS + 1)
        else:
            await self.read.require(product_id)
            ids = [product_id]
        run = _Run(rule, self.clock() + MAX_SECONDS, self.clock)
        for id_ in ids[:MAX_PRODUCTS]:
            await self._examine(run, id_, begins, ends)
            if run.stopped_by is not None:
                break
        if run.stopped_by is None and len(ids) > MAX_PRODUCTS:
            run.stopped_by = "products"
        return run.outcome()

    async def _examine(self, run: "_Run", product_id: UUID, begins: datetime, ends: datetime) -> None:
        if run.is_out_of_time():
            return
        run.products += 1
        goes_by_past = FACTS[type(run.rule.condition)] is not BestPriceChange
        before = await self.recorded.before(product_id, begins) if goes_by_past else Before()
        facts: FactsOfSeries | None = None
        state = NOTHING_KNOWN
        async for part in self.recorded.series(product_id, begins, ends):
            if facts is None:
                facts = FactsOfSeries(part.price, before)
            run.saw_every_change &= part.is_whole
            for first in range(0, len(part.changes), _AT_ONCE):
                state = run.take(product_id, state, facts, part.changes[first : first + _AT_ONCE])
                await asyncio.sleep(0)
            if run.is_out_of_time() or run.stopped_by is not None:
                return


class _Run:
    """What a dry run has found so far."""

    def __init__(self, rule: Rule, until: float, clock: Callable[[], float]) -> None:
        self.rule = rule
        self.products = 0
        self.stopped_by: Bound | None = None
        self.saw_every_change = True
        self._fact_type = FACTS[type(rule.condition)]
        self._until = until
        self._clock = clock
        self._changes = 0
        self._firings: list[FoundFiring] = []

    def is_out_of_time(self) -> bool:
        """Whether time is up; if it is, the run is stopped by it."""
        if self._clock() < self._until:
            return False
        self.stopped_by = self.stopped_by or "seconds"
        return True

    def take(
        self, product_id: UUID, state: State, facts: FactsOfSeries, changes: Sequence[tuple[datetime, int | None]]
    ) -> State:
        """The state of a product's alert after these changes, or as many of them as may still be looked at."""
        room = MAX_CHANGES - self._changes
        if len(changes) > room:
            self.stopped_by = "changes"
            changes = changes[:room]
        self._changes += len(changes)
        for fact in facts.take(changes):
            if isinstance(fact, self._fact_type):
                state, firing = evaluate(self.rule, state, fact)
                if firing is not None:
                    self._firings.append(_found(product_id, firing))
        return state

    def outcome(self) -> DryRun:
        """All of it."""
        firings = sorted(self._firings, key=lambda firing: (firing.at, firing.product_id))
        reason: Reason | None = self.stopped_by or (None if self.saw_every_change else "retention")
        examined = Examined(self.products, self._changes, reason is None, reason)
        return DryRun(len(firings), firings[:MAX_LISTED], examined)


def _found(product_id: UUID, firing: Firing) -> FoundFiring:
    return FoundFiring(product_id, firing.at, firing.price, firing.reference)
