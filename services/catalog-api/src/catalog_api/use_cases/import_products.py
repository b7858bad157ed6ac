"""Creates products from the rows of a file, in batches, leaving out the rows that are refused."""

from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass
from itertools import islice
from typing import Final

import msgspec

from catalog_api.domain.product import ProductText, checked_description, checked_name
from catalog_api.use_cases.create_products import CreateProducts

BATCH: Final = 2000
"""Rows in a transaction: larger ones are no faster, and hold back readers of the outbox for longer."""


class Row(msgspec.Struct, frozen=True):
    """A row of the file, which begins at `line` and ends before byte `end`; `fault` says why it could not be read."""

    line: int
    end: int
    name: str = ""
    description: str = ""
    fault: str | None = None


class Refusal(msgspec.Struct, frozen=True):
    """A row that became no product, and why."""

    line: int
    reason: str


class Progress(msgspec.Struct, frozen=True):
    """What a batch came to: everything before line `line` and byte `end` is done."""

    line: int
    end: int
    created: int
    refusals: list[Refusal]


@dataclass(frozen=True, slots=True)
class ImportProducts:
    """Imports rows; each batch is one transaction, so an import that is cut off has done whole batches."""

    create: CreateProducts

    async def __call__(self, rows: Iterable[Row]) -> AsyncIterator[Progress]:
        """What became of each batch, after its commit.

        Raises:
            DatabaseUnavailableError: the present batch may not have been created.
        """
        remaining = iter(rows)
        while batch := list(islice(remaining, BATCH)):
            judged = [_judged(row) for row in batch]
            texts = [text for text in judged if isinstance(text, ProductText)]
            await self.create(texts)
            refusals = [refusal for refusal in judged if isinstance(refusal, Refusal)]
            yield Progress(batch[-1].line, batch[-1].end, len(texts), refusals)


def _judged(row: Row) -> ProductText | Refusal:
    if row.fault is not None:
        return Refusal(row.line, row.fault)
    reasons = []
    name = description = ""
    try:
        name = checked_name(row.name)
    except ValueError as error:
        reasons.append(f"name {error}")
    try:
        description = checked_description(row.description)
    except ValueError as error:
        reasons.append(f"description {error}")
    return Refusal(row.line, "; ".join(reasons)) if reasons else ProductText(name, description)
