"""Which scope a request needs."""

from typing import Final

from catalog_api.domain.access import TokenScope
from http_api import API

TOKENS: Final = f"{API}/tokens"
WEBHOOKS: Final = f"{API}/webhooks"
_FOR_ADMINS: Final = (f"{TOKENS}/", f"{WEBHOOKS}/")
_READING: Final = frozenset({"GET", "HEAD", "OPTIONS"})


def needed_scope(method: str, path: str) -> str:
    """`admin` for tokens and webhooks; elsewhere `read` for methods that change nothing, else `write`."""
    if f"{path}/".startswith(_FOR_ADMINS):
        return TokenScope.ADMIN
    return TokenScope.READ if method in _READING else TokenScope.WRITE
