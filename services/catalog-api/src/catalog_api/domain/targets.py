"""Where webhooks may lead: by default to HTTPS at public addresses only, so that nobody has us look around inside."""

from enum import StrEnum
from ipaddress import IPv4Address, IPv4Network, IPv6Network, ip_address
from typing import Final
from urllib.parse import SplitResult, urlsplit

from catalog_api.domain.webhooks import URL_MAX

_NOT_FOR_US_4: Final = (
    IPv4Network("192.0.0.0/24"),  # protocol assignments, some of which Python calls global
    IPv4Network("192.88.99.0/24"),  # the old way into 6to4
)
_GLOBAL_UNICAST: Final = IPv6Network("2000::/3")
_NOT_FOR_US_6: Final = (
    IPv6Network("2001::/23"),  # protocol assignments, and Teredo, which leads to IPv4 addresses
    IPv6Network("2001:db8::/32"),  # documentation
    IPv6Network("2002::/16"),  # 6to4, which leads to IPv4 addresses
    IPv6Network("3fff::/20"),  # documentation
)
_NAT64: Final = IPv6Network("64:ff9b::/96")


class Targets(StrEnum):
    """Where webhooks may lead."""

    PUBLIC = "public"
    """HTTPS at public addresses."""
    ANY = "any"
    """Plain HTTP and private addresses, too: for development."""


OTHERWISE: Final = f"; the server's setting WEBHOOK_TARGETS={Targets.ANY} allows others"
"""Why what is refused here may be taken elsewhere."""


def is_public(address: str) -> bool:
    """Whether an address, as text, is of the public internet; whatever else it stands for is looked at, too."""
    try:
        ip = ip_address(address)
    except ValueError:
        return False
    if isinstance(ip, IPv4Address):
        return _is_public_4(ip)
    if ip.ipv4_mapped is not None:
        return _is_public_4(ip.ipv4_mapped)
    if ip in _NAT64:
        return _is_public_4(IPv4Address(int(ip) & 0xFFFF_FFFF))
    return ip.scope_id is None and ip in _GLOBAL_UNICAST and not any(ip in network for network in _NOT_FOR_US_6)


def _is_public_4(ip: IPv4Address) -> bool:
    return ip.is_global and not ip.is_multicast and not any(ip in network for network in _NOT_FOR_US_4)


def _has_good_port(parts: SplitResult) -> bool:
    try:
        return parts.port != 0
    except ValueError:  # none that there can be
        return False


def checked_url(url: str, targets: Targets) -> str:
    """The URL as it is.

    Raises:
        ValueError: it is none that webhooks may have, wherever its host's name leads; the text says why.
    """
    schemes = ("https",) if targets is Targets.PUBLIC else ("https", "http")
    if len(url) > URL_MAX:
        raise ValueError(f"must have at most {URL_MAX} characters")
    if not url.isascii() or not url.isprintable() or " " in url:
        raise ValueError("must be a URL in ASCII: punycode for the host, percent-encoding for the rest")
    try:
        parts = urlsplit(url)
    except ValueError:
        raise ValueError("must be a URL with a host") from None
    if parts.scheme not in schemes:
        otherwise = OTHERWISE if targets is Targets.PUBLIC and parts.scheme == "http" else ""
        raise ValueError(f"must be an {' or '.join(f'{scheme}://' for scheme in schemes)} URL{otherwise}")
    if not parts.hostname:
        raise ValueError("must be a URL with a host")
    if not _has_good_port(parts):
        raise ValueError("must have a port from 1 to 65535, or none")
    if "@" in parts.netloc:
        raise ValueError("must have no user name or password: the signature tells who sends")
    if parts.fragment:
        raise ValueError("must have no fragment: it would never be sent")
    return url
