"""What each process of the catalog reads from its environment."""

from typing import Annotated, Final, Literal
from urllib.parse import urlsplit

import psycopg2
from psycopg2.extensions import parse_dsn
from pydantic import AfterValidator, Field

from lifecycle import ProcessSettings

MAX_PORT: Final = 65535

Port = Annotated[int, Field(ge=0, le=MAX_PORT)]
Seconds = Annotated[float, Field(gt=0, le=3600)]
PoolSize = Annotated[int, Field(ge=1, le=200)]


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


class DatabaseSettings(ProcessSettings):
    """For `migrate` and `import`."""

    database_url: Annotated[str, AfterValidator(_libpq_url)]
    """A libpq URL, `postgresql://…` or `postgres://…`, with whatever parameters libpq takes."""


class ServiceSettings(DatabaseSettings):
    """What `serve` and `work` have in common: the contract requires all of it of both."""

    rabbitmq_url: Annotated[str, AfterValidator(_amqp_urls)]
    """One node's URL, or several separated by commas."""
    price_history_url: Annotated[str, AfterValidator(_base_url)]
    """Base URL of price-history, without `/api/v1`."""


class ServeSettings(ServiceSettings):
    """For `serve`."""

    host: str = "127.0.0.1"
    port: Port = 8000
    api_auth: Literal["required", "off"] = "required"
    price_history_timeout_seconds: Seconds = 5.0
    """From asking price-history to the last byte of its JSON answer."""
    price_history_csv_timeout_seconds: Seconds = 300.0
    """The same for a CSV answer, which is streamed through."""
    database_pool_size: PoolSize = 10
    database_pool_timeout_seconds: Seconds = 3.0
    """How long a request waits for a connection before it is answered 503."""
    database_statement_timeout_seconds: Seconds = 10.0


class WorkSettings(ServiceSettings):
    """For `work`."""

    health_host: str = "127.0.0.1"
    health_port: Port = 0
    """0 means that health is not served."""
    database_pool_size: PoolSize = 5
    database_pool_timeout_seconds: Seconds = 30.0
    database_statement_timeout_seconds: Seconds = 60.0
