"""Generation 2, what runs today: short-lived JWTs for a refresh token, whose account the products belong to.

Parameters are validated before the token is looked at, and errors are `{"detail": …}`, as FastAPI does it.
"""

import hashlib
import hmac
import time
import uuid
from base64 import urlsafe_b64encode
from collections.abc import Iterable
from typing import Any, Final

import msgspec

from offers_simulator.accounts.accounts import Accounts
from offers_simulator.accounts.entries import TokenIssued
from offers_simulator.http.message import Request, Response, json_response
from offers_simulator.market.listings import Listings
from offers_simulator.product_ids import is_uuid_like
from offers_simulator.protocol.generation import Registration, is_json

_BAD_TOKEN: Final = json_response(401, {"detail": "Bad authentication"})


class Generation2:
    """One account, that of `refresh_token`; access tokens live `token_seconds` of wall time."""

    def __init__(self, accounts: Accounts, listings: Listings, refresh_token: str, token_seconds: int) -> None:
        self._accounts = accounts
        self._listings = listings
        self._refresh_token = refresh_token
        self._token_seconds = token_seconds
        tokens = (token for token in accounts.tokens() if token.owner == refresh_token)
        self._last_token = max(tokens, key=lambda token: token.issued_at, default=None)

    def auth(self, bearer: str | None) -> Response:
        """201 with a new access token; 400 while the last one is valid, 401 for another refresh token."""
        if bearer is None:
            return _invalid([(["header", "bearer"], "Field required", "missing")])
        if not hmac.compare_digest(bearer.encode(), self._refresh_token.encode()):
            return _BAD_TOKEN
        if self._is_valid(self._last_token):
            return json_response(400, {"detail": "Cannot generate access token because another is valid"})
        expires = int(time.time()) + self._token_seconds
        token = _jwt({"jti": str(uuid.uuid4()), "expires": expires}, self._refresh_token)
        self._accounts.issue(token, self._refresh_token, expires)
        self._last_token = self._accounts.token(token)
        return json_response(201, {"access_token": token})

    def register(self, bearer: str | None, request: Request, registration: Registration) -> Response:
        """201, 401, 409 or 422."""
        errors = [(["header", "bearer"], "Field required", "missing")] if bearer is None else []
        if not is_json(request):
            errors.append((["body"], "Input should be sent as application/json", "model_attributes_type"))
        else:
            for problem in registration.problems():
                place = ["body", problem.field] if problem.field else ["body"]
                errors.append((place, problem.text, "missing" if problem.text == "missing" else "value_error"))
        if errors:
            return _invalid(errors)
        if not self._accepts(bearer):
            return _BAD_TOKEN
        content = registration.content
        product_id = content["id"].lower()
        if product_id in self._accounts.products_of(self._refresh_token):
            return json_response(409, {"detail": "Product ID already registered"})
        self._accounts.register(self._refresh_token, product_id, content["name"], content["description"])
        return json_response(201, {"id": content["id"]})

    def offers(self, bearer: str | None, product_id: str) -> Response:
        """200, 401, 404 or 422."""
        if bearer is None:
            return _invalid([(["header", "bearer"], "Field required", "missing")])
        registered = product_id in self._accounts.products_of(self._refresh_token)
        if not registered and not is_uuid_like(product_id):
            return _invalid([(["path", "product_id"], "Input should be a valid UUID", "uuid_parsing")])
        if not self._accepts(bearer):
            return _BAD_TOKEN
        if not registered:
            return json_response(404, {"detail": "Product ID has not been registered"})
        return self._listings.current(product_id)

    def not_found(self) -> Response:
        """404."""
        return json_response(404, {"detail": "Not Found"})

    def method_not_allowed(self, allowed: str) -> Response:
        """405."""
        return json_response(405, {"detail": "Method Not Allowed"}, (("Allow", allowed),))

    def _accepts(self, bearer: str | None) -> bool:
        token = self._accounts.token(bearer) if bearer else None
        return token is not None and token.owner == self._refresh_token and self._is_valid(token)

    def _is_valid(self, token: TokenIssued | None) -> bool:
        return (
            token is not None
            and token.expires is not None
            and time.time() < token.expires
            and self._accounts.token(token.token) is not None  # not revoked since
        )


def _invalid(errors: Iterable[tuple[list[str], str, str]]) -> Response:
    return json_response(422, {"detail": [{"loc": place, "msg": text, "type": kind} for place, text, kind in errors]})


def _jwt(claims: dict[str, Any], secret: str) -> str:
    """A JSON Web Token signed with HMAC-SHA-256 (RFC 7519)."""
    signed = b".".join(_base64url(msgspec.json.encode(part)) for part in ({"alg": "HS256", "typ": "JWT"}, claims))
    signature = hmac.digest(secret.encode(), signed, hashlib.sha256)
    return (signed + b"." + _base64url(signature)).decode("ascii")


def _base64url(data: bytes) -> bytes:
    return urlsafe_b64encode(data).rstrip(b"=")
