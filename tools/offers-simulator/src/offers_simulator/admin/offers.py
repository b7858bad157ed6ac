"""Offers: the truth now, and exact offers in place of the walk."""

import asyncio
from base64 import b64encode
from collections.abc import AsyncIterator

import msgspec

from offers_simulator.accounts.accounts import Accounts
from offers_simulator.admin.routing import BadRequestError, Route, UnknownError, read_body, read_product_id
from offers_simulator.http.message import JSON, Request, Response, Stream, chunk, head, json_response
from offers_simulator.market.listings import Listings

_BATCH = 200
_read_any_json = msgspec.json.Decoder(msgspec.Raw).decode
_read_many = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode


class OffersAdmin:
    """Handlers for `/admin/products/{id}/offers` and `/admin/offers`."""

    def __init__(self, accounts: Accounts, listings: Listings) -> None:
        self._accounts = accounts
        self._listings = listings

    def routes(self) -> list[Route]:
        """What this class answers."""
        one, every = "/admin/products/{product_id}/offers", "/admin/offers"
        return [
            Route("GET", one, self.show, "the truth now about one product, faults aside"),
            Route("PUT", one, self.fix, "serve exactly this JSON value from now on"),
            Route("PUT", one + "/raw", self.fix_raw, "serve exactly these bytes, under the request's content type"),
            Route("DELETE", one, self.release, "back to the walk"),
            Route("GET", every, self.show_all, "the truth about every registered product at one tick, streamed"),
            Route("PUT", every, self.fix_many, "the same as PUT for many products: {product id: JSON value}"),
            Route("DELETE", every, self.release_all, "every product back to the walk"),
        ]

    def show(self, _: Request, product_id: str) -> Response:
        """What a call would be answered that meets no fault."""
        product_id = read_product_id(product_id)
        tick = self._listings.clock.tick()
        response = self._listings.at(product_id, tick)
        offers = _as_json(response)
        return json_response(
            200,
            {
                "product_id": product_id,
                "registered": self._accounts.is_registered(product_id),
                "tick": tick,
                "source": "set" if self._listings.is_fixed(product_id) else "walk",
                "offers": None if offers is None else msgspec.Raw(offers),
                "base64": b64encode(response.body).decode() if offers is None else None,
            },
        )

    def fix(self, request: Request, product_id: str) -> Response:
        """Any JSON value, served byte for byte."""
        product_id = read_product_id(product_id)
        read_body(request, _read_any_json)
        self._listings.fix(product_id, Response(200, request.body))
        return json_response(200, {"product_id": product_id, "source": "set"})

    def fix_raw(self, request: Request, product_id: str) -> Response:
        """Any bytes."""
        product_id = read_product_id(product_id)
        content_type = request.header(b"content-type") or JSON
        self._listings.fix(product_id, Response(200, request.body, content_type))
        return json_response(200, {"product_id": product_id, "source": "set", "content_type": content_type})

    def fix_many(self, request: Request) -> Response:
        """All of them, or none when an id is malformed."""
        values = {read_product_id(text): value for text, value in read_body(request, _read_many).items()}
        for product_id, value in values.items():
            self._listings.fix(product_id, Response(200, bytes(value)))
        return json_response(200, {"set": len(values)})

    def release(self, _: Request, product_id: str) -> Response:
        """404 where nothing was set."""
        product_id = read_product_id(product_id)
        if not self._listings.release(product_id):
            raise UnknownError(f"no offers were set for product {product_id}")
        return json_response(200, {"product_id": product_id, "source": "walk"})

    def release_all(self, _: Request) -> Response:
        """Says how many were set."""
        return json_response(200, {"released": self._listings.release_all()})

    def show_all(self, request: Request) -> Stream:
        """`{"tick", "offers": {product id: JSON value, or null for bytes that are no JSON}}`."""
        if request.query:
            raise BadRequestError("query string: takes no parameters")
        tick = self._listings.clock.tick()
        product_ids = list(dict.fromkeys(product.id for product in self._accounts.products()))
        return Stream(head(200, JSON, None), self._all_pieces(tick, product_ids))

    async def _all_pieces(self, tick: int, product_ids: list[str]) -> AsyncIterator[bytes]:
        yield chunk(b'{"tick":%d,"offers":{' % tick)
        for start in range(0, len(product_ids), _BATCH):
            rows = (
                b'"%s":%s' % (product_id.encode(), _as_json(self._listings.at(product_id, tick)) or b"null")
                for product_id in product_ids[start : start + _BATCH]
            )
            yield chunk((b",\n" if start else b"\n") + b",\n".join(rows))
            await asyncio.sleep(0)  # polls go on meanwhile
        yield chunk(b"\n}}") + chunk(b"")


def _as_json(response: Response) -> bytes | None:
    """The body where it is JSON, else None."""
    try:
        _read_any_json(response.body)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
    return response.body
