"""ETag and If-Match (RFC 9110, sections 8.8.3 and 13.1.1)."""

import re
from collections.abc import Sequence
from typing import Final

from catalog_api.use_cases.change_product import Precondition

_TAG: Final = re.compile(r'(?P<weak>W/)?"(?P<opaque>[\x21\x23-\x7e\x80-\xff]*)"')
_PLACE: Final = "\x00"


def etag(version: int) -> str:
    """The entity tag of a product's version."""
    return f'"{version}"'


def precondition(if_match: Sequence[str]) -> Precondition:
    """What the request's If-Match fields, if any, say of the present version.

    Comparison is strong, so a weak tag matches nothing; nor does a field that is malformed.
    """
    if not if_match:
        return lambda _: True
    value = ",".join(if_match).strip(" \t")
    if value == "*":
        return lambda _: True
    elements = {element.strip(" \t") for element in _TAG.sub(_PLACE, value).split(",")}
    if not elements <= {_PLACE, ""}:
        return lambda _: False
    strong = {match["opaque"] for match in _TAG.finditer(value) if not match["weak"]}
    return lambda version: str(version) in strong
