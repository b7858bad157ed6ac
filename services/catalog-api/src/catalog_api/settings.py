"""What each process of the catalog reads from its environment."""

from typing import Annotated, Final, Literal

from pydantic import Field
from pydantic_settings import NoDecode

from catalog_api.domain.targets import Targets
from lifecycle import BaseUrl, BrokerUrls, DatabaseUrl, Origins, ProcessSettings, SharedSecret
from sealing import SealingKeys

MAX_PORT: Final = 65535

Port = Annotated[int, Field(ge=0, le=MAX_PORT)]
Seconds = Annotated[float, Field(gt=0, le=3600)]
PoolSize = Annotated[int, Field(ge=1, le=200)]
ApiAuth = Literal["required", "off"]
PerMinute = Annotated[int, Field(ge=0, le=10_000_000)]
"""Requests in a minute; 0 is no limit."""

TOKEN_REQUESTS_PER_MINUTE: Final = 6000


class DatabaseSettings(ProcessSettings):
    """For `import` and `tokens`."""

    database_url: DatabaseUrl


class MigrateSettings(DatabaseSettings):
    """For `migrate`."""

    api_auth: ApiAuth = "required"
    """Whether a first admin token is needed."""


class ServiceSettings(DatabaseSettings):
    """What `serve` and `work` have in common: the contract requires all of it of both."""

    rabbitmq_url: BrokerUrls
    price_history_url: BaseUrl
    """Base URL of price-history, without `/api/v1`."""
    webhook_targets: Targets = Targets.PUBLIC
    """Where webhooks may lead."""
    webhook_secret_keys: SealingKeys | None = None
    """What webhooks' secrets are encrypted with."""


class ServeSettings(ServiceSettings):
    """For `serve`."""

    host: str = "127.0.0.1"
    port: Port = 8000
    api_auth: ApiAuth = "required"
    access_cache_seconds: Annotated[float, Field(ge=0, le=30)] = 10.0
    """How long a token that was looked up is good without another look: the time until a revocation is effective."""
    rate_limit_per_minute: PerMinute | None = None
    """For each token; with access off, for each address. None is 6000 for tokens and no limit for addresses."""
    unauthenticated_rate_limit_per_minute: PerMinute = 600
    """Failed authentications of each address."""
    cors_allowed_origins: Annotated[Origins, NoDecode] = ()
    """Whose pages may use the API from a browser."""
    price_history_token: SharedSecret | None = None
    """What price-history wants to see."""
    http_max_requests_in_flight: Annotated[int, Field(ge=1)] = 256
    """Requests to the API that are answered at once; what comes beyond is answered 503."""
    http_max_batches_in_flight: Annotated[int, Field(ge=1)] = 16
    """Batches among them, each up to 8 MiB."""
    http_max_csv_in_flight: Annotated[int, Field(ge=1, le=48)] = 16
    """CSV histories among them; each has one of the 64 connections to price-history, the rest is for trends."""
    http_max_streams: Annotated[int, Field(ge=1)] = 500
    """Open streams of events, which are not counted among the requests in flight."""
    stream_heartbeat_seconds: Seconds = 15.0
    """How often a stream tells where it is while it has nothing else to tell."""
    stream_ring_bytes: Annotated[int, Field(ge=2**20, le=2**30)] = 2**24
    """The latest events in memory, for all streams together; a stream that falls behind them is ended."""
    http_body_seconds: Seconds = 30.0
    """How long a request's body may take to arrive."""
    http_send_seconds: Seconds = 30.0
    """How long a client may read nothing of its answer; then it is disconnected."""
    price_history_timeout_seconds: Seconds = 5.0
    """From asking price-history to the last byte of its JSON answer."""
    price_history_csv_timeout_seconds: Seconds = 300.0
    """The same for a CSV answer, which is streamed through."""
    database_pool_size: PoolSize = 10
    database_pool_timeout_seconds: Seconds = 3.0
    """How long a request waits for a connection before it is answered 503."""
    database_statement_timeout_seconds: Seconds = 10.0


class RebuildSettings(DatabaseSettings):
    """For `rebuild-offers`."""

    rabbitmq_url: BrokerUrls


class WorkSettings(ServiceSettings):
    """For `work`."""

    health_host: str = "127.0.0.1"
    health_port: Port = 0
    """0 means that health is not served."""
    database_pool_size: PoolSize = 5
    database_pool_timeout_seconds: Seconds = 30.0
    database_statement_timeout_seconds: Seconds = 60.0
    webhook_attempt_seconds: Annotated[float, Field(ge=1, le=60)] = 15.0
    """From looking for an endpoint's address to the last byte of its answer."""
    webhook_max_in_flight: Annotated[int, Field(ge=2, le=1000)] = 64
    """Messages that are being sent at once; a quarter of these is for webhooks that fail or are slow."""
    webhook_max_in_flight_each: Annotated[int, Field(ge=1, le=100)] = 4
    """The same for each webhook; for one that fails it is one."""
    webhook_retention_days: Annotated[float, Field(ge=2, le=3650)] = 30.0
    """How long deliveries and their attempts are kept."""
