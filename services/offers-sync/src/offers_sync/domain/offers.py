"""The offer list of a product, read from what the Offers microservice sent: every row is checked, none is trusted."""

from collections import Counter
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Annotated, Final

import msgspec

MAX_ID_LENGTH: Final = 200
MAX_PRICE: Final = 2**63 - 1
MAX_STOCK: Final = 2**31 - 1


class Offer(msgspec.Struct, frozen=True, gc=False):
    """One offer; `price` is the Offers microservice's integer, `id` its number or string as a string."""

    id: str
    price: int
    items_in_stock: int


class _Row(msgspec.Struct, gc=False):
    id: int | Annotated[str, msgspec.Meta(min_length=1, max_length=MAX_ID_LENGTH)]
    price: Annotated[int, msgspec.Meta(ge=0, le=MAX_PRICE)]
    items_in_stock: Annotated[int, msgspec.Meta(ge=0, le=MAX_STOCK)]


class BadListError(ValueError):
    """The body is no list of offers, so it says nothing about the product's offers."""


@dataclass(frozen=True, slots=True)
class OfferList:
    """A product's full list.

    Attributes:
        offers: sorted by id, each id once.
        digest: 16 bytes; equal for lists of equal offers, however they were written.
        dropped: how many rows were left out, by reason.
    """

    offers: list[Offer]
    digest: bytes
    dropped: Counter[str] = field(default_factory=Counter)


_rows: Final = msgspec.json.Decoder(list[_Row])
_raw_rows: Final = msgspec.json.Decoder(list[msgspec.Raw])
_row: Final = msgspec.json.Decoder(_Row)
_encoder: Final = msgspec.json.Encoder()


def parse_offer_list(body: bytes) -> OfferList:
    """The list in a body; bad rows are dropped and counted.

    Two rows with one id that agree are one offer. Where they disagree the cheaper one stands (and the smaller stock,
    where the prices agree): both were stated, and the choice must not depend on their order, which would make the price
    flap. The other row is counted as dropped.

    Raises:
        BadListError: the body is not a JSON list, or it has rows but none that is valid.
    """
    dropped: Counter[str] = Counter()
    rows = _decode(body, dropped)
    by_id: dict[str, Offer] = {}
    for row in rows:
        offer = _offer(row)
        if offer is None:
            dropped["id"] += 1
            continue
        known = by_id.setdefault(offer.id, offer)
        if known is not offer and known != offer:
            dropped["conflicting"] += 1
            by_id[offer.id] = min(known, offer, key=_price_then_stock)
    if dropped and not by_id:
        raise BadListError("no valid row")
    offers = sorted(by_id.values(), key=_id)
    return OfferList(offers, blake2b(_encoder.encode(offers), digest_size=16).digest(), dropped)


def _decode(body: bytes, dropped: Counter[str]) -> list[_Row]:
    try:
        return _rows.decode(body)
    except msgspec.ValidationError:
        return _decode_row_by_row(body, dropped)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise BadListError("malformed JSON") from None


def _decode_row_by_row(body: bytes, dropped: Counter[str]) -> list[_Row]:
    try:
        raw_rows = _raw_rows.decode(body)
    except msgspec.ValidationError:
        raise BadListError("not a list") from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise BadListError("malformed JSON") from None
    rows = []
    for raw in raw_rows:
        try:
            rows.append(_row.decode(raw))
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            dropped[_culprit(str(error))] += 1
    return rows


def _culprit(message: str) -> str:
    """The field that msgspec's message names: "… - at `$.price`" or "… missing required field `price`"."""
    fields = _Row.__struct_fields__
    return next((name for name in fields if message.endswith((f"`$.{name}`", f"`{name}`"))), "shape")


def _offer(row: _Row) -> Offer | None:
    offer_id = row.id if isinstance(row.id, str) else str(row.id)
    if len(offer_id) > MAX_ID_LENGTH or "\x00" in offer_id:
        return None
    return Offer(offer_id, row.price, row.items_in_stock)


def _id(offer: Offer) -> str:
    return offer.id


def _price_then_stock(offer: Offer) -> tuple[int, int]:
    return offer.price, offer.items_in_stock
