"""What happens to accounts: the lines of the journal. An owner is a token (generation 1) or a refresh token (2)."""

import msgspec


class Entry(msgspec.Struct, frozen=True, gc=False, tag_field="entry", omit_defaults=True):
    """Something that happened."""


class TokenIssued(Entry, tag="token_issued", frozen=True, gc=False, omit_defaults=True):
    """An access token was handed out; times are Unix seconds, None in `expires` means never."""

    token: str
    owner: str
    issued_at: float
    expires: float | None = None


class TokenRevoked(Entry, tag="token_revoked", frozen=True, gc=False):
    """An access token is no longer taken."""

    token: str


class ProductRegistered(Entry, tag="product_registered", frozen=True, gc=False):
    """A product was registered, or registered again; `id` is in lower case."""

    owner: str
    id: str
    name: str
    description: str
    registered_at: float


class ProductForgotten(Entry, tag="product_forgotten", frozen=True, gc=False):
    """A product is no longer registered with this owner."""

    owner: str
    id: str


AnyEntry = TokenIssued | TokenRevoked | ProductRegistered | ProductForgotten
