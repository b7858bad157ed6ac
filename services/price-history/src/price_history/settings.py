"""What the processes read from the environment."""

from typing import Annotated, Literal

from pydantic import Field

from lifecycle import BrokerUrls, DatabaseUrl, ProcessSettings, SharedSecret


class MigrateSettings(ProcessSettings):
    """`price-history migrate`."""

    database_url: DatabaseUrl


class ServiceSettings(MigrateSettings):
    """What `serve` and `work` have in common: the contract requires it of both."""

    rabbitmq_url: BrokerUrls


class ServeSettings(ServiceSettings):
    """`price-history serve`."""

    host: str = "127.0.0.1"
    port: Annotated[int, Field(ge=0, le=65535)] = 8001
    api_auth: Literal["required", "off"] = "required"
    price_history_token: SharedSecret | None = None
    """What the catalog must show when access is required; without it nobody is let in."""
    unauthenticated_rate_limit_per_minute: Annotated[int, Field(ge=0, le=10_000_000)] = 600
    """Failed authentications of each address; 0 is no limit."""
    http_max_requests_in_flight: Annotated[int, Field(ge=1)] = 256
    """Requests to the API that are answered at once; what comes beyond is answered 503."""
    http_send_seconds: Annotated[float, Field(gt=0, le=3600)] = 30.0
    """How long a client may read nothing of its answer; then it is disconnected."""
    database_pool_size: Annotated[int, Field(ge=1)] = 10
    """Connections at most; requests beyond wait for one."""
    database_pool_timeout_seconds: Annotated[float, Field(gt=0)] = 3.0
    """How long a request waits for a connection before it is answered 503."""
    database_statement_timeout_seconds: Annotated[int, Field(ge=1)] = 10
    """How long the database may work on one statement of a request."""


class RecordSettings(ServiceSettings):
    """What `work` and `rebuild --from-log` have in common."""

    derived_events: Literal["on", "off"] = "on"
    """Whether what lists mean for best prices is told."""


class WorkSettings(RecordSettings):
    """`price-history work`."""

    health_host: str = "127.0.0.1"
    health_port: Annotated[int, Field(ge=0, le=65535)] = 0
    retention_days: Annotated[int, Field(ge=1)] = 400
    prefetch: Annotated[int, Field(ge=1, le=1000)] = 20
    """Messages in hand at once, for each queue."""
    known_products: Annotated[int, Field(ge=0)] = 100_000
    """Products whose latest lists are kept in memory, some 500 bytes for each."""
