"""`GET /products`, `GET /products/{id}` and `GET /products/{id}/offers`."""

from typing import Annotated, Final

from fastapi import APIRouter, Query
from starlette.responses import Response

from catalog_api.domain import pages
from catalog_api.domain.errors import InvalidCursorError
from catalog_api.domain.pages import Sort
from catalog_api.domain.search import words
from catalog_api.entrypoints.http import cursors
from catalog_api.entrypoints.http.answers import offers_response, page_response, product_response
from catalog_api.entrypoints.http.openapi import ETAG, problem_responses
from catalog_api.entrypoints.http.routing import PRODUCT, PRODUCTS, ProductId
from catalog_api.entrypoints.http.schemas import OfferListOutput, ProductOutput, ProductPage
from catalog_api.use_cases.catalog import Catalog

QUERY_MAX: Final = 200
CURSOR_MAX: Final = 8000

Limit = Annotated[int, Query(ge=1, le=100, description="Products on a page.")]
Cursor = Annotated[
    str | None,
    Query(
        max_length=CURSOR_MAX,
        description="`next_cursor` of the page before. It carries the sort and the search, so these may be left out "
        "with it, or must be the same.",
    ),
]
Words = Annotated[
    str | None,
    Query(
        max_length=QUERY_MAX,
        description="Finds products that have every one of these words in their name or description, or a word that "
        "begins so. Case and accents do not count; what is no letter, digit or underscore separates words. Without a "
        "word in it, it finds every product.",
    ),
]
Order = Annotated[
    Sort | None,
    Query(
        description="`created_at` by default. `-` reverses. Names sort by code point; products without a price come "
        "last both ways; ties are broken by id.",
    ),
]


def add_reading_routes(router: APIRouter, catalog: Catalog) -> None:
    """Add the routes."""

    @router.get(
        PRODUCTS,
        response_model=ProductPage,
        responses=problem_responses(422),
        summary="List products",
        operation_id="list_products",
        tags=["products"],
    )
    async def list_products(limit: Limit = 50, cursor: Cursor = None, q: Words = None, sort: Order = None) -> Response:
        """A page of products. Each product that is there all the while is seen once, whatever happens to others."""
        return page_response(await catalog.read.page(_query(cursor, q, sort), limit))

    @router.get(
        PRODUCT,
        response_model=ProductOutput,
        responses={200: {"headers": ETAG}, **problem_responses(404, 422)},
        summary="Read a product",
        operation_id="read_product",
        tags=["products"],
    )
    async def read_product(product_id: ProductId) -> Response:
        """The ETag is for `If-Match` alone: the summary of offers moves without it."""
        return product_response(await catalog.read.get(product_id))

    @router.get(
        f"{PRODUCT}/offers",
        response_model=OfferListOutput,
        responses=problem_responses(404, 422),
        summary="List a product's offers",
        operation_id="list_offers",
        tags=["offers"],
    )
    async def list_offers(product_id: ProductId) -> Response:
        """Cheapest first, then by id; those out of stock are among them."""
        return offers_response(await catalog.read.offers(product_id))


def _query(cursor: str | None, q: str | None, sort: Sort | None) -> pages.Query:
    found = None if q is None else tuple(words(q))
    if cursor is None:
        return pages.Query(sort or Sort.CREATED_AT, found or (), None)
    query = cursors.decode(cursor)
    if sort not in {None, query.sort}:
        raise InvalidCursorError(f"belongs to sort={query.sort}")
    if found not in {None, query.words}:
        raise InvalidCursorError("belongs to another q")
    return query
