"""Access tokens as values."""

import base64
import binascii
import math
import re
from dataclasses import dataclass
from typing import Final, TypeGuard

import msgspec

_VISIBLE: Final = re.compile(r"[!-~]{1,4096}")


@dataclass(frozen=True, slots=True, repr=False)
class AccessToken:
    """A token and how many seconds from now it may be used; None means until it is rejected."""

    value: str
    usable_seconds: float | None = None


def is_token(value: object) -> TypeGuard[str]:
    """Whether this may be sent in a header: 1 to 4096 visible ASCII characters."""
    return isinstance(value, str) and _VISIBLE.fullmatch(value) is not None


def expiry_claim(token: str) -> float | None:
    """The claim `expires` of a JWT, seconds since 1970; None where there is none. Unverified: it is no proof."""
    try:
        payload = token.split(".")[1]
        claims = msgspec.json.decode(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
        expires = float(claims["expires"])
    except (IndexError, KeyError, TypeError, ValueError, binascii.Error, msgspec.DecodeError, RecursionError):
        return None
    return expires if math.isfinite(expires) else None


def masked(token: str) -> str:
    """Enough of a token to tell it from another one, and not enough to use it."""
    return f"{token[:4]}… ({len(token)} characters)"
