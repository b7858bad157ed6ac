"""Trends and history: price-history answers, if it is known here that the product exists."""

import asyncio
from collections.abc import Awaitable, Coroutine
from functools import partial
from typing import Any, Final
from urllib.parse import quote
from uuid import UUID

from fastapi import APIRouter, Request
from fastapi.routing import APIRoute
from starlette.responses import Response, StreamingResponse

from catalog_api.clients.price_history import HistoryAnswer
from catalog_api.entrypoints.http.costly import may_stream_csv
from catalog_api.entrypoints.http.openapi import parameter, problem_responses
from catalog_api.entrypoints.http.routing import PRODUCT, ProductId, canonical_id
from catalog_api.entrypoints.http.schemas import ChangePage, Trend
from catalog_api.use_cases.catalog import Catalog
from http_api import straight_route

_TIME: Final = {"type": "string", "format": "date-time"}
_PERIOD: Final = (
    "^([0-9]{1,9}[mhdw]|P(?=.)([0-9]+Y)?([0-9]+M)?([0-9]+W)?([0-9]+D)?(T(?=.)([0-9]+H)?([0-9]+M)?([0-9]+S)?)?)$"
)
_RESOLUTION: Final = "^(raw|auto|[0-9]{1,9}[smhd])$"
_TREND: Final = [
    parameter(
        "period",
        "query",
        {"type": "string", "pattern": _PERIOD, "examples": ["24h", "P7D"]},
        "How far the trend reaches back: `<n>m|h|d|w`, or ISO 8601 such as `P7D`. Not together with `from`.",
    ),
    parameter("from", "query", _TIME, "RFC 3339; 24 h before `to` by default."),
    parameter("to", "query", _TIME, "RFC 3339; now by default."),
    parameter(
        "resolution",
        "query",
        {"type": "string", "pattern": _RESOLUTION, "default": "auto", "examples": ["raw", "auto", "5m"]},
        "`raw`: a point for each change; `<n>s|m|h|d`: one for each bucket; `auto`: at most 500 points.",
    ),
]
_BASIS: Final = parameter(
    "basis",
    "query",
    {"type": "string", "enum": ["best_in_stock", "best"], "default": "best_in_stock"},
    "The lowest price among the offers in stock, or among all.",
)
_HISTORY: Final = [
    parameter("from", "query", _TIME, "RFC 3339."),
    parameter("to", "query", _TIME, "RFC 3339; after `from`."),
    parameter("limit", "query", {"type": "integer", "minimum": 1, "maximum": 1000, "default": 500}, "JSON only."),
    parameter("cursor", "query", {"type": "string"}, "`next_cursor` of the page before. JSON only."),
]


def add_forwarding_routes(router: APIRouter, catalog: Catalog) -> None:
    """Add the routes. They check no query parameters: price-history does, in the same way."""

    async def forward(request: Request, product_id: UUID, rest: str) -> Response:
        query, accept = request.scope["query_string"], request.headers.get("accept")
        known = catalog.read.require(product_id)
        asking = partial(catalog.price_history.get, f"/products/{product_id}/{rest}", query, accept)
        if may_stream_csv(request.scope):
            # A stream that nobody is to read is not begun.
            await known
            answer = await asking()
        else:
            answer = await _meanwhile(asking(), known)
        if isinstance(answer.body, bytes):
            return Response(answer.body, answer.status, media_type=answer.content_type)
        return StreamingResponse(answer.body, answer.status, media_type=answer.content_type)

    def add(path: str, endpoint: Any, summary: str, parameters: list[dict[str, Any]], **described: Any) -> None:
        router.add_api_route(
            path,
            endpoint,
            openapi_extra={"parameters": parameters},
            summary=summary,
            operation_id=endpoint.__name__,
            tags=["prices"],
            **{"route_class_override": APIRoute, **described},
        )

    async def product_trend(request: Request, product_id: ProductId) -> Response:
        """The product's best price over a period."""
        return await forward(request, product_id, "trend")

    async def offer_trend(request: Request, product_id: ProductId, offer_id: str) -> Response:
        """One offer's price over a period. The offer's id is percent-encoded, slashes too."""
        return await forward(request, product_id, f"offers/{quote(offer_id, safe='')}/trend")

    async def product_history(request: Request, product_id: ProductId) -> Response:
        """Every recorded change, oldest first. `Accept: text/csv` streams the whole period as CSV."""
        return await forward(request, product_id, "history")

    problems = problem_responses(404, 422)
    csv = {200: {"content": {"text/csv": {"schema": {"type": "string"}}}}}
    add(
        f"{PRODUCT}/trend",
        product_trend,
        "Trend of a product's best price",
        [*_TREND, _BASIS],
        route_class_override=straight_route(_of_product),
        response_model=Trend,
        responses=problems,
    )
    add(
        f"{PRODUCT}/offers/{{offer_id:path}}/trend",
        offer_trend,
        "Trend of one offer's price",
        _TREND,
        response_model=Trend,
        responses=problems,
    )
    add(
        f"{PRODUCT}/history",
        product_history,
        "Every change of a product's offers",
        _HISTORY,
        response_model=ChangePage,
        responses=problems | csv,
    )


def _of_product(request: Request) -> dict[str, Any]:
    """The arguments of `product_trend`.

    Raises:
        ValueError: the id is none.
    """
    return {"request": request, "product_id": canonical_id(request.path_params["product_id"])}


async def _meanwhile(asking: Coroutine[Any, Any, HistoryAnswer], known: Awaitable[None]) -> HistoryAnswer:
    """The answer, unless `known` raises: a trend takes a quarter less when it waits for both at once."""
    asked = asyncio.create_task(asking)
    try:
        # First the question leaves, which has the longer way.
        await asyncio.sleep(0)
        await known
        return await asked
    except BaseException:
        asked.cancel()
        await asyncio.gather(asked, return_exceptions=True)
        raise
