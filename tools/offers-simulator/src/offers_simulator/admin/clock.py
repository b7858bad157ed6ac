"""The market's clock: read, frozen, moved."""

from typing import Annotated

import msgspec
from msgspec import Meta

from offers_simulator.admin.routing import BadRequestError, Route, read_body
from offers_simulator.http.message import Request, Response, json_response
from offers_simulator.market.clock import MarketClock

LAST_TICK = 2**53


class ClockChange(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What to do with the clock; `frozen` comes first, then one of the moves."""

    frozen: bool | None = None
    tick: Annotated[int, Meta(ge=0, le=LAST_TICK)] | None = None
    advance_ticks: Annotated[int, Meta(ge=-LAST_TICK, le=LAST_TICK)] | None = None
    advance_seconds: Annotated[float, Meta(ge=-1e12, le=1e12)] | None = None
    """A whole number of ticks."""


class ClockAdmin:
    """Handlers for `/admin/clock`."""

    def __init__(self, clock: MarketClock) -> None:
        self._clock = clock

    def routes(self) -> list[Route]:
        """What this class answers."""
        return [
            Route("GET", "/admin/clock", self.show, "the market's clock"),
            Route(
                "PATCH",
                "/admin/clock",
                self.change,
                'freeze, resume or move it: {"frozen": true, "advance_ticks": 1} (or "tick", "advance_seconds")',
            ),
        ]

    def show(self, _: Request) -> Response:
        """The clock as it is."""
        return json_response(200, self.state())

    def change(self, request: Request) -> Response:
        """Freeze or resume, then move."""
        change = read_body(request, msgspec.json.Decoder(ClockChange).decode)
        tick = self._wanted_tick(change)
        if change.frozen is True:
            self._clock.freeze()
        elif change.frozen is False:
            self._clock.resume()
        if tick is not None:
            self._clock.move_to(tick)
        return json_response(200, self.state())

    def state(self) -> dict[str, object]:
        """Tick number, tick length in seconds, whether frozen, and the Unix time of the next tick."""
        return {
            "tick": self._clock.tick(),
            "tick_seconds": self._clock.tick_seconds,
            "frozen": self._clock.frozen,
            "next_tick_at": self._clock.next_tick_at,
        }

    def _wanted_tick(self, change: ClockChange) -> int | None:
        moves = [move for move in (change.tick, change.advance_ticks, change.advance_seconds) if move is not None]
        if not moves:
            return None
        if len(moves) > 1:
            raise BadRequestError("body: give one of `tick`, `advance_ticks` and `advance_seconds`")
        if change.tick is not None:
            return change.tick
        ticks = change.advance_ticks
        if ticks is None:
            whole = moves[0] / self._clock.tick_seconds
            ticks = round(whole)
            if abs(whole - ticks) > 1e-6:  # noqa: PLR2004 - the error of a float division
                raise BadRequestError(f"body: `advance_seconds` is not a multiple of {self._clock.tick_seconds:g}")
        tick = self._clock.tick() + ticks
        if tick < 0:
            raise BadRequestError(f"body: that would be tick {tick}, before the first")
        return tick
