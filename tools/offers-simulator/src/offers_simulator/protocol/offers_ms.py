"""The front of the Offers MS: finds the endpoint, lets it answer or misbehave, and writes the call into the ledger."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Final, NamedTuple

from offers_simulator.accounts.accounts import Accounts
from offers_simulator.faults.board import FaultBoard
from offers_simulator.http.message import Answer, Request, Response
from offers_simulator.ledger import Ledger, Outcome
from offers_simulator.protocol.generation import Generation, Registration

LONGEST_TEXT: Final = 500
"""What the ledger keeps of a token or product id that is not ours: junk must not fill the memory."""
_PRODUCTS: Final = "/products/"
_OFFERS: Final = "/offers"


class Endpoint(NamedTuple):
    """What a path leads to; `truth` carries the call out and gives the documented answer."""

    name: str
    method: str
    product_id: str | None
    truth: Callable[[], Response]


@dataclass(frozen=True, slots=True)
class OffersMs:
    """Answers everything below the path prefix."""

    path_prefix: str
    generation: Generation
    accounts: Accounts
    faults: FaultBoard
    ledger: Ledger

    def answer(self, request: Request) -> Answer:
        """The answer to one call."""
        at = time.time()
        bearer = request.header(b"bearer")
        endpoint = self._endpoint(request, bearer)
        fault = None
        answer: Answer
        if request.method != endpoint.method:
            answer = self.generation.method_not_allowed(endpoint.method)
        elif self.faults and (active := self.faults.take(endpoint.name, endpoint.product_id)):
            fault = active.kind
            answer = active.fault.answer(endpoint.truth)
        else:
            answer = endpoint.truth()
        self._write_down(at, Outcome(request.method, endpoint.name, answer.status, fault), endpoint.product_id, bearer)
        return answer

    def _endpoint(self, request: Request, bearer: str | None) -> Endpoint:
        path = request.path[len(self.path_prefix) :]
        if path.startswith(_PRODUCTS) and path.endswith(_OFFERS):
            product_id = path[len(_PRODUCTS) : -len(_OFFERS)].lower()
            if product_id and "/" not in product_id:
                return Endpoint("offers", "GET", product_id, partial(self.generation.offers, bearer, product_id))
        elif path == "/products/register":
            registration = Registration(request)
            register = partial(self.generation.register, bearer, request, registration)
            return Endpoint("register", "POST", registration.product_id, register)
        elif path == "/auth":
            return Endpoint("auth", "POST", None, partial(self.generation.auth, bearer))
        return Endpoint("other", request.method, None, self.generation.not_found)

    def _write_down(self, at: float, outcome: Outcome, product_id: str | None, bearer: str | None) -> None:
        """Record the call with the strings that the accounts hold anyway, where they know them."""
        token = self.accounts.token(bearer) if bearer else None
        if token is None:
            self.ledger.record(at, outcome, product_id and product_id[:LONGEST_TEXT], bearer and bearer[:LONGEST_TEXT])
            return
        product = self.accounts.products_of(token.owner).get(product_id) if product_id else None
        known_id = product.id if product else product_id and product_id[:LONGEST_TEXT]
        self.ledger.record(at, outcome, known_id, token.token)
