"""An Offers MS that speaks the documented protocol of the first generation, and nothing else.

It shares no code with the system or its simulator, so that a misreading of the documentation on both sides is found.
It runs in a thread of its own and writes down every call.
"""

import asyncio
import json
import threading
import time
from collections import defaultdict
from dataclasses import dataclass
from uuid import uuid4

from aiohttp import web


@dataclass(frozen=True)
class Call:
    """One call that was answered."""

    at: float
    endpoint: str
    token: str | None
    product_id: str | None
    status: int


def _error(status: int, code: str, text: str) -> web.Response:
    return web.json_response({"code": code, "msg": text}, status=status)


class DocumentedOffersMs:
    """`POST /auth`, `POST /products/register`, `GET /products/:id/offers`."""

    def __init__(self, host: str = "127.0.0.1") -> None:
        self._host = host
        self.calls: list[Call] = []
        self.tokens: list[str] = []
        self.products: dict[str, str] = {}
        self.offers: defaultdict[str, list[dict[str, object]]] = defaultdict(list)
        self.base_url = ""
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)

    def start(self) -> None:
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self._serve(), self._loop).result(10)

    def stop(self) -> None:
        asyncio.run_coroutine_threadsafe(self._runner.cleanup(), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    def calls_to(self, endpoint: str, product_id: str | None = None) -> list[Call]:
        return [c for c in list(self.calls) if c.endpoint == endpoint and product_id in (None, c.product_id)]

    async def _serve(self) -> None:
        app = web.Application()
        app.router.add_post("/api/v1/auth", self._auth)
        app.router.add_post("/api/v1/products/register", self._register)
        app.router.add_get("/api/v1/products/{id}/offers", self._offers)
        self._runner = web.AppRunner(app, access_log=None)
        await self._runner.setup()
        site = web.TCPSite(self._runner, self._host, 0)
        await site.start()
        host, port = self._runner.addresses[0][:2]
        self.base_url = f"http://{host}:{port}/api/v1"

    def _note(self, request: web.Request, endpoint: str, product_id: str | None, answer: web.Response) -> web.Response:
        self.calls.append(Call(time.monotonic(), endpoint, request.headers.get("Bearer"), product_id, answer.status))
        return answer

    async def _auth(self, request: web.Request) -> web.Response:
        token = str(uuid4())
        self.tokens.append(token)
        return self._note(request, "auth", None, web.json_response({"access_token": token}, status=201))

    async def _register(self, request: web.Request) -> web.Response:
        token = request.headers.get("Bearer")
        if token not in self.tokens:
            return self._note(request, "register", None, _error(401, "UNAUTHORIZED", "Access token is not valid"))
        try:
            product = json.loads(await request.read())
            product_id = product["id"]
            acceptable = all(isinstance(product[name], str) for name in ("id", "name", "description"))
        except (ValueError, KeyError, TypeError):
            return self._note(request, "register", None, _error(400, "BAD_REQUEST", "Not a product"))
        if not acceptable or product["name"].startswith("refuse"):
            return self._note(request, "register", product_id, _error(400, "BAD_REQUEST", "Refused by name"))
        self.products[product_id] = token
        return self._note(request, "register", product_id, web.json_response({"id": product_id}, status=201))

    async def _offers(self, request: web.Request) -> web.Response:
        product_id = request.match_info["id"]
        if request.headers.get("Bearer") not in self.tokens:
            return self._note(request, "offers", product_id, _error(401, "UNAUTHORIZED", "Access token is not valid"))
        if self.products.get(product_id) != request.headers["Bearer"]:
            return self._note(request, "offers", product_id, _error(404, "NOT FOUND", "No such product"))
        return self._note(request, "offers", product_id, web.json_response(self.offers[product_id]))
