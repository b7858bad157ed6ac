"""The one place that says which of the catalog's errors is which HTTP status."""

from collections.abc import Mapping
from typing import Final

from catalog_api.domain.errors import (
    AlertNotFoundError,
    DatabaseUnavailableError,
    DeliveryNotFoundError,
    IdempotencyKeyInFlightError,
    IdempotencyKeyReusedError,
    InvalidCursorError,
    LogUnavailableError,
    PriceHistoryUnavailableError,
    ProductNotFoundError,
    TargetRefusedError,
    TokenNotFoundError,
    TooManyAlertsError,
    TooManyWebhooksError,
    UnknownReferenceError,
    VersionMismatchError,
    WebhookDisabledError,
    WebhookInUseError,
    WebhookNotFoundError,
)
from catalog_api.domain.webhooks import MOST_WEBHOOKS
from http_api import Answer, fixed, problem_response, unavailable

ANSWERS: Final[Mapping[type[Exception], Answer]] = {
    ProductNotFoundError: lambda _, error: problem_response(404, f"There is no product {error.product_id}."),
    TokenNotFoundError: lambda _, error: problem_response(404, f"There is no token {error.token_id} to revoke."),
    WebhookNotFoundError: lambda _, error: problem_response(404, f"There is no webhook {error.webhook_id}."),
    DeliveryNotFoundError: lambda _, error: problem_response(
        404, f"The webhook has no delivery {error.delivery_id}, or none any more."
    ),
    TargetRefusedError: lambda _, error: problem_response(
        422, "The body is not valid.", [{"pointer": "/url", "detail": error.reason}]
    ),
    WebhookDisabledError: fixed(409, "The webhook is disabled: it is sent nothing."),
    WebhookInUseError: fixed(409, "Alerts are told to this webhook: delete them first, or give them another."),
    TooManyWebhooksError: fixed(409, f"There are {MOST_WEBHOOKS} webhooks, which is as many as there may be."),
    AlertNotFoundError: lambda _, error: problem_response(404, f"There is no alert {error.alert_id}."),
    UnknownReferenceError: lambda _, error: problem_response(
        422, "The body is not valid.", [{"pointer": f"/{error.field}", "detail": "is not there"}]
    ),
    TooManyAlertsError: lambda _, error: problem_response(
        409,
        f"There are {error.limit} alerts{' on all products' if error.on_all else ''}, as many as there may be.",
    ),
    VersionMismatchError: lambda _, error: problem_response(
        412, f"The product is at version {error.version}, which If-Match does not name."
    ),
    InvalidCursorError: lambda _, error: problem_response(
        422, "The request is not valid.", [{"pointer": "/query/cursor", "detail": str(error)}]
    ),
    IdempotencyKeyReusedError: fixed(422, "This Idempotency-Key was used with another request."),
    IdempotencyKeyInFlightError: lambda _, __: problem_response(
        409, "The first request with this Idempotency-Key is still being handled.", headers={"Retry-After": "1"}
    ),
    DatabaseUnavailableError: unavailable("the database"),
    PriceHistoryUnavailableError: unavailable("price-history"),
    LogUnavailableError: unavailable("the log of events"),
}
