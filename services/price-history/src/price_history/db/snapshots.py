"""What is known of the products recorded last, so that recording their next lists needs not read it."""

from collections import OrderedDict
from collections.abc import Iterable, Sequence
from typing import Any
from uuid import UUID

from price_history.db.packing import unpack_known
from price_history.domain.recording import KnownProduct


class Snapshots:
    """The latest states of at most `capacity` products, as this process has stored them; some 500 bytes for each.

    Another process may have stored later ones: whoever stores on their ground must make sure that they still hold.
    """

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        # With the offers packed, which take a third of the memory so, and nothing of the garbage collector's time.
        self._rows: OrderedDict[UUID, tuple[Any, ...]] = OrderedDict()

    def of(self, ids: Sequence[UUID]) -> list[KnownProduct] | None:
        """These products, or None unless all of them are here."""
        rows = [row for product_id in ids if (row := self._rows.get(product_id)) is not None]
        if len(rows) < len(ids):
            return None
        return [KnownProduct._make((*row[:-1], unpack_known(row[-1]))) for row in rows]

    def put(self, products: Iterable[KnownProduct], packed_offers: Iterable[bytes]) -> None:
        """Keep these, with the offers of each as `pack_known` packs them; beyond the capacity forget the oldest."""
        for known, packed in zip(products, packed_offers, strict=True):
            self._rows[known.product_id] = (*known[:-1], packed)
            self._rows.move_to_end(known.product_id)
        while len(self._rows) > self._capacity:
            self._rows.popitem(last=False)

    def clear(self) -> None:
        """Forget all: it may not be what is stored."""
        self._rows.clear()
