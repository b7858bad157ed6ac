"""The ledger of calls: listed with filters, as one JSON object or as JSON lines, and cleared."""

import asyncio
from collections.abc import AsyncIterator
from typing import Final, Literal

import msgspec

from offers_simulator.admin.routing import Route, read_query
from offers_simulator.http.message import JSON, Request, Response, Stream, chunk, head, json_response
from offers_simulator.ledger import Ledger, Query

JSON_LINES: Final = "application/jsonl"


class LedgerQuery(Query, frozen=True, forbid_unknown_fields=True):
    """The parameters of `GET /admin/ledger`."""

    format: Literal["json", "jsonl"] = "json"


class LedgerAdmin:
    """Handlers for `/admin/ledger`."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    def routes(self) -> list[Route]:
        """What this class answers."""
        return [
            Route(
                "GET",
                "/admin/ledger",
                self.show,
                "calls, oldest first: ?endpoint= &product= &token= &status= &since=<index> &limit= &format=json|jsonl",
            ),
            Route("DELETE", "/admin/ledger", self.clear, "forget the calls; indexes go on"),
        ]

    def show(self, request: Request) -> Stream:
        """The calls up to now; `Ledger-Next` and `Ledger-Cut` are in the headers as well, for JSON lines."""
        query = read_query(request, LedgerQuery)
        if query.product:
            query = msgspec.structs.replace(query, product=query.product.lower())
        book = {"next": self._ledger.next_index, "first": self._ledger.first_index, "cut": self._ledger.cut}
        headers = tuple((f"Ledger-{name.title()}", str(value)) for name, value in book.items())
        if query.format == "jsonl":
            return Stream(head(200, JSON_LINES, None, headers), self._lines(query))
        return Stream(head(200, JSON, None, headers), self._object(query, book))

    def clear(self, _: Request) -> Response:
        """Says from which index the ledger goes on."""
        self._ledger.clear()
        return json_response(200, {"next": self._ledger.next_index})

    async def _lines(self, query: Query) -> AsyncIterator[bytes]:
        encoder = msgspec.json.Encoder()
        for calls in self._ledger.select(query):
            if calls:
                yield chunk(encoder.encode_lines(calls))
            await asyncio.sleep(0)  # polls go on meanwhile
        yield chunk(b"")

    async def _object(self, query: Query, book: dict[str, int]) -> AsyncIterator[bytes]:
        encoder = msgspec.json.Encoder()
        yield chunk(encoder.encode(book)[:-1] + b',"calls":[')
        separator = b""
        for calls in self._ledger.select(query):
            if calls:
                yield chunk(separator + encoder.encode(calls)[1:-1])
                separator = b","
            await asyncio.sleep(0)
        yield chunk(b"]}") + chunk(b"")
