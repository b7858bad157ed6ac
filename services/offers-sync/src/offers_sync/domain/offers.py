"""The offer list of a product, read from what the Offers microservice sent: every row is checked, none is trusted."""

from dataclasses import dataclass
from hashlib import blake2b
from operator import attrgetter
from typing import Annotated, Final

import msgspec

MAX_ID_LENGTH: Final = 200
MAX_PRICE: Final = 2**63 - 1
MAX_STOCK: Final = 2**31 - 1


class Offer(msgspec.Struct, frozen=True, gc=False):
    """One offer, as the contract has it; `price` is the Offers microservice's integer, `id` its number or string."""

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
        encoded: the offers as JSON, as the contract's `OffersUpdate` has them.
        digest: 16 bytes; equal for lists of equal offers, however they were written.
        body_digest: 16 bytes, of the body as it was written; None where rows were left out, to be counted each time.
        dropped: how many rows were left out, by reason.
    """

    offers: list[Offer]
    encoded: bytes
    digest: bytes
    body_digest: bytes | None
    dropped: dict[str, int]


_rows: Final = msgspec.json.Decoder(list[_Row])
_raw_rows: Final = msgspec.json.Decoder(list[msgspec.Raw])
_row: Final = msgspec.json.Decoder(_Row)
_encoder: Final = msgspec.json.Encoder()
_by_id: Final = attrgetter("id")


def digest_of(body: bytes) -> bytes:
    """16 bytes that no other body has."""
    return blake2b(body, digest_size=16).digest()


def parse_offer_list(body: bytes, body_digest: bytes | None = None) -> OfferList:
    """The list in a body, whose digest may be known; bad rows are dropped and counted.

    Two rows with one id that agree are one offer. Where they disagree the cheaper one stands (and the smaller stock,
    where the prices agree): both were stated, and the choice must not depend on their order, which would make the price
    flap. The other row is counted as dropped.

    Raises:
        BadListError: the body is not a JSON list, or it has rows but none that is valid.
    """
    dropped: dict[str, int] = {}
    rows = _decode(body, dropped)
    offers = [Offer(str(row.id), row.price, row.items_in_stock) for row in rows]
    # A NUL can only come as this escape; without it, and without huge numbers, every id is good.
    if b"\\u0000" in body or any(len(offer.id) > MAX_ID_LENGTH for offer in offers):
        offers = _with_good_ids(offers, dropped)
    if len({offer.id for offer in offers}) < len(offers):
        offers = _each_id_once(offers, dropped)
    if dropped and not offers:
        raise BadListError("no valid row")
    offers.sort(key=_by_id)
    if dropped:
        body_digest = None
    elif body_digest is None:
        body_digest = digest_of(body)
    encoded = _encoder.encode(offers)
    return OfferList(offers, encoded, digest_of(encoded), body_digest, dropped)


def _decode(body: bytes, dropped: dict[str, int]) -> list[_Row]:
    try:
        return _rows.decode(body)
    except msgspec.ValidationError:
        return _decode_row_by_row(body, dropped)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise BadListError("malformed JSON") from None


def _decode_row_by_row(body: bytes, dropped: dict[str, int]) -> list[_Row]:
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
            reason = _culprit(str(error))
            dropped[reason] = dropped.get(reason, 0) + 1
    return rows


def _culprit(message: str) -> str:
    """The field that msgspec's message names: "… - at `$.price`" or "… missing required field `price`"."""
    fields = _Row.__struct_fields__
    return next((name for name in fields if message.endswith((f"`$.{name}`", f"`{name}`"))), "shape")


def _with_good_ids(offers: list[Offer], dropped: dict[str, int]) -> list[Offer]:
    good = [offer for offer in offers if len(offer.id) <= MAX_ID_LENGTH and "\x00" not in offer.id]
    if len(good) < len(offers):
        dropped["id"] = dropped.get("id", 0) + len(offers) - len(good)
    return good


def _each_id_once(offers: list[Offer], dropped: dict[str, int]) -> list[Offer]:
    by_id: dict[str, Offer] = {}
    for offer in offers:
        known = by_id.setdefault(offer.id, offer)
        if known != offer:
            dropped["conflicting"] = dropped.get("conflicting", 0) + 1
            by_id[offer.id] = min(known, offer, key=_price_then_stock)
    return list(by_id.values())


def _price_then_stock(offer: Offer) -> tuple[int, int]:
    return offer.price, offer.items_in_stock
