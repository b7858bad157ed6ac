"""What HTTP reads: one product, a page of them, the offers of one. One statement each."""

from typing import Any, Final
from uuid import UUID

from catalog_api.db.columns import PRODUCT_COLUMNS, PRODUCT_TABLES
from catalog_api.db.database import Database
from catalog_api.domain.errors import ProductNotFoundError
from catalog_api.domain.offers import OfferList
from catalog_api.domain.pages import Page, Position, Query, SortField
from catalog_api.domain.product import Product

_BY_ID: Final = f"SELECT {PRODUCT_COLUMNS} FROM {PRODUCT_TABLES} WHERE p.id = $1"  # noqa: S608 - constants
_OFFERS: Final = "SELECT product_id, observed_at, offers FROM product_offers WHERE product_id = $1"
_EXISTS: Final = "SELECT 1 FROM products WHERE id = $1"
_IDS: Final = "SELECT id FROM products ORDER BY id LIMIT $1"

RARE: Final = 10_000
"""Up to so many matches a search finds them all by the words' index and sorts them; beyond, it walks the sort's index
and leaves out what does not match. Left to itself, PostgreSQL guesses that one product in 200 matches any prefix, and
walks 100,000 products (70 ms) to find a single one."""
_MATCHES: Final = (
    f"SELECT count(*) FROM (SELECT FROM products p WHERE p.search @@ $1::text::tsquery LIMIT {RARE + 1}) found"  # noqa: S608
)
_FOUND_FIRST: Final = (
    "(SELECT * FROM products WHERE search @@ $1::text::tsquery OFFSET 0) p JOIN product_offers o ON o.product_id = p.id"
)
"""The same tables; OFFSET 0 keeps the order and the position out of the search."""

_KEYS: Final = {
    SortField.CREATED_AT: ("p.created_at", "p.id", "timestamptz"),
    SortField.NAME: ("p.name", "p.id", "text"),
    SortField.BEST_PRICE: ("o.best_price", "o.product_id", "bigint"),
}
"""For each sort: the column, the tie breaker from the same index, and the column's type."""


class ProductReads:
    """Reads products as they are now."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def get(self, product_id: UUID) -> Product:
        """One product.

        Raises:
            ProductNotFoundError: there is none with this id.
        """
        async with self._database.reading() as connection:
            row = await connection.fetchrow(_BY_ID, product_id)
        if row is None:
            raise ProductNotFoundError(product_id)
        return Product(*row)

    async def require(self, product_id: UUID) -> None:
        """Nothing, if the product exists.

        Raises:
            ProductNotFoundError: it does not.
        """
        async with self._database.reading() as connection:
            if await connection.fetchval(_EXISTS, product_id) is None:
                raise ProductNotFoundError(product_id)

    async def ids(self, limit: int) -> list[UUID]:
        """The ids of at most `limit` products, the oldest first."""
        async with self._database.reading() as connection:
            return [row[0] for row in await connection.fetch(_IDS, limit)]

    async def offers(self, product_id: UUID) -> OfferList:
        """The offers of a product, cheapest first, then by id.

        Raises:
            ProductNotFoundError: there is no such product.
        """
        async with self._database.reading() as connection:
            row = await connection.fetchrow(_OFFERS, product_id)
        if row is None:
            raise ProductNotFoundError(product_id)
        return OfferList(*row)

    async def page(self, query: Query, limit: int) -> Page:
        """At most `limit` products after the query's position; each costs one step in the sort's own index."""
        rows: list[Any] = []
        async with self._database.reading() as connection:
            source = PRODUCT_TABLES
            if query.words and await connection.fetchval(_MATCHES, _tsquery(query)) <= RARE:
                source = _FOUND_FIRST
            for statement, parameters in _scans(query, source, limit + 1):
                rows += await connection.fetch(statement, *parameters)
                if len(rows) > limit:
                    break
        items = [Product(*row) for row in rows[:limit]]
        if len(rows) <= limit:
            return Page(items, None)
        last = items[-1]
        return Page(items, Query(query.sort, query.words, Position(query.sort.value_of(last), last.id)))


def _scans(query: Query, source: str, limit: int) -> list[tuple[str, list[Any]]]:
    """The statements whose rows, one after the other, answer the query, with their parameters.

    By price there are two, as products without a price come last in both directions, which no single scan of one
    index gives.
    """
    if query.sort.field is not SortField.BEST_PRICE:
        return [_scan(query, source, limit, query.after)]
    if query.after is not None and query.after.value is None:
        return [_scan(query, source, limit, query.after, "o.best_price IS NULL")]
    return [
        _scan(query, source, limit, query.after, "o.best_price IS NOT NULL"),
        _scan(query, source, limit, None, "o.best_price IS NULL"),
    ]


def _scan(query: Query, source: str, limit: int, after: Position | None, *conditions: str) -> tuple[str, list[Any]]:
    column, tie_breaker, column_type = _KEYS[query.sort.field]
    direction, beyond = ("DESC", "<") if query.sort.descending else ("ASC", ">")
    parameters: list[Any] = []

    def bind(value: Any, type_: str) -> str:
        parameters.append(value)
        return f"${len(parameters)}::{type_}"

    where = list(conditions)
    if query.words:
        where.append(f"p.search @@ {bind(_tsquery(query), 'text')}::tsquery")
    if after is not None and after.value is None:
        where.append(f"{tie_breaker} {beyond} {bind(after.product_id, 'uuid')}")
    elif after is not None:
        position = f"{bind(after.value, column_type)}, {bind(after.product_id, 'uuid')}"
        where.append(f"({column}, {tie_breaker}) {beyond} ({position})")
    # The limit is no parameter: a plan for any limit would be one for many rows.
    statement = (
        f"SELECT {PRODUCT_COLUMNS} FROM {source} WHERE {' AND '.join(where) or 'true'} "  # noqa: S608 - constants
        f"ORDER BY {column} {direction}, {tie_breaker} {direction} LIMIT {limit}"
    )
    return statement, parameters


def _tsquery(query: Query) -> str:
    return " & ".join(f"'{word}':*" for word in query.words)
