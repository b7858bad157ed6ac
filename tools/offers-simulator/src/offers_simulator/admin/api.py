"""The admin API, JSON over HTTP beside the Offers MS. `GET /admin` lists it, with the state of the simulator.

What people and tests need most::

    A=http://127.0.0.1:8010/admin
    curl -X PUT   $A/products/$ID/offers -d '[{"id": 1, "price": 1000, "items_in_stock": 5}]'   # exactly this
    curl -X DELETE $A/products/$ID/offers                                                      # back to the walk
    curl -X PATCH $A/clock  -d '{"frozen": true, "advance_ticks": 1}'
    curl -X POST  $A/faults -d '{"kind": "status", "endpoint": "offers", "status": 503, "retry_after": 2, "times": 3}'
    curl -X POST  $A/faults -d '{"kind": "drip", "endpoint": "offers", "product": "'$ID'"}'
    curl -X DELETE $A/faults
    curl "$A/ledger?endpoint=register&format=jsonl"
    curl -X POST  $A/reset

A fault has `endpoint` (`auth`, `register`, `offers`, `*`), and optionally `product` (one product's calls only), `times`
(so many calls; without it: until cleared) and `delay_seconds`. A call meets one fault: the oldest of those set for its
product, else the oldest of those set for its endpoint, so faults with `times` play one after another. The kinds are the
classes in `faults/kinds.py` and `faults/list_kinds.py`; the README has them as a table.

Unknown fields, kinds and parameters are refused with 400 and `{"error": …}` that names them, unknown paths and objects
with 404, wrong methods with 405. Faults, set offers, clock and ledger end with the process; tokens and registrations
are kept where `SIMULATOR_STATE` says.
"""

from typing import Any

from offers_simulator.accounts.accounts import Accounts
from offers_simulator.admin.accounts import AccountsAdmin
from offers_simulator.admin.clock import ClockAdmin
from offers_simulator.admin.faults import FaultsAdmin
from offers_simulator.admin.health import HealthAdmin
from offers_simulator.admin.ledger import LedgerAdmin
from offers_simulator.admin.offers import OffersAdmin
from offers_simulator.admin.routing import Route, Routes
from offers_simulator.faults.board import FaultBoard
from offers_simulator.http.message import Answer, Request, Response, json_response
from offers_simulator.ledger import Ledger
from offers_simulator.market.listings import Listings


class AdminApi:
    """Everything that is not the Offers MS itself. `settings` is what `GET /admin` shows of how it was started."""

    def __init__(
        self, settings: dict[str, Any], accounts: Accounts, listings: Listings, faults: FaultBoard, ledger: Ledger
    ) -> None:
        self._settings = settings
        self._accounts = accounts
        self._listings = listings
        self._faults = faults
        self._ledger = ledger
        self._clock = ClockAdmin(listings.clock)
        self._routes = Routes(
            [
                Route("GET", "/", self.show, "what this is, and the list of paths"),
                Route("GET", "/admin", self.show, "the same"),
                Route("POST", "/admin/reset", self.reset, "no faults, no set offers, a running clock, an empty ledger"),
                *self._clock.routes(),
                *AccountsAdmin(accounts).routes(),
                *OffersAdmin(accounts, listings).routes(),
                *FaultsAdmin(faults).routes(),
                *LedgerAdmin(ledger).routes(),
                *HealthAdmin(accounts, ledger).routes(),
            ]
        )

    def answer(self, request: Request) -> Answer:
        """The answer to one admin or health call."""
        return self._routes.answer(request)

    def show(self, _: Request) -> Response:
        """State and paths."""
        return json_response(
            200,
            {
                "what": "A simulated Offers MS. It speaks the documented protocol, and misbehaves when it is told to.",
                **self._settings,
                "clock": self._clock.state(),
                "registered_products": self._accounts.product_count,
                "products_with_set_offers": self._listings.fixed_count,
                "faults": len(self._faults.active()),
                "ledger": {"first": self._ledger.first_index, "next": self._ledger.next_index, "cut": self._ledger.cut},
                "paths": {f"{route.method} {route.path}": route.summary for route in self._routes.routes},
            },
        )

    def reset(self, request: Request) -> Response:
        """Back to good behaviour at the wall clock's tick; tokens and registered products stay."""
        self._faults.clear()
        self._listings.release_all()
        self._listings.clock.reset()
        self._ledger.clear()
        return self.show(request)
