"""The kinds of misbehaviour that spoil a list of offers: `endpoint` is `offers`.

They change a 200; when the right answer is a refusal (401, 404, …) that is what the client gets.
"""

# ruff: noqa: D102 - what an override does is said by its class

from secrets import randbits
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from offers_simulator.faults.kinds import Fault, Truth
from offers_simulator.http.message import Answer, Response

Row = dict[str, Any]
OfferId = Annotated[int, Meta(ge=-(2**63), le=2**63 - 1)] | Annotated[str, Meta(max_length=1000)]
_STAND_IN: Row = {"id": 1, "price": 10_000, "items_in_stock": 5}
OK = 200


class ListFault(Fault, frozen=True, kw_only=True):
    """A kind that works on the rows of the right list; it has at least one row to work on."""

    endpoint: Literal["offers"]

    def misbehave(self, truth: Truth) -> Answer:
        right = truth()
        if right.status != OK:
            return right
        return Response(OK, self.spoil(_rows(right)))

    def spoil(self, rows: list[Row]) -> bytes:
        """The body to send in place of the right one."""
        raise NotImplementedError


class RowFault(ListFault, frozen=True, kw_only=True):
    """A kind that spoils the first row, or all."""

    rows: Literal["first", "all"] = "first"

    def spoil(self, rows: list[Row]) -> bytes:
        count = 1 if self.rows == "first" else len(rows)
        return msgspec.json.encode([self.spoil_row(row) for row in rows[:count]] + rows[count:])

    def spoil_row(self, row: Row) -> Row:
        """The row to send in place of the right one."""
        raise NotImplementedError


class Price(RowFault, frozen=True, kw_only=True, tag="price"):
    """A price that is any JSON value, sent as written: -1, 9223372036854775808, 1e400, 10.5, "12", true, null."""

    price: msgspec.Raw

    def spoil_row(self, row: Row) -> Row:
        return {**row, "price": self.price}


class NotANumber(RowFault, frozen=True, kw_only=True, tag="nan"):
    """A price of NaN, which is not JSON."""

    def spoil_row(self, row: Row) -> Row:
        return {**row, "price": msgspec.Raw(b"NaN")}


class MissingField(RowFault, frozen=True, kw_only=True, tag="missing_field"):
    """A field left out."""

    field: Literal["id", "price", "items_in_stock"]

    def spoil_row(self, row: Row) -> Row:
        return {name: value for name, value in row.items() if name != self.field}


class ExtraFields(RowFault, frozen=True, kw_only=True, tag="extra_fields"):
    """Fields that are not documented: nothing is wrong with these rows."""

    rows: Literal["first", "all"] = "all"
    fields: dict[str, msgspec.Raw] = msgspec.field(
        default_factory=lambda: {"currency": msgspec.Raw(b'"CZK"'), "seller": msgspec.Raw(b'{"id":7}')}
    )

    def spoil_row(self, row: Row) -> Row:
        return {**self.fields, **row}


class OfferIds(RowFault, frozen=True, kw_only=True, tag="offer_ids"):
    """Ids as numbers, strings of digits, or UUID-like strings, the same ones every time; or fresh ones every time."""

    rows: Literal["first", "all"] = "all"
    style: Literal["numbers", "strings", "uuids", "fresh"]

    def spoil_row(self, row: Row) -> Row:
        number = randbits(31) if self.style == "fresh" else _as_number(row.get("id"))
        match self.style:
            case "numbers" | "fresh":
                return {**row, "id": number}
            case "strings":
                return {**row, "id": str(number)}
            case "uuids":
                return {**row, "id": f"{number:08x}-0000-f000-0000-{number:012x}"}


class SharedId(RowFault, frozen=True, kw_only=True, tag="shared_id"):
    """The first offer of every product that is asked for has this id: one id under many products."""

    rows: Literal["first"] = "first"
    offer_id: OfferId

    def spoil_row(self, row: Row) -> Row:
        return {**row, "id": self.offer_id}


class DuplicateIds(ListFault, frozen=True, kw_only=True, tag="duplicate_ids"):
    """The first offer once more at the end, at another price."""

    def spoil(self, rows: list[Row]) -> bytes:
        return msgspec.json.encode([*rows, {**rows[0], "price": 1 + _as_number(rows[0].get("price"))}])


class NotAList(ListFault, frozen=True, kw_only=True, tag="object"):
    """An object where the list belongs."""

    def spoil(self, rows: list[Row]) -> bytes:
        return msgspec.json.encode({"offers": rows, "total": len(rows)})


class ManyOffers(ListFault, frozen=True, kw_only=True, tag="many_offers"):
    """A valid list of so many offers."""

    count: Annotated[int, Meta(ge=1, le=1_000_000)] = 10_000

    def spoil(self, rows: list[Row]) -> bytes:  # noqa: ARG002 - all are made up
        return msgspec.json.encode(
            [
                {"id": number, "price": 10_000 + number, "items_in_stock": number % 1001}
                for number in range(1, self.count + 1)
            ]
        )


class Empty(ListFault, frozen=True, kw_only=True, tag="empty"):
    """A valid list of nothing."""

    def spoil(self, rows: list[Row]) -> bytes:  # noqa: ARG002 - none is sent
        return b"[]"


def _rows(right: Response) -> list[Row]:
    """The right list's rows; a stand-in where it has none or somebody set something that is no list of objects."""
    try:
        return msgspec.json.decode(right.body, type=list[Row]) or [_STAND_IN]
    except msgspec.DecodeError:
        return [_STAND_IN]


def _as_number(value: Any) -> int:
    """The number itself, or one that always is the same for the same value; below 2^31."""
    if isinstance(value, int):
        return value % 2**31
    return int.from_bytes(str(value).encode()[-8:], "big") % 2**31
