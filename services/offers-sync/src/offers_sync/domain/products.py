"""Products as this service knows them."""

from dataclasses import dataclass
from uuid import UUID


@dataclass(frozen=True, slots=True)
class Product:
    """What the Offers microservice is told about a product; `version` orders its changes."""

    product_id: UUID
    version: int
    name: str
    description: str


@dataclass(frozen=True, slots=True)
class DeletedProduct:
    """A product that is gone for good."""

    product_id: UUID
    version: int


@dataclass(eq=False, slots=True)
class ClaimedRegistration:
    """A pending product that this worker may register.

    Attributes:
        fence: grows with each claim of the product, by anyone.
        attempts: calls that failed since the product became pending.
        held_until: the monotonic moment at which the lease of the claim may have ended.
    """

    product: Product
    fence: int
    attempts: int
    held_until: float
