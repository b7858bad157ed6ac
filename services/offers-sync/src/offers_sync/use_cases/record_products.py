"""Takes in what the catalog says about products."""

import asyncio
from dataclasses import dataclass
from uuid import UUID

import structlog
from sqlalchemy.ext.asyncio import AsyncEngine

from offers_sync.db.engine import transaction
from offers_sync.db.products import bury_products, store_products
from offers_sync.domain.products import DeletedProduct, Product

_log = structlog.get_logger()

News = Product | DeletedProduct


@dataclass(frozen=True, slots=True)
class _Waiting:
    news: News
    stored: asyncio.Future[None]


class RecordProducts:
    """Stores news of products; what arrives while a transaction runs goes into the next one together.

    Duplicates, and news that are out of order, do no harm: versions decide, and a deletion is final.

    Args:
        engine: the database.
        nudge: set when products may have become pending.
    """

    def __init__(self, engine: AsyncEngine, nudge: asyncio.Event) -> None:
        self._engine = engine
        self._nudge = nudge
        self._waiting: list[_Waiting] = []
        self._storing: asyncio.Task[None] | None = None

    async def __call__(self, news: News) -> None:
        """Return when the news are committed.

        Raises:
            DatabaseUnavailableError: they may not be; say it again.
        """
        waiting = _Waiting(news, asyncio.get_running_loop().create_future())
        self._waiting.append(waiting)
        if self._storing is None:
            self._storing = asyncio.create_task(self._store_all())
        await waiting.stored

    async def _store_all(self) -> None:
        try:
            while self._waiting:
                batch, self._waiting = self._waiting, []
                await self._store_batch(batch)
        finally:
            self._storing = None

    async def _store_batch(self, batch: list[_Waiting]) -> None:
        error: Exception | None = None
        try:
            await self._store([waiting.news for waiting in batch])
        except Exception as raised:  # noqa: BLE001 - it is raised again where the news came from
            error = raised
        for waiting in batch:
            if waiting.stored.done():
                continue
            if error is None:
                waiting.stored.set_result(None)
            else:
                waiting.stored.set_exception(error)

    async def _store(self, batch: list[News]) -> None:
        newest: dict[UUID, Product] = {}
        deleted: dict[UUID, DeletedProduct] = {}
        for news in sorted(batch, key=lambda news: news.version):
            if isinstance(news, Product):
                newest[news.product_id] = news
            else:
                deleted[news.product_id] = news
        async with transaction(self._engine) as connection:
            await store_products(connection, list(newest.values()))
            await bury_products(connection, list(deleted.values()))
        self._nudge.set()
