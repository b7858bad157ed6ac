"""Product ids: written as UUIDs, of whatever version, and compared in lower case."""

import re
from typing import Final

_UUID: Final = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)


def is_uuid_like(text: str) -> bool:
    """Whether it is written as a UUID."""
    return _UUID.fullmatch(text) is not None
