"""The Offers microservice's protocol, both generations: its calls, and what its answers mean."""

import json
import time
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, Final
from uuid import UUID

import msgspec
from yarl import URL

from offers_sync import metrics
from offers_sync.domain.access_token import expiry_claim, is_token
from offers_sync.domain.answers import (
    BadAnswer,
    Failure,
    Granted,
    Listed,
    NotRegistered,
    PollAnswer,
    Refused,
    Registered,
    RegistrationAnswer,
    SameBody,
    StillValid,
    Throttled,
    TokenAnswer,
    TokenRejected,
    Unavailable,
)
from offers_sync.domain.offers import BadListError, digest_of, parse_offer_list
from offers_sync.domain.products import Product
from offers_sync.offers_ms.http import HttpCaller, Response

TOKEN_HEADER: Final = "Bearer"  # noqa: S105 - a name
MAX_REASON_LENGTH: Final = 500
DATE_RESOLUTION_SECONDS: Final = 1.0
"""The header Date has whole seconds, so that much later it may have been."""


class OffersClient:
    """Calls the Offers microservice at `base_url`, its path prefix included."""

    def __init__(self, http: HttpCaller, base_url: str) -> None:
        self._http = http
        self._auth_url = URL(f"{base_url}/auth")
        self._register_url = URL(f"{base_url}/products/register")
        self._products_url = self._register_url.parent
        self._products_path = f"{self._products_url.raw_path}/"

    async def offers(self, token: str, product_id: UUID, known_body: bytes | None = None) -> PollAnswer:
        """The product's offers now; `known_body` is the digest of a body that need not be read again."""
        # Of all ways to make a URL by far the cheapest.
        url = self._products_url.with_path(f"{self._products_path}{product_id}/offers", encoded=True)
        response = await self._http.call("GET", url, {TOKEN_HEADER: token})
        answer = _poll_answer(response, known_body)
        if isinstance(answer, BadAnswer):
            metrics.bad_answers.labels("offers", answer.reason).inc()
        return answer

    async def register(self, token: str, product: Product) -> RegistrationAnswer:
        """Register a product under our own id; doing so again does no harm."""
        body = {"id": str(product.product_id), "name": product.name, "description": product.description}
        response = await self._http.call(
            "POST",
            self._register_url,
            {TOKEN_HEADER: token, "Content-Type": "application/json"},
            json.dumps(body).encode(),
        )
        answer = _registration_answer(response, token)
        if isinstance(answer, BadAnswer):
            metrics.bad_answers.labels("register", answer.reason).inc()
        return answer

    async def authenticate(self, refresh_token: str | None) -> TokenAnswer:
        """Ask for an access token; generation 1 asks with nothing, generation 2 with the refresh token."""
        headers = {} if refresh_token is None else {TOKEN_HEADER: refresh_token}
        answer = _token_answer(await self._http.call("POST", self._auth_url, headers))
        if isinstance(answer, BadAnswer):
            metrics.bad_answers.labels("auth", answer.reason).inc()
        return answer


def _poll_answer(response: Response | Unavailable | BadAnswer, known_body: bytes | None) -> PollAnswer:
    if not isinstance(response, Response):
        return response
    match response.status:
        case 200:
            return _list_answer(response, known_body)
        case 404:
            return NotRegistered()
    return _failure(response)


def _list_answer(response: Response, known_body: bytes | None) -> Listed | SameBody | BadAnswer:
    if not response.is_json:
        return BadAnswer("content_type")
    body_digest = digest_of(response.body)
    if body_digest == known_body:
        return SameBody()
    try:
        return Listed(parse_offer_list(response.body, body_digest))
    except BadListError as error:
        return BadAnswer(str(error).replace(" ", "_"))


def _registration_answer(response: Response | Unavailable | BadAnswer, token: str) -> RegistrationAnswer:
    if not isinstance(response, Response):
        return response
    match response.status:
        case 201 | 409:
            return Registered()
        case status if 200 <= status < 300 and response.is_json:  # noqa: PLR2004
            return Registered()
        case 400 | 422:
            return Refused(_reason(response, token))
    return _failure(response)


def _token_answer(response: Response | Unavailable | BadAnswer) -> TokenAnswer:
    if not isinstance(response, Response):
        return response
    if 200 <= response.status < 300:  # noqa: PLR2004
        token = _json_field(response, "access_token")
        return Granted(token, _lifetime(token, response)) if is_token(token) else BadAnswer("no_token")
    if response.status == 400:  # noqa: PLR2004
        return StillValid()
    return _failure(response)


def _failure(response: Response) -> Failure:
    status = response.status
    if status == 401:  # noqa: PLR2004
        return TokenRejected()
    if status == 429:  # noqa: PLR2004
        return Throttled(_retry_after(response))
    if status >= 500:  # noqa: PLR2004
        return Unavailable(f"status_{status}", _retry_after(response))
    return BadAnswer(f"status_{status}")


def _reason(response: Response, token: str) -> str:
    """Why a product was refused: the status, and the server's own words where it has any.

    The reason is published, so words that repeat the token do so without it.
    """
    words = _json_field(response, "msg") or _json_field(response, "detail")
    text = words if isinstance(words, str) else json.dumps(words) if words else ""
    return f"{response.status} {text}".strip().replace("\x00", "").replace(token, "…")[:MAX_REASON_LENGTH]


def _json_field(response: Response, name: str) -> Any:
    try:
        document = msgspec.json.decode(response.body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    return document.get(name) if isinstance(document, dict) else None


def _retry_after(response: Response) -> float | None:
    """Seconds, from either form of the header (RFC 9110, 10.2.3)."""
    value = response.headers.get("Retry-After", "")
    if value.isascii() and value.isdigit():
        return float(value[:9])
    at = _http_date(value)
    return None if at is None else max(at - _server_time(response), 0.0)


def _lifetime(token: str, response: Response) -> float | None:
    """How long the token lives at least, by the server's own clock, so that ours does not matter."""
    expires = expiry_claim(token)
    return None if expires is None else max(expires - _server_time(response) - DATE_RESOLUTION_SECONDS, 0.0)


def _server_time(response: Response) -> float:
    at = _http_date(response.headers.get("Date", ""))
    return time.time() if at is None else at


def _http_date(value: str) -> float | None:
    try:
        moment: datetime = parsedate_to_datetime(value)
    except ValueError:
        return None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
