"""The three read paths."""

from datetime import UTC, datetime
from enum import Enum
from typing import Annotated, Any, Final
from uuid import UUID

from fastapi import APIRouter, Header, Path, Query, Request
from pydantic import TypeAdapter
from starlette.responses import Response

from http_api import API, straight_route
from price_history.domain.errors import DeletedProductError, UnknownProductError
from price_history.entrypoints.http import schemas
from price_history.entrypoints.http.answers import (
    CSV,
    KEPT_SINCE,
    history_csv_response,
    history_response,
    trend_response,
)
from price_history.entrypoints.http.media_types import prefers_csv
from price_history.entrypoints.http.openapi import PROBLEMS
from price_history.entrypoints.http.parameters import HistoryQuery, ProductTrendQuery, TrendQuery
from price_history.use_cases.read_history import EMPTY_PAGE, ReadHistory
from price_history.use_cases.read_trend import ReadTrend, trend_without_prices

_PRODUCT: Final = f"{API}/products/{{product_id}}"
_TAGS: Final[list[str | Enum]] = ["history"]

ProductId = Annotated[UUID, Path(description="The product's id.")]
OfferId = Annotated[str, Path(description="The Offers MS's id; a slash in it as `%2F`.")]
KnownElsewhere = Annotated[str, Header(alias="Product-Known", include_in_schema=False)]
"""catalog-api vouches for a product whose first event may not have arrived here yet."""

_product_id: Final = TypeAdapter(UUID).validate_python
_TREND_ANSWER: Final[dict[str, Any]] = {
    "model": schemas.Trend,
    "headers": {
        KEPT_SINCE: {
            "description": "Since when every single change is kept, where some were forgotten. What is told of the "
            "time before is made of rollups.",
            "schema": {"type": "string", "format": "date-time"},
        }
    },
}
_CSV_ANSWER: Final = {CSV: {"schema": {"type": "string"}, "example": "at,offer_id,price,items_in_stock\r\n"}}


def add_history_routes(router: APIRouter, read_trend: ReadTrend, read_history: ReadHistory) -> None:
    """Add the routes. To the application's own router: one that it includes looks for each route twice."""

    async def product_trend(
        product_id: ProductId, query: Annotated[ProductTrendQuery, Query()], known: KnownElsewhere = ""
    ) -> Response:
        """The trend of the product's best price."""
        asked = query.window(datetime.now(UTC))
        cut = query.cut(asked)
        try:
            trend = await read_trend.of_product(product_id, query.basis, asked, cut)
        except UnknownProductError as error:
            _must_be_vouched_for(error, known)
            trend = trend_without_prices(asked, cut)
        return trend_response(trend, product_id, None, query.basis)

    router.add_api_route(
        f"{_PRODUCT}/trend",
        product_trend,
        tags=_TAGS,
        responses=PROBLEMS | {200: _TREND_ANSWER},
        response_class=Response,
        route_class_override=straight_route(_product_trend_asked),
    )

    # An id may hold slashes, which arrive here decoded.
    @router.get(
        f"{_PRODUCT}/offers/{{offer_id:path}}/trend",
        tags=_TAGS,
        responses=PROBLEMS | {200: _TREND_ANSWER},
        response_class=Response,
    )
    async def offer_trend(product_id: ProductId, offer_id: OfferId, query: Annotated[TrendQuery, Query()]) -> Response:
        """The trend of one offer's price, whatever its stock."""
        asked = query.window(datetime.now(UTC))
        trend = await read_trend.of_offer(product_id, offer_id, asked, query.cut(asked))
        return trend_response(trend, product_id, offer_id, None)

    @router.get(
        f"{_PRODUCT}/history",
        tags=_TAGS,
        responses=PROBLEMS | {200: {"model": schemas.History, "content": _CSV_ANSWER}},
        response_class=Response,
    )
    async def history(
        product_id: ProductId,
        query: Annotated[HistoryQuery, Query()],
        accept: Annotated[str, Header(include_in_schema=False)] = "",
        known: KnownElsewhere = "",
    ) -> Response:
        """Every recorded change, oldest first; `Accept: text/csv` streams the whole period.

        An offer appeared, its price changed, its stock went to or from zero, or it ended.
        """
        as_csv = prefers_csv(accept)
        try:
            if as_csv:
                stream = read_history.stream(product_id, query.begin(), query.end())
                return history_csv_response(product_id, await anext(stream), stream)
            page = await read_history.page(product_id, query.position(), query.end(), query.limit)
        except UnknownProductError as error:
            _must_be_vouched_for(error, known)
            return history_csv_response(product_id, []) if as_csv else history_response(EMPTY_PAGE)
        return history_response(page)


def _product_trend_asked(request: Request) -> dict[str, Any]:
    """The arguments of `product_trend`.

    Raises:
        ValueError: they are not valid.
    """
    return {
        "product_id": _product_id(request.path_params["product_id"]),
        "query": ProductTrendQuery.model_validate(dict(request.query_params)),
        "known": request.headers.get("product-known", ""),
    }


def _must_be_vouched_for(error: UnknownProductError, known: str) -> None:
    """Pass on the error, unless another service knows that the product exists."""
    if known != "true" or isinstance(error, DeletedProductError):
        raise error
