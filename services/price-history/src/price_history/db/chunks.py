"""Reads a product's recorded changes back, from its closed chunks and from its head."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from functools import cache
from itertools import accumulate
from typing import Any, Final, NamedTuple, Self

from connection_pool import Connection
from price_history.db.packing import PackedRow, unpack_rows, unpack_state
from price_history.domain.chunks import State
from price_history.domain.instants import to_datetime, to_instant

CHUNK_COLUMNS: Final = "begins, ends, observations, state, changes"
_HEAD: Final = """
SELECT head_begins AS begins, last_change_at AS ends, head_rows AS observations, head_state AS state, head AS changes
FROM products WHERE product_no = $1 AND head_rows > 0
"""
# In one statement, so that a head that is being closed is read once: as a head or as a chunk.
_FOLLOWING: Final = f"""
(SELECT {CHUNK_COLUMNS} FROM chunks WHERE product_no = $1 AND ends >= $2 ORDER BY ends LIMIT $3)
UNION ALL
({_HEAD} AND last_change_at >= $2)
ORDER BY ends LIMIT $3
"""  # noqa: S608 - our own constants
# For each gap the chunks that end in it, and the one after them, which may begin in it: it has what is carried into the
# gap, too. The head is there always, as it tells what holds now. Bounds by themselves, not in arrays: so the partitions
# that are not concerned are left out before anything is opened, which halves the time.
_IN_GAP: Final = f"""
  (SELECT {CHUNK_COLUMNS} FROM chunks
   WHERE product_no = $1 AND ends >= {{begins}} AND ends < {{ends}} ORDER BY ends LIMIT $2)
  UNION ALL
  (SELECT {CHUNK_COLUMNS} FROM chunks WHERE product_no = $1 AND ends >= {{ends}} ORDER BY ends LIMIT 1)
  UNION ALL
"""  # noqa: S608 - our own constants
GAPS_APART: Final = 4
"""More gaps, which are seldom, are read as so many."""


@cache
def _touching(gaps: int) -> str:
    in_gaps = "".join(_IN_GAP.format(begins=f"${n}", ends=f"${n + 1}") for n in range(3, 3 + 2 * gaps, 2))
    return f"SELECT DISTINCT ON (ends) {CHUNK_COLUMNS} FROM ({in_gaps} ({_HEAD})) AS chunk ORDER BY ends LIMIT $2"  # noqa: S608


class Chunk(NamedTuple):
    """Some observations of a product; `begins` and `ends` are the instants of the first and the last."""

    begins: int
    ends: int
    observations: int
    packed_state: bytes
    packed: bytes

    @classmethod
    def of(cls, row: Iterable[Any]) -> Self:
        """From a row with the columns of a chunk."""
        begins, ends, observations, state, changes = row
        return cls(to_instant(begins), to_instant(ends), observations, state, changes)

    @property
    def state(self) -> State:
        """What held before."""
        return unpack_state(self.packed_state)

    def rows(self) -> list[PackedRow]:
        """The observations."""
        return unpack_rows(self.observations, self.packed)

    def instants(self, rows: Sequence[PackedRow]) -> list[int]:
        """Those of the observations."""
        return list(accumulate((row.after for row in rows[1:]), initial=self.begins))


async def following_chunks(connection: Connection, product_no: int, since: datetime, limit: int) -> list[Chunk]:
    """At most so many chunks from the one that has the first change at or after `since`."""
    return [Chunk.of(row) for row in await connection.fetch(_FOLLOWING, product_no, since, limit)]


async def touching_chunks(
    connection: Connection, product_no: int, gaps: Sequence[tuple[int, int]], limit: int
) -> list[Chunk]:
    """The chunks with changes in these gaps, up to a limit, and perhaps others; they follow each other.

    The first one of all from the beginning of the first gap on is there whether it lies in a gap or not.
    """
    apart = [*gaps[: GAPS_APART - 1], (gaps[GAPS_APART - 1][0], gaps[-1][1])] if len(gaps) > GAPS_APART else gaps
    bounds = [to_datetime(bound) for gap in apart for bound in gap]
    return [Chunk.of(row) for row in await connection.fetch(_touching(len(apart)), product_no, limit, *bounds)]
