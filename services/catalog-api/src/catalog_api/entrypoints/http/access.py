"""Which scope a request needs."""

from typing import Final

from catalog_api.domain.access import TokenScope
from catalog_api.entrypoints.http.routing import DRY_RUN
from http_api import API

TOKENS: Final = f"{API}/tokens"
WEBHOOKS: Final = f"{API}/webhooks"
_FOR_ADMINS: Final = (f"{TOKENS}/", f"{WEBHOOKS}/")
_READING: Final = frozenset({"GET", "HEAD", "OPTIONS"})


def needed_scope(method: str, path: str) -> str:
    """`admin` for tokens and webhooks; elsewhere `read` for what changes nothing, else `write`."""
    if f"{path}/".startswith(_FOR_ADMINS):
        return TokenScope.ADMIN
    reads = method in _READING or (method, path) == ("POST", DRY_RUN)
    return TokenScope.READ if reads else TokenScope.WRITE
