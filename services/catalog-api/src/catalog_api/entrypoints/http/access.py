"""Which scope a request needs."""

from typing import Final

from catalog_api.domain.access import TokenScope
from http_api import API

TOKENS: Final = f"{API}/tokens"
_READING: Final = frozenset({"GET", "HEAD", "OPTIONS"})


def needed_scope(method: str, path: str) -> str:
    """`admin` for whatever is under `/tokens`; elsewhere `read` for methods that change nothing, else `write`."""
    if f"{path}/".startswith(f"{TOKENS}/"):
        return TokenScope.ADMIN
    return TokenScope.READ if method in _READING else TokenScope.WRITE
