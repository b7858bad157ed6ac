"""The URLs that settings hold, checked before anything is started: a typing error must not become a retry for ever."""

from typing import Annotated, Any, Final
from urllib.parse import urlsplit

import psycopg2
from psycopg2.extensions import parse_dsn
from pydantic import AfterValidator, BeforeValidator, Field

MAX_PORT: Final = 65535


def _libpq_url(url: str) -> str:
    if not url.startswith(("postgresql://", "postgres://")):
        raise ValueError("must start with postgresql://")
    try:
        ports = parse_dsn(url).get("port", "5432")
    except psycopg2.ProgrammingError:
        raise ValueError("is not a URL that libpq takes") from None
    if not all(port.isdecimal() and 0 < int(port) <= MAX_PORT for port in ports.split(",")):
        raise ValueError("names a port that is no number from 1 to 65535")
    return url


def _checked(url: str, *schemes: str) -> str:
    try:
        parts = urlsplit(url)
        valid = parts.scheme in schemes and bool(parts.hostname) and parts.port != 0
    except ValueError:
        valid = False
    if not valid:
        raise ValueError(f"must be a URL with a host, {' or '.join(f'{scheme}://' for scheme in schemes)}")
    return url


def _amqp_urls(urls: str) -> str:
    return ",".join(_checked(url.strip(), "amqp", "amqps") for url in urls.split(","))


def _base_url(url: str) -> str:
    return _checked(url, "http", "https").rstrip("/")


def _origins(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    origins = tuple(filter(None, (part.strip() for part in value.split(","))))
    for origin in origins:
        if origin != "*" and urlsplit(_checked(origin, "http", "https"))[2:] != ("", "", ""):
            raise ValueError("must be origins such as https://shop.example, without a path, or *")
    return origins


# Both hold a password: it is in no repr of settings.
DatabaseUrl = Annotated[str, AfterValidator(_libpq_url), Field(repr=False)]
"""A libpq URL, `postgresql://…` or `postgres://…`, with whatever parameters libpq takes."""
BrokerUrls = Annotated[str, AfterValidator(_amqp_urls), Field(repr=False)]
"""One node's AMQP URL, or several separated by commas."""
BaseUrl = Annotated[str, AfterValidator(_base_url)]
"""An HTTP URL to which paths are added."""
Origins = Annotated[tuple[str, ...], BeforeValidator(_origins)]
"""Origins of web pages, separated by commas; `*` is any."""
