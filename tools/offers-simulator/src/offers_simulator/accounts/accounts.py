"""Tokens and registered products: what the journal's entries add up to."""

import time
from collections.abc import Iterator, Mapping
from typing import Final

from offers_simulator.accounts.entries import (
    AnyEntry,
    ProductForgotten,
    ProductRegistered,
    TokenIssued,
    TokenRevoked,
)
from offers_simulator.accounts.journal import Journal

_NONE: Final[Mapping[str, ProductRegistered]] = {}


class Accounts:
    """The state in memory, and in `journal` where there is one (None: it ends with the process)."""

    def __init__(self, journal: Journal | None) -> None:
        self._journal = journal
        self._tokens: dict[str, TokenIssued] = {}
        self._products: dict[str, dict[str, ProductRegistered]] = {}
        for entry in journal.replay() if journal else ():
            self._apply(entry)

    def token(self, token: str) -> TokenIssued | None:
        """What is known about a token that was issued and not revoked; it may have expired."""
        return self._tokens.get(token)

    def tokens(self) -> list[TokenIssued]:
        """All tokens, oldest first."""
        return list(self._tokens.values())

    def products_of(self, owner: str) -> Mapping[str, ProductRegistered]:
        """The owner's products by id."""
        return self._products.get(owner, _NONE)

    def products(self) -> Iterator[ProductRegistered]:
        """The products of all owners, oldest first for each."""
        for products in self._products.values():
            yield from products.values()

    @property
    def product_count(self) -> int:
        """How many products are registered, with all owners."""
        return sum(map(len, self._products.values()))

    def is_registered(self, product_id: str) -> bool:
        """Whether any owner has registered it."""
        return any(product_id in products for products in self._products.values())

    def issue(self, token: str, owner: str, expires: float | None = None) -> None:
        """Hand out an access token; raises OSError when it can't be remembered, as all changes here do."""
        self._record(TokenIssued(token, owner, time.time(), expires))

    def revoke(self, token: str) -> None:
        """Stop taking a token."""
        self._record(TokenRevoked(token))

    def register(self, owner: str, product_id: str, name: str, description: str) -> None:
        """Tie a product to an owner."""
        self._record(ProductRegistered(owner, product_id, name, description, time.time()))

    def forget(self, product_id: str) -> bool:
        """Unregister a product from every owner that has it; whether there was one."""
        owners = [owner for owner, products in self._products.items() if product_id in products]
        for owner in owners:
            self._record(ProductForgotten(owner, product_id))
        return bool(owners)

    def _record(self, entry: AnyEntry) -> None:
        if self._journal is not None:
            self._journal.append(entry)
        self._apply(entry)

    def _apply(self, entry: AnyEntry) -> None:
        match entry:
            case TokenIssued():
                self._tokens[entry.token] = entry
            case TokenRevoked():
                self._tokens.pop(entry.token, None)
            case ProductRegistered():
                self._products.setdefault(entry.owner, {})[entry.id] = entry
            case ProductForgotten():
                self._products.get(entry.owner, {}).pop(entry.id, None)
