"""What the Offers MS says about a product now: the walk, or exactly what somebody has set in its place."""

from offers_simulator.http.message import Response, json_response
from offers_simulator.market.clock import MarketClock
from offers_simulator.market.steady import steady_offers_at
from offers_simulator.market.walk import Offer, offers_at


class Listings:
    """Encoded answers by product id (in lower case). Walks are computed when asked for and kept until the tick ends.

    With `steady_offers`, every product has so many offers, whose prices all move at each tick, instead of a walk.
    """

    def __init__(self, clock: MarketClock, seed: int, *, uuid_like_ids: bool, steady_offers: int | None = None) -> None:
        self.clock = clock
        self._seed = seed
        self._steady_offers = steady_offers
        self._uuid_like_ids = uuid_like_ids
        self._walks: dict[str, tuple[int, Response]] = {}
        self._fixed: dict[str, Response] = {}

    def current(self, product_id: str) -> Response:
        """The answer to `GET /products/:id/offers` now."""
        return self.at(product_id, self.clock.tick())

    def at(self, product_id: str, tick: int) -> Response:
        """The answer at a tick: what was set, or the walk."""
        if self._fixed and (fixed := self._fixed.get(product_id)):
            return fixed
        walk = self._walks.get(product_id)
        if walk is None or walk[0] != tick:
            walk = self._walks[product_id] = (tick, json_response(200, self._offers_at(product_id, tick)))
        return walk[1]

    def _offers_at(self, product_id: str, tick: int) -> list[Offer]:
        if self._steady_offers is None:
            return offers_at(self._seed, product_id, tick, uuid_like=self._uuid_like_ids)
        return steady_offers_at(self._seed, product_id, tick, self._steady_offers, uuid_like=self._uuid_like_ids)

    def is_fixed(self, product_id: str) -> bool:
        """Whether its offers were set."""
        return product_id in self._fixed

    @property
    def fixed_count(self) -> int:
        """How many products have offers that were set."""
        return len(self._fixed)

    def fix(self, product_id: str, response: Response) -> None:
        """Say exactly this about the product from now on."""
        self._fixed[product_id] = response

    def release(self, product_id: str) -> bool:
        """Back to the walk; whether anything had been set."""
        return self._fixed.pop(product_id, None) is not None

    def release_all(self) -> int:
        """Every product back to the walk; how many had been set."""
        released = len(self._fixed)
        self._fixed.clear()
        return released
