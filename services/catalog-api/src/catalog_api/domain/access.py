"""Access tokens: how they read, what they allow, and what is kept of them."""

import re
import secrets
from collections.abc import Iterable
from datetime import datetime
from enum import StrEnum
from hashlib import sha256
from typing import Final

import msgspec

TOKEN_ID_PATTERN: Final = "[0-9a-f]{16}"  # noqa: S105 - the form of an id
_SECRET_BYTES: Final = 20
_TOKEN: Final = re.compile(f"agg_({TOKEN_ID_PATTERN})_([0-9a-f]{{{_SECRET_BYTES * 2}}})")


class TokenScope(StrEnum):
    """What a token may do; each contains the ones before it."""

    READ = "read"
    WRITE = "write"
    ADMIN = "admin"


_CONTAINED: Final = {
    TokenScope.READ: {TokenScope.READ},
    TokenScope.WRITE: {TokenScope.READ, TokenScope.WRITE},
    TokenScope.ADMIN: {TokenScope.READ, TokenScope.WRITE, TokenScope.ADMIN},
}


def with_contained(scopes: Iterable[TokenScope]) -> frozenset[TokenScope]:
    """These scopes and all that they contain."""
    return frozenset().union(*(_CONTAINED[scope] for scope in scopes))


class Credential(msgspec.Struct, frozen=True):
    """A token taken apart: the public id, and the hash of its 160 random bits.

    A plain SHA-256: there is no guessing 160 random bits, however cheap a try is, and each request pays for it.
    """

    token_id: str
    secret_hash: bytes

    @staticmethod
    def of(token: str) -> "Credential | None":
        """The parts of `agg_<id>_<secret>`; None for anything else."""
        match = _TOKEN.fullmatch(token)
        return None if match is None else Credential(match[1], _hashed(match[2]))


class NewToken(msgspec.Struct, frozen=True):
    """A token that was just made; nobody can ever show `text` again."""

    text: str
    credential: Credential

    def __repr__(self) -> str:
        return f"NewToken({self.credential.token_id})"


def new_token() -> NewToken:
    """A token with a new id and a new secret."""
    token_id, secret = secrets.token_hex(8), secrets.token_hex(_SECRET_BYTES)
    return NewToken(f"agg_{token_id}_{secret}", Credential(token_id, _hashed(secret)))


class AccessToken(msgspec.Struct, frozen=True):
    """What is kept of a token and may be shown. The fields, in this order, are the API's JSON."""

    id: str
    name: str
    scopes: list[TokenScope]
    created_at: datetime
    expires_at: datetime | None
    last_used_at: datetime | None
    revoked_at: datetime | None
    state: str
    """`live`, `expired` or `revoked`, by the database's clock."""


def _hashed(secret: str) -> bytes:
    return sha256(secret.encode()).digest()
