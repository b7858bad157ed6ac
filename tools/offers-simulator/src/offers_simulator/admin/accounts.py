"""Who is registered with which token, and the tokens themselves."""

from offers_simulator.accounts.accounts import Accounts
from offers_simulator.admin.routing import Route, UnknownError, read_product_id
from offers_simulator.http.message import Request, Response, json_response


class AccountsAdmin:
    """Handlers for `/admin/products` and `/admin/tokens`."""

    def __init__(self, accounts: Accounts) -> None:
        self._accounts = accounts

    def routes(self) -> list[Route]:
        """What this class answers."""
        return [
            Route("GET", "/admin/products", self.products, "registered products with the token they are tied to"),
            Route("DELETE", "/admin/products/{product_id}", self.forget, "unregister a product: polls get a 404"),
            Route("GET", "/admin/tokens", self.tokens, "access tokens handed out"),
            Route("DELETE", "/admin/tokens/{token}", self.revoke, "revoke an access token: calls get a 401"),
        ]

    def products(self, _: Request) -> Response:
        """`token` is the refresh token in generation 2; a product is listed once for each token."""
        items = [
            {"id": product.id, "token": product.owner, "name": product.name, "registered_at": product.registered_at}
            for product in self._accounts.products()
        ]
        return json_response(200, {"count": len(items), "items": items})

    def forget(self, _: Request, product_id: str) -> Response:
        """404 where it is not registered."""
        product_id = read_product_id(product_id)
        if not self._accounts.forget(product_id):
            raise UnknownError(f"product {product_id} is not registered")
        return json_response(200, {"product_id": product_id, "registered": False})

    def tokens(self, _: Request) -> Response:
        """Oldest first, expired ones included, revoked ones not."""
        items = [
            {
                "token": token.token,
                "issued_at": token.issued_at,
                "expires": token.expires,
                "products": len(self._accounts.products_of(token.owner)),
            }
            for token in self._accounts.tokens()
        ]
        return json_response(200, {"count": len(items), "items": items})

    def revoke(self, _: Request, token: str) -> Response:
        """404 where it was not handed out."""
        if self._accounts.token(token) is None:
            raise UnknownError("there is no such token")
        self._accounts.revoke(token)
        return json_response(200, {"token": token, "revoked": True})
