"""The compact documents inside rows: MessagePack, which keeps five changed offers in about forty bytes.

As arrays of PostgreSQL the same take about 140 bytes, and more CPU on both sides.
"""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from operator import add, itemgetter
from typing import Final, TypeAlias, cast

import msgspec

from price_history.domain.cells import Cell, Change, Columns, Piece, Run
from price_history.domain.chunks import State
from price_history.domain.offers import OfferChange

_Columns: TypeAlias = list[list[int | None]]


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
_decode_series = msgspec.msgpack.Decoder(_Columns).decode
_decode_offers = msgspec.msgpack.Decoder(dict[int, _Columns]).decode


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


def pack_series(pieces: Sequence[Piece], origin: int) -> bytes:
    """A series that begins at `origin`."""
    return _encode(_columns(pieces, origin))


def unpack_series(packed: bytes, origin: int) -> list[Change | Run]:
    """The series of `pack_series`."""
    return _unpack(_decode_series(packed), origin)


def pack_offers(offers: Mapping[int, Sequence[Piece]], origin: int) -> bytes:
    """The series of offers by number."""
    return _encode({number: _columns(pieces, origin) for number, pieces in offers.items()})


def unpack_offers(packed: bytes, origin: int) -> dict[int, list[Change | Run]]:
    """The series of `pack_offers`."""
    return {number: _unpack(columns, origin) for number, columns in _decode_offers(packed).items()}


# Times are stored as distances, which take half the room. What prices add up to may need more than 64 bits, so it is
# divided in two.
def _columns(pieces: Sequence[Piece], origin: int) -> _Columns:
    changes = [piece for piece in pieces if not isinstance(piece, Cell)]
    columns: _Columns = [[at - origin for at, _ in changes], [price for _, price in changes]]
    cells = [piece for piece in pieces if isinstance(piece, Cell)]
    if cells:
        rows = (
            (
                cell.begins - origin,
                cell.ends - cell.begins,
                cell.first,
                cell.lowest,
                cell.lowest_at - cell.begins,
                cell.highest,
                cell.highest_at - cell.begins,
                cell.last,
                cell.ends - cell.begins - cell.priced,
                *divmod(cell.weighted, _INT64),
            )
            for cell in cells
        )
        columns += map(list, zip(*rows, strict=True))
    return columns


def _unpack(columns: _Columns, origin: int) -> list[Change | Run]:
    ats, prices, *of_cells = columns
    changes: list[Change] = [(origin + at, price) for at, price in zip(cast("list[int]", ats), prices, strict=True)]
    if not of_cells:
        return list(changes)
    offsets, lengths, *values, high, low = cast("list[list[int]]", of_cells)
    begins = [origin + offset for offset in offsets]
    ends = list(map(add, begins, lengths))
    weighted = [_INT64 * half + rest for half, rest in zip(high, low, strict=True)] if any(high) else low
    whole = Run(begins[0], ends[-1], Columns._make([begins, ends, *values, weighted]))
    runs = [whole]
    if begins[1:] != ends[:-1]:
        cuts = [number for number in range(1, len(begins)) if begins[number] != ends[number - 1]]
        runs = [whole.part(*cut) for cut in pairwise([0, *cuts, len(begins)])]
    return sorted((*changes, *runs), key=itemgetter(0)) if changes else [*runs]
