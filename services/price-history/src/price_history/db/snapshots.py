"""What is known of the products recorded last, so that recording their next lists needs not read it."""

from collections import OrderedDict
from collections.abc import Iterable, Sequence
from uuid import UUID

from price_history.domain.recording import KnownProduct


class Snapshots:
    """The latest states of at most `capacity` products, as this process has stored them; some 500 bytes for each.

    Another process may have stored later ones: whoever stores on their ground must make sure that they still hold.
    """

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        # By the id's number, as an id takes ten times as long to be hashed.
        self._products: OrderedDict[int, KnownProduct] = OrderedDict()

    def of(self, ids: Sequence[UUID]) -> list[KnownProduct] | None:
        """These products, or None unless all of them are here."""
        products = [product for product_id in ids if (product := self._products.get(product_id.int)) is not None]
        return products if len(products) == len(ids) else None

    def put(self, products: Iterable[KnownProduct]) -> None:
        """Keep these, and forget those that were put longest ago beyond the capacity."""
        for product in products:
            key = product.product_id.int
            self._products[key] = product
            self._products.move_to_end(key)
        while len(self._products) > self._capacity:
            self._products.popitem(last=False)

    def clear(self) -> None:
        """Forget all: it may not be what is stored."""
        self._products.clear()
