"""Settings from the environment, one class for each command, so that none asks for more than it needs."""

from typing import Annotated

from pydantic import AnyHttpUrl, Field, SecretStr, TypeAdapter, field_validator

from lifecycle import BrokerUrls, DatabaseUrl, ProcessSettings
from offers_sync.domain.access_token import is_token
from sealing import SealingKeys, keys_of

Seconds = Annotated[float, Field(gt=0, le=86_400)]

_http_url: TypeAdapter[AnyHttpUrl] = TypeAdapter(AnyHttpUrl)


class DatabaseSettings(ProcessSettings):
    """For `migrate`."""

    database_url: DatabaseUrl


class TokenSettings(DatabaseSettings):
    """For `token show` and `token set`."""

    offers_access_token: SecretStr | None = None
    offers_refresh_token: SecretStr | None = None
    offers_token_keys: SealingKeys | None = None
    """What the stored token is encrypted with."""

    @field_validator("offers_access_token", "offers_refresh_token")
    @classmethod
    def _sendable(cls, token: SecretStr | None) -> SecretStr | None:
        if token is not None and not is_token(token.get_secret_value()):
            raise ValueError("must be 1 to 4096 visible ASCII characters")
        return token

    @property
    def token_keys(self) -> tuple[str, ...]:
        """The keys in `offers_token_keys`."""
        return keys_of(self.offers_token_keys)

    @property
    def refresh_token(self) -> str | None:
        """The token for generation 2; None means generation 1."""
        return None if self.offers_refresh_token is None else self.offers_refresh_token.get_secret_value()


class RebuildSettings(DatabaseSettings):
    """For `rebuild-products`."""

    rabbitmq_url: BrokerUrls


class OffersMsSettings(TokenSettings):
    """For commands that call the Offers microservice, such as `rekey`."""

    offers_base_url: str
    offers_max_concurrency: Annotated[int, Field(ge=1, le=1000)] = 32
    offers_max_requests_per_second: Annotated[float, Field(gt=0)] | None = None
    offers_request_timeout_seconds: Seconds = 10.0

    @field_validator("offers_base_url")
    @classmethod
    def _http(cls, url: str) -> str:
        parsed = _http_url.validate_python(url)
        if parsed.query or parsed.fragment:
            raise ValueError("must have no query and no fragment")
        return url.rstrip("/")


class WorkSettings(OffersMsSettings):
    """For `work`."""

    rabbitmq_url: BrokerUrls
    health_host: str = "127.0.0.1"
    health_port: Annotated[int, Field(ge=0, le=65_535)] = 0
    offers_poll_interval_seconds: Annotated[float, Field(ge=0.1, le=86_400)] = 60.0
    offers_lease_seconds: Annotated[float, Field(ge=3, le=3_600)] = 15.0
    """How long work claimed by a worker that died stays undone."""
