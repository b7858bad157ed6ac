"""Generation 1, the specification: eternal tokens, and products tied to the token that registered them."""

import uuid
from typing import Final

from offers_simulator.accounts.accounts import Accounts
from offers_simulator.http.message import Request, Response, json_response
from offers_simulator.market.listings import Listings
from offers_simulator.product_ids import is_uuid_like
from offers_simulator.protocol.generation import Registration, is_json

CODES: Final = {400: "BAD_REQUEST", 401: "UNAUTHORIZED", 404: "NOT FOUND", 405: "METHOD NOT ALLOWED"}


def refusal(status: int, msg: str, headers: tuple[tuple[str, str], ...] = ()) -> Response:
    """A documented error: `{"code", "msg"}`."""
    return json_response(status, {"code": CODES[status], "msg": msg}, headers)


_UNAUTHORIZED: Final = refusal(401, "Access token is missing or invalid")


class Generation1:
    """Every `POST /auth` opens an account of its own, whose name is its token."""

    def __init__(self, accounts: Accounts, listings: Listings) -> None:
        self._accounts = accounts
        self._listings = listings

    def auth(self, bearer: str | None) -> Response:  # noqa: ARG002 - the documentation: no headers, no body
        """201 with a new token, every time."""
        token = str(uuid.uuid4())
        self._accounts.issue(token, owner=token)
        return json_response(201, {"access_token": token})

    def register(self, bearer: str | None, request: Request, registration: Registration) -> Response:
        """201, 400 or 401. Registering again under the same token changes name and description."""
        if not self._is_known(bearer):
            return _UNAUTHORIZED
        if not is_json(request):
            return refusal(400, "The content type must be application/json")
        if problems := registration.problems():
            return refusal(400, "; ".join(f"{problem.field or 'body'}: {problem.text}" for problem in problems))
        content = registration.content
        self._accounts.register(str(bearer), content["id"].lower(), content["name"], content["description"])
        return json_response(201, {"id": content["id"]})

    def offers(self, bearer: str | None, product_id: str) -> Response:
        """200, 400, 401 or 404; a product registered under another token is not found."""
        if bearer is None or not self._is_known(bearer):
            return _UNAUTHORIZED
        if product_id not in self._accounts.products_of(bearer):
            if not is_uuid_like(product_id):
                return refusal(400, "The product id is not a UUID")
            return refusal(404, "The product is not registered")
        return self._listings.current(product_id)

    def not_found(self) -> Response:
        """404."""
        return refusal(404, "There is no such path")

    def method_not_allowed(self, allowed: str) -> Response:
        """405."""
        return refusal(405, f"Only {allowed} is allowed here", (("Allow", allowed),))

    def _is_known(self, bearer: str | None) -> bool:
        token = self._accounts.token(bearer) if bearer else None
        return token is not None and token.expires is None
