"""The composition root: builds the simulator from its settings."""

from collections.abc import Callable

from offers_simulator.accounts.accounts import Accounts
from offers_simulator.accounts.journal import Journal
from offers_simulator.admin.api import AdminApi
from offers_simulator.faults.board import FaultBoard
from offers_simulator.http.message import Answer, Request
from offers_simulator.ledger import Ledger
from offers_simulator.market.clock import MarketClock
from offers_simulator.market.listings import Listings
from offers_simulator.protocol.generation import Generation
from offers_simulator.protocol.generation1 import Generation1
from offers_simulator.protocol.generation2 import Generation2
from offers_simulator.protocol.offers_ms import OffersMs
from offers_simulator.settings import Settings


def build(settings: Settings) -> Callable[[Request], Answer]:
    """The whole application: the Offers MS below the path prefix, and the admin API beside it.

    Raises:
        JournalError: the state file can't be used.
    """
    accounts = Accounts(Journal(settings.simulator_state) if settings.simulator_state else None)
    clock = MarketClock(settings.simulator_tick_seconds)
    listings = Listings(
        clock,
        settings.simulator_seed,
        uuid_like_ids=settings.generation == 2,  # noqa: PLR2004
        steady_offers=settings.simulator_steady_offers,
    )
    generation: Generation = (
        Generation1(accounts, listings)
        if settings.offers_refresh_token is None
        else Generation2(accounts, listings, settings.offers_refresh_token, settings.simulator_token_seconds)
    )
    faults, ledger = FaultBoard(), Ledger(settings.simulator_ledger_calls)
    offers_ms = OffersMs(settings.simulator_path_prefix, generation, accounts, faults, ledger)
    admin = AdminApi(
        {
            "generation": settings.generation,
            "path_prefix": settings.simulator_path_prefix,
            "seed": settings.simulator_seed,
            "state": str(settings.simulator_state) if settings.simulator_state else None,
        },
        accounts,
        listings,
        faults,
        ledger,
    )
    below = settings.simulator_path_prefix + "/"

    def application(request: Request) -> Answer:
        return offers_ms.answer(request) if request.path.startswith(below) else admin.answer(request)

    return application
