"""The Offers MS simulator, as its admin API shows it."""

from dataclasses import dataclass
from typing import Any

from devstack import loopback_http

Json = dict[str, Any]
Offers = dict[str, tuple[int, int]]


@dataclass(frozen=True)
class OffersMs:
    """The simulator at `origin`, asked past every proxy."""

    origin: str

    def admin(self, method: str, path: str, body: Any = None) -> Any:
        """One call of the admin API."""
        return loopback_http.call(method, f"{self.origin}/admin{path}", body)

    def freeze(self) -> None:
        """Let no price change any more."""
        self.admin("PATCH", "/clock", {"frozen": True})

    def thaw(self) -> None:
        """Let prices change again."""
        self.admin("PATCH", "/clock", {"frozen": False})

    def fault(self, kind: str, endpoint: str = "offers", **parameters: Any) -> None:
        """Misbehave until told otherwise."""
        self.admin("POST", "/faults", {"kind": kind, "endpoint": endpoint, **parameters})

    def behave(self) -> None:
        """End all misbehaviour."""
        self.admin("DELETE", "/faults")

    def registered(self) -> set[str]:
        """Ids of the products that it knows."""
        return {product["id"] for product in self.admin("GET", "/products")["items"]}

    def offers(self) -> dict[str, Offers]:
        """Price and stock of each offer of each product now."""
        return {
            product_id: {str(offer["id"]): (offer["price"], offer["items_in_stock"]) for offer in offers}
            for product_id, offers in self.admin("GET", "/offers")["offers"].items()
            if isinstance(offers, list)
        }

    def calls(self, endpoint: str, product: str | None = None) -> list[Json]:
        """The calls made to an endpoint, in order, about one product where that is given."""
        about = "" if product is None else f"&product={product}"
        calls: list[Json] = self.admin("GET", f"/ledger?endpoint={endpoint}&limit=1000000{about}")["calls"]
        return calls

    def tokens_used(self, endpoint: str) -> set[str]:
        """The tokens of the calls that were accepted."""
        return {call["token"] for call in self.calls(endpoint) if (call["status"] or 0) < 300 and call["token"]}
