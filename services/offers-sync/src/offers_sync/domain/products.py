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


@dataclass(frozen=True, slots=True)
class ClaimedRegistration:
    """A pending product that this worker may register until the lease of its claim ends."""

    product: Product
    fence: int
    attempts: int
