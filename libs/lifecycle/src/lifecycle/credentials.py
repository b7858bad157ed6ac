"""Secrets that settings hold: never shown, and long enough to be no guess."""

import re
from typing import Annotated, Final

from pydantic import AfterValidator, SecretStr

_TOKEN: Final = re.compile(r"[A-Za-z0-9._~+/-]{16,}=*")


def _bearer_token(secret: SecretStr) -> SecretStr:
    if not _TOKEN.fullmatch(secret.get_secret_value()):
        raise ValueError("must be 16 or more letters, digits and -._~+/")
    return secret


SharedSecret = Annotated[SecretStr, AfterValidator(_bearer_token)]
"""What two of our services know each other by, as a bearer token (RFC 6750)."""
