"""When an alert fires for a product: one step for each fact, the same over events and over recorded history.

Only facts count, and the times that they are dated at: nothing fires because time passes.

- A condition on the price (at or below, drop, rise) *holds* at a change or not. The alert fires at a change at which
  it holds, if it is *armed* and no firing lies less than the cooldown before. It is armed from the start, so one that
  is made while its condition holds fires at the next change at which it still does. After a firing it is armed again
  by the change at which the price has *left* the condition: by `hysteresis_percent` of the condition's limit, which is
  the price given, or what a drop or rise of exactly the given percent comes to. While no offer is in stock there is no
  price, which neither holds nor leaves.
- What became true during the cooldown is not made up for at its end. The alert stays armed, so the first change after
  it at which the condition holds fires.
- A new low and a return into stock are instants: those in the cooldown are lost. After a new low was told, one that is
  lower by less than `hysteresis_percent` is not; a higher one is (lows are forgotten after 30 days).

The window of a drop or a rise at an instant `t` is made of slots, each a hundredth of its length, counted from 1970
UTC. It reaches from the start of the slot that holds `t` minus the length up to `t`, which is left out: it is up to a
hundredth longer than its length. A price is in it that was in effect at any instant of it. So at most 101 prices need
to be known of a product, each the extreme of those that ended in one slot.
"""

from datetime import UTC, datetime, timedelta
from typing import Final

import msgspec

from catalog_api.domain.alerts import (
    BackInStockAgain,
    BestPriceAtOrBelow,
    Condition,
    Drop,
    NewLowOver,
    Rise,
    Rule,
    window_length,
)
from catalog_api.domain.price_facts import BackInStock, BestPriceChange, Fact, NewLow

SLOTS: Final = 100
"""In the length of a window."""
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_INSTANT: Final = timedelta(microseconds=1)
_WHOLE: Final = 10_000
"""A hundred percent, in hundredths of a percent: comparisons are between integers, so they are exact."""

DOWN: Final = -1
UP: Final = 1

Extremes = tuple[tuple[int, int], ...]
"""Slots with the extreme price that ended in each, oldest first: falling prices for a drop, growing for a rise."""

FACTS: Final[dict[type[Condition], type[Fact]]] = {
    BestPriceAtOrBelow: BestPriceChange,
    Drop: BestPriceChange,
    Rise: BestPriceChange,
    NewLowOver: NewLow,
    BackInStockAgain: BackInStock,
}
"""The facts that each kind of condition goes by; no others are given to `evaluate`."""


class State(msgspec.Struct, frozen=True):
    """What an alert knows of a product; at the start, nothing."""

    armed: bool = True
    fired_at: datetime | None = None
    fired_price: int | None = None
    extremes: Extremes = ()


NOTHING_KNOWN: Final = State()


class Firing(msgspec.Struct, frozen=True, gc=False):
    """The alert fires: at which price, and which one it was compared with.

    `reference` is the price given, the highest or lowest price of the window, or the low before (of the time that the
    condition speaks of; of all time where there was no price in 30 days); None for a return into stock.
    """

    at: datetime
    price: int
    reference: int | None


class _Verdict(msgspec.Struct, frozen=True, gc=False):
    holds: bool
    left: bool
    reference: int | None
    extremes: Extremes = ()


def evaluate(rule: Rule, state: State, fact: Fact) -> tuple[State, Firing | None]:
    """The state after the fact, and the firing if there is one. The facts of a product are given in their order.

    Raises:
        TypeError: a fact that this condition does not go by.
    """
    verdict = _judge(rule, state, fact)
    armed = state.armed or verdict.left
    if armed and verdict.holds and _cooldown_is_over(rule, state, fact.at):
        assert fact.price is not None  # noqa: S101 - without a price nothing holds
        firing = Firing(fact.at, fact.price, verdict.reference)
        return State(False, fact.at, fact.price, verdict.extremes), firing
    return State(armed, state.fired_at, state.fired_price, verdict.extremes), None


def _cooldown_is_over(rule: Rule, state: State, at: datetime) -> bool:
    return state.fired_at is None or at - state.fired_at >= timedelta(seconds=rule.cooldown_seconds)


def _judge(rule: Rule, state: State, fact: Fact) -> _Verdict:
    margin = _hundredths(rule.hysteresis_percent)
    match rule.condition, fact:
        case BestPriceAtOrBelow(limit), BestPriceChange(price=price):
            return _compare(price, limit * _WHOLE, margin, DOWN, limit)
        case (Drop() | Rise()) as condition, BestPriceChange():
            return _judge_move(condition, margin, state, fact)
        case NewLowOver(over), NewLow():
            last = state.fired_price
            holds = (over == "30d" or fact.is_lowest_ever) and (
                last is None or fact.price >= last or fact.price * _WHOLE <= last * (_WHOLE - margin)
            )
            low = fact.low_30_days if over == "30d" else None
            return _Verdict(holds, True, fact.low_ever if low is None else low)
        case BackInStockAgain(), BackInStock():
            return _Verdict(True, True, None)
        case _:
            raise TypeError(f"{type(rule.condition).__name__} does not go by {type(fact).__name__}")


def _judge_move(condition: Drop | Rise, margin: int, state: State, change: BestPriceChange) -> _Verdict:
    way = UP if isinstance(condition, Rise) else DOWN
    slot = window_length(condition.window) / SLOTS
    before = _slid(state.extremes, slot, change.at)
    # As the old price came to its end: no change has told that it left while it stayed put.
    stayed = _compare_with_window(condition, margin, way, change.old_price, before)
    moved = _compare_with_window(condition, margin, way, change.price, _with_ended(before, slot, way, change))
    return msgspec.structs.replace(moved, left=stayed.left or moved.left)


def _compare_with_window(
    condition: Drop | Rise, margin: int, way: int, price: int | None, extremes: Extremes
) -> _Verdict:
    if not extremes:  # nothing to move from, so whatever was told is left behind
        return _Verdict(False, price is not None, None)
    reference = extremes[0][1]
    limit = reference * (_WHOLE + way * _hundredths(condition.percent))
    verdict = _compare(price, limit, margin, way, reference)
    # No percentage leads from 0 to anywhere.
    return _Verdict(verdict.holds and reference > 0, verdict.left, reference, extremes)


def _compare(price: int | None, limit: int, margin: int, way: int, reference: int) -> _Verdict:
    """Whether the price is at the limit (in ten thousandths) or beyond it, or on this side of it by the margin."""
    if price is None:
        return _Verdict(False, False, reference)
    holds = way * price * _WHOLE >= way * limit
    left = not holds and way * price * _WHOLE * _WHOLE <= way * limit * (_WHOLE - way * margin)
    return _Verdict(holds, left, reference)


def _slid(extremes: Extremes, slot: timedelta, at: datetime) -> Extremes:
    """Those that are still in the window that ends at this time."""
    first = (at - _EPOCH - SLOTS * slot) // slot
    return tuple(extreme for extreme in extremes if extreme[0] >= first)


def _with_ended(extremes: Extremes, slot: timedelta, way: int, change: BestPriceChange) -> Extremes:
    """The extremes with the price that this change ended among them."""
    ended = change.old_price
    if ended is None:
        return extremes
    kept = list(extremes)
    while kept and way * kept[-1][1] >= way * ended:
        kept.pop()
    last = (change.at - _INSTANT - _EPOCH) // slot
    # Otherwise one that ended in the same slot counts for as long, and more.
    if not kept or kept[-1][0] < last:
        kept.append((last, ended))
    return tuple(kept)


def _hundredths(percent: float) -> int:
    return round(percent * 100)
