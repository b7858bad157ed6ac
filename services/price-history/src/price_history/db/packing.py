"""The compact documents inside rows: MessagePack, which keeps five changed offers in about forty bytes.

As arrays of PostgreSQL the same take about 140 bytes, and more CPU on both sides.
"""

from collections.abc import Mapping, Sequence
from functools import cache, partial
from itertools import pairwise
from operator import itemgetter
from typing import Final, cast

import msgspec

from price_history.domain.cells import Cell, Change, Details, Piece, Run
from price_history.domain.chunks import State
from price_history.domain.offers import OfferChange


class _PackedRun(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """Times are distances from the run's beginning, or from each cell's, which take half the room of instants."""

    begins: int
    """From the origin of the series."""
    ends: int
    length: int
    first: int
    lowest_of_all: int
    lowest_after: int
    highest_of_all: int
    highest_after: int
    priced: int
    # What prices add up to may need more than 64 bits, so it is divided in two.
    weighted_high: int
    weighted_low: int
    prices: list[int]
    lowest: list[int]
    highest: list[int]
    details: msgspec.Raw
    """Unpacked only where they are wanted: a trend over all of the run needs none."""


class _PackedSeries(msgspec.Struct, array_like=True, frozen=True, gc=False):
    ats: list[int]
    prices: list[int | None]
    runs: list[_PackedRun] = []


class PackedRow(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """An observation in a chunk. Its changes are unpacked only where they are wanted."""

    after: int
    """Microseconds since the one before; in the first of a chunk 0."""
    best_in_stock: int | None
    packed: msgspec.Raw
    best_out_of_stock: int | None = None

    @property
    def best(self) -> int | None:
        """The lowest price of all offers."""
        return self.best_in_stock if self.best_out_of_stock is None else self.best_out_of_stock

    @property
    def changes(self) -> list[OfferChange]:
        """In their order."""
        return _decode_changes(self.packed)


_INT64: Final = 2**63

_encode = msgspec.msgpack.Encoder().encode
_decode_changes = msgspec.msgpack.Decoder(list[OfferChange]).decode
_decode_state = msgspec.msgpack.Decoder(list[int | None]).decode
_decode_rows = msgspec.msgpack.Decoder(list[PackedRow]).decode
_decode_series = msgspec.msgpack.Decoder(_PackedSeries).decode
_decode_offers = msgspec.msgpack.Decoder(dict[int, _PackedSeries]).decode
_decode_details = msgspec.msgpack.Decoder(list[list[int]]).decode


def pack_row(
    after: int, best_in_stock: int | None, best_out_of_stock: int | None, changes: Sequence[OfferChange]
) -> bytes:
    """One observation, to be put at the end of a chunk: see `PackedRow`."""
    if best_out_of_stock is None:
        return _encode((after, best_in_stock, changes))
    return _encode((after, best_in_stock, changes, best_out_of_stock))


def unpack_rows(count: int, packed: bytes) -> list[PackedRow]:
    """The observations of a chunk, each from `pack_row`."""
    # With the header of an array of so many in front they are one message.
    return _decode_rows(b"\xdd" + count.to_bytes(4, "big") + packed)


def pack_state(state: State) -> bytes:
    """What holds in front of a chunk."""
    prices = [value for pair in state.prices.items() for value in pair]
    return _encode([state.best_in_stock, state.best_out_of_stock, *prices])


def unpack_state(packed: bytes) -> State:
    """The state of `pack_state`."""
    best_in_stock, best_out_of_stock, *prices = _decode_state(packed)
    values = iter(cast("list[int]", prices))
    return State(best_in_stock, best_out_of_stock, dict(zip(values, values, strict=True)))


def pack_series(pieces: Sequence[Piece], origin: int, length: int) -> bytes:
    """A series that begins at `origin`, whose cells are of `length`."""
    return _encode(_packed(pieces, origin, length))


def unpack_series(packed: bytes, origin: int) -> list[Change | Run]:
    """The series of `pack_series`."""
    return _unpacked(_decode_series(packed), origin)


def pack_offers(offers: Mapping[int, Sequence[Piece]], origin: int, length: int) -> bytes:
    """The series of offers by number."""
    return _encode({number: _packed(pieces, origin, length) for number, pieces in offers.items()})


def unpack_offers(packed: bytes, origin: int) -> dict[int, list[Change | Run]]:
    """The series of `pack_offers`."""
    return {number: _unpacked(series, origin) for number, series in _decode_offers(packed).items()}


def _packed(pieces: Sequence[Piece], origin: int, length: int) -> _PackedSeries:
    changes = [piece for piece in pieces if not isinstance(piece, Cell)]
    cells = [piece for piece in pieces if isinstance(piece, Cell)]
    cuts = [number for number in range(1, len(cells)) if cells[number].begins != cells[number - 1].ends]
    runs = [Run.of(cells[slice(*cut)], length) for cut in pairwise([0, *cuts, len(cells)])] if cells else []
    return _PackedSeries(
        [at - origin for at, _ in changes], [price for _, price in changes], [_packed_run(run, origin) for run in runs]
    )


def _packed_run(run: Run, origin: int) -> _PackedRun:
    whole, (*details, weighted) = run.whole, run.details()
    halves = [divmod(each, _INT64) for each in weighted]
    return _PackedRun(
        run.begins - origin,
        run.ends - run.begins,
        run.length,
        whole.first,
        whole.lowest,
        whole.lowest_at - run.begins,
        whole.highest,
        whole.highest_at - run.begins,
        whole.priced,
        *divmod(whole.weighted, _INT64),
        run.prices,
        run.lowest,
        run.highest,
        msgspec.Raw(_encode([*details, *zip(*halves, strict=True)])),
    )


def _unpacked(series: _PackedSeries, origin: int) -> list[Change | Run]:
    changes = [(origin + at, price) for at, price in zip(series.ats, series.prices, strict=True)]
    runs = [_unpacked_run(run, origin) for run in series.runs]
    return sorted((*changes, *runs), key=itemgetter(0)) if changes and runs else [*changes, *runs]


def _unpacked_run(run: _PackedRun, origin: int) -> Run:
    begins = origin + run.begins
    whole = Cell(
        begins,
        begins + run.ends,
        run.first,
        run.lowest_of_all,
        begins + run.lowest_after,
        run.highest_of_all,
        begins + run.highest_after,
        run.prices[-1],
        run.priced,
        _INT64 * run.weighted_high + run.weighted_low,
    )
    return Run(begins, run.length, whole, run.prices, run.lowest, run.highest, cache(partial(_details, run.details)))


def _details(packed: msgspec.Raw) -> Details:
    first, lowest_after, highest_after, unpriced, high, low = _decode_details(packed)
    weighted = [_INT64 * half + rest for half, rest in zip(high, low, strict=True)]
    return Details(first, lowest_after, highest_after, unpriced, weighted)
