"""Opaque cursors: a query with its position, or a position in a list, as a string that only this service makes.

The digest is no signature, as a cursor gives no right that its owner lacks; it tells what was damaged, cut or made up.
"""

import base64
from datetime import datetime
from hashlib import blake2b
from typing import Annotated, Any, Final
from uuid import UUID

import msgspec

from catalog_api.domain import webhooks
from catalog_api.domain.errors import InvalidCursorError
from catalog_api.domain.pages import Position, Query, Sort, SortField
from catalog_api.domain.search import words

_DIGEST_BYTES: Final = 8
_PERSON: Final = b"catalog.v1"

_NONE_OF_OURS: Final = "is none that this API made"

_Words = tuple[str, ...]
_Name = Annotated[str, msgspec.Meta(pattern="^[^\x00]*$")]
_Price = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)] | None
_DECODERS: Final[dict[SortField, msgspec.msgpack.Decoder[Any]]] = {
    SortField.CREATED_AT: msgspec.msgpack.Decoder(tuple[Sort, _Words, datetime, UUID]),
    SortField.NAME: msgspec.msgpack.Decoder(tuple[Sort, _Words, _Name, UUID]),
    SortField.BEST_PRICE: msgspec.msgpack.Decoder(tuple[Sort, _Words, _Price, UUID]),
}
_POSITION: Final = msgspec.msgpack.Decoder(tuple[str, datetime, UUID])


def encode(query: Query) -> str:
    """The cursor of a query that has a position."""
    assert query.after is not None  # noqa: S101 - a first page has no cursor
    payload = msgspec.msgpack.encode((query.sort, query.words, query.after.value, query.after.product_id))
    return _made(payload)


def encode_position(of: str, position: webhooks.Position) -> str:
    """The cursor of a position in the list `of`."""
    return _made(msgspec.msgpack.encode((of, position.created_at, position.id)))


def decode_position(of: str, cursor: str) -> webhooks.Position:
    """The position that a cursor stands for.

    Raises:
        InvalidCursorError: this service did not make it, or made it for another list.
    """
    try:
        made_for, created_at, last_id = _POSITION.decode(_payload(cursor))
    except (ValueError, msgspec.MsgspecError):
        raise InvalidCursorError(_NONE_OF_OURS) from None
    position = webhooks.Position(created_at, last_id)
    if encode_position(made_for, position) != cursor:
        raise InvalidCursorError(_NONE_OF_OURS)
    if made_for != of:
        raise InvalidCursorError("belongs to another list")
    return position


def decode(cursor: str) -> Query:
    """The query that a cursor stands for.

    Raises:
        InvalidCursorError: this service did not make it.
    """
    try:
        payload = _payload(cursor)
        field = Sort(msgspec.msgpack.decode(payload)[0]).field
        sort, cursor_words, value, product_id = _DECODERS[field].decode(payload)
    except (ValueError, msgspec.MsgspecError, LookupError, TypeError):
        raise InvalidCursorError(_NONE_OF_OURS) from None
    query = Query(sort, cursor_words, Position(value, product_id))
    # Compared as a whole, as the last character of base64 has bits to spare. The digest needs no key, so the words of
    # a forged cursor could be no words.
    if encode(query) != cursor or tuple(words(" ".join(cursor_words))) != cursor_words:
        raise InvalidCursorError(_NONE_OF_OURS)
    return query


def _made(payload: bytes) -> str:
    return base64.urlsafe_b64encode(_digest(payload) + payload).rstrip(b"=").decode()


def _payload(cursor: str) -> bytes:
    raw = base64.b64decode(cursor.encode("ascii") + b"=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
    return raw[_DIGEST_BYTES:]


def _digest(payload: bytes) -> bytes:
    return blake2b(payload, digest_size=_DIGEST_BYTES, person=_PERSON).digest()
