"""The JSON of access tokens."""

from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema

from catalog_api.domain.access import TOKEN_ID_PATTERN, TokenScope
from catalog_api.entrypoints.http.schemas import Input, Name, instant, without_default


def _expiry(raw: Any) -> datetime:
    expiry = instant(raw)
    if expiry <= datetime.now(UTC):
        raise ValueError("must be in the future")
    return expiry


def _scopes(names: Any) -> list[TokenScope]:
    if not isinstance(names, list) or not names or any(names.count(name) > 1 for name in names):
        raise ValueError("must be a list of one or more different scopes")
    try:
        return [TokenScope(name) for name in names]
    except ValueError:
        raise ValueError(f"must be of {', '.join(TokenScope)}") from None


Scope = Literal["read", "write", "admin"]
Scopes = Annotated[
    list[TokenScope],
    BeforeValidator(_scopes),
    WithJsonSchema(
        {
            "type": "array",
            "items": {"type": "string", "enum": list(TokenScope)},
            "minItems": 1,
            "uniqueItems": True,
            "description": "`admin` contains `write`, which contains `read`.",
        }
    ),
]
Expiry = Annotated[
    datetime | None,
    BeforeValidator(lambda raw: None if raw is None else _expiry(raw)),
    WithJsonSchema(
        {
            "anyOf": [{"type": "string", "format": "date-time"}, {"type": "null"}],
            "description": "In the future. Without it the token is good until it is revoked.",
        }
    ),
]


class TokenInput(Input):
    """An access token as it is asked for."""

    name: Name
    scopes: Scopes
    expires_at: Expiry = Field(default=None, json_schema_extra=without_default)


class TokenOutput(BaseModel):
    """An access token, without its secret."""

    model_config = ConfigDict(title="Token")

    id: Annotated[str, Field(pattern=f"^{TOKEN_ID_PATTERN}$")]
    name: str
    scopes: list[Scope]
    created_at: datetime
    expires_at: datetime | None
    last_used_at: Annotated[datetime | None, Field(description="To the minute.")]
    revoked_at: datetime | None
    state: Literal["live", "expired", "revoked"]


class CreatedTokenOutput(TokenOutput):
    """An access token, this once with its secret."""

    model_config = ConfigDict(title="CreatedToken")

    token: Annotated[str, Field(description="For `Authorization: Bearer`; shown this once.")]


class TokenList(BaseModel):
    """All tokens, oldest first."""

    items: list[TokenOutput]
