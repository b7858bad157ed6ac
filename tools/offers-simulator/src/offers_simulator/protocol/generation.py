"""What the generations have in common: the interface they fill, and how a registration is read."""

from typing import Any, Final, Protocol

import msgspec

from offers_simulator.http.message import Request, Response
from offers_simulator.product_ids import is_uuid_like

FIELDS: Final = ("id", "name", "description")


class Generation(Protocol):
    """One documented Offers MS: each method answers one call as its documentation says."""

    def auth(self, bearer: str | None) -> Response:
        """`POST /auth`."""

    def register(self, bearer: str | None, request: Request, registration: "Registration") -> Response:
        """`POST /products/register`."""

    def offers(self, bearer: str | None, product_id: str) -> Response:
        """`GET /products/:id/offers`."""

    def not_found(self) -> Response:
        """A path that is not documented."""

    def method_not_allowed(self, allowed: str) -> Response:
        """A method that is not documented for the path."""


class Problem(msgspec.Struct, frozen=True):
    """What is wrong with one field of a registration; `field` is None where the whole body is."""

    field: str | None
    text: str


class Registration:
    """The body of `POST /products/register`, as far as it can be read."""

    def __init__(self, request: Request) -> None:
        self.content: Any = None
        self.readable = True
        try:
            self.content = msgspec.json.decode(request.body)
        except msgspec.DecodeError:
            self.readable = False
        fields = self.content if isinstance(self.content, dict) else {}
        product_id = fields.get("id")
        self.product_id: str | None = product_id.lower() if isinstance(product_id, str) else None
        """In lower case; None where there is no string."""

    def problems(self) -> list[Problem]:
        """Everything that breaks the documentation; empty for a good registration."""
        if not self.readable:
            return [Problem(None, "not valid JSON")]
        if not isinstance(self.content, dict):
            return [Problem(None, "not a JSON object")]
        found = []
        for name in FIELDS:
            if name not in self.content:
                found.append(Problem(name, "missing"))
            elif not isinstance(self.content[name], str):
                found.append(Problem(name, "not a string"))
        if self.product_id is not None and not is_uuid_like(self.product_id):
            found.append(Problem("id", "not a UUID"))
        return found


def is_json(request: Request) -> bool:
    """Whether the content type says JSON."""
    content_type = request.header(b"content-type") or ""
    return content_type.partition(";")[0].strip().lower() == "application/json"
