"""A load of writes on the catalog, with a record of what became of each: accepted, refused or unknown.

A connection that was refused or an answer of 4xx is a refusal. A 503 is counted as one, but what it leaves behind may
be either: a database that dies in mid-commit leaves the service, too, without knowledge. No answer is unknown.
"""

import asyncio
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from random import Random
from types import TracebackType
from typing import Any, Final, Literal, NamedTuple, Self

import aiohttp

TIMEOUT_SECONDS: Final = 6.0
USERS: Final = 6
BATCH: Final = 4
REFUSED_PAUSE_SECONDS: Final = 0.3
DISCONNECTED: Final = (aiohttp.ClientError, TimeoutError, OSError)

Outcome = Literal["accepted", "refused", "unknown"]
Json = dict[str, Any]


class State(NamedTuple):
    """What a product may be seen to be."""

    name: str
    description: str
    version: int


@dataclass(eq=False)
class Written:
    """A product that the load made, or tried to: every state that it may be in now; None is that it is not there."""

    name: str
    possible: set[State | None]
    id: str | None = None
    #: After a write whose outcome is unknown it is written no more, so that what is possible stays exact.
    settled: bool = True


class Answered(NamedTuple):
    """One request: when it was sent, how long it took, what became of it."""

    at: float
    seconds: float
    outcome: Outcome
    status: int


@dataclass
class Load:
    """Users who create, change, delete and read products, at `rate` requests per second in all, while inside."""

    catalog_url: str
    #: Which load of its laboratory it is: part of its products' names, and of nothing that is drawn.
    number: int
    seed: int
    rate: float = 30.0
    #: After which a request without an answer is unknown.
    timeout_seconds: float = TIMEOUT_SECONDS
    products: list[Written] = field(default_factory=list)
    #: Products that were created together, and so are there together or not at all.
    batches: list[list[Written]] = field(default_factory=list)
    requests: list[Answered] = field(default_factory=list)
    seconds: float = 0.0

    def __enter__(self) -> Self:
        self._stop = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()), name="load", daemon=True)
        self._began = time.monotonic()
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join()
        self.seconds += time.monotonic() - self._began

    @property
    def names(self) -> str:
        """An SQL pattern for the names of its products, and of those of no other load."""
        return f"load {self.number} %"

    def count(self, outcome: Outcome) -> int:
        """How many requests ended so."""
        return Counter(request.outcome for request in self.requests)[outcome]

    @property
    def server_errors(self) -> list[int]:
        """Statuses that no fault excuses: any 5xx but a 503."""
        return [request.status for request in self.requests if request.status >= 500 and request.status != 503]

    def slowest(self, share: float, since: float = 0.0, until: float = float("inf")) -> float:
        """The latency in seconds that `share` (such as 0.99) of the requests sent in the period stayed below."""
        seconds = sorted(request.seconds for request in self.requests if since <= request.at < until)
        return seconds[min(len(seconds) - 1, int(share * len(seconds)))] if seconds else 0.0

    async def _run(self) -> None:
        timeout = aiohttp.ClientTimeout(total=self.timeout_seconds)
        async with aiohttp.ClientSession(timeout=timeout) as session:
            # When a connection dies, it sends a PUT or DELETE again by itself, and hides that the first one may count.
            # There is no public way to forbid that; aiohttp's own test client does so, too.
            session._retry_connection = False
            await asyncio.gather(*(_User(self, session, number).work() for number in range(USERS)))

    @property
    def stopping(self) -> bool:
        """Whether users are to finish."""
        return self._stop.is_set()


class _User:
    """One user, who writes to products of their own only, one request at a time."""

    def __init__(self, load: Load, session: aiohttp.ClientSession, number: int) -> None:
        self._load, self._session, self._number = load, session, number
        self._random = Random(f"{load.seed}/{number}")  # noqa: S311 - not a secret
        self._own: list[Written] = []
        self._count = 0

    async def work(self) -> None:
        next_at = time.monotonic() + self._random.random() * USERS / self._load.rate
        while not self._load.stopping:
            await asyncio.sleep(max(0.0, next_at - time.monotonic()))
            await self._act()
            # After a request that hung the pace is resumed, not made up for.
            next_at = max(next_at, time.monotonic() - 1.0) + USERS / self._load.rate

    async def _act(self) -> None:
        choice = self._random.random()
        own = [product for product in self._own if product.settled and product.id is not None]
        if choice < 0.4 or not own:
            await self._create()
        elif choice < 0.5:
            await self._create_batch()
        elif choice < 0.8:
            await self._change(self._random.choice(own))
        elif choice < 0.9:
            await self._delete(self._random.choice(own))
        else:
            await self._send("GET", f"/products/{self._random.choice(own).id}")

    def _new(self) -> Written:
        self._count += 1
        return Written(f"load {self._load.number} {self._number} {self._count}", {None})

    def _keep(self, product: Written) -> None:
        self._own.append(product)
        self._load.products.append(product)

    async def _create(self) -> None:
        product = self._new()
        wanted = State(product.name, "first", 1)
        outcome, _, body = await self._send("POST", "/products", {"name": product.name, "description": "first"})
        if outcome == "accepted":
            product.id, product.possible = body["id"], {wanted}
        else:
            product.settled, product.possible = False, {wanted, None}
        self._keep(product)

    async def _create_batch(self) -> None:
        batch = [self._new() for _ in range(BATCH)]
        items = [{"name": product.name, "description": "first"} for product in batch]
        outcome, _, body = await self._send("POST", "/products/batch", {"items": items})
        for number, product in enumerate(batch):
            wanted = State(product.name, "first", 1)
            if outcome == "accepted":
                product.id, product.possible = body["results"][number]["product"]["id"], {wanted}
            else:
                product.settled, product.possible = False, {wanted, None}
            self._keep(product)
        self._load.batches.append(batch)

    async def _change(self, product: Written) -> None:
        [before] = product.possible
        if before is None:
            return
        after = State(product.name, f"change {before.version}", before.version + 1)
        body = {"name": after.name, "description": after.description}
        outcome, status, _ = await self._send("PUT", f"/products/{product.id}", body)
        self._settle(product, outcome, status, after)

    async def _delete(self, product: Written) -> None:
        outcome, status, _ = await self._send("DELETE", f"/products/{product.id}")
        self._settle(product, outcome, status, None)
        if outcome == "accepted":
            self._own.remove(product)

    def _settle(self, product: Written, outcome: Outcome, status: int, after: State | None) -> None:
        if outcome == "accepted":
            product.possible = {after}
        elif outcome == "unknown" or status == 503:
            product.possible = product.possible | {after}
            product.settled = False
        elif status:
            raise AssertionError(f"a valid request was answered {status}")

    async def _send(self, method: str, path: str, body: Json | None = None) -> tuple[Outcome, int, Any]:
        at, status, answer = time.monotonic(), 0, None
        outcome: Outcome
        try:
            async with self._session.request(method, f"{self._load.catalog_url}/api/v1{path}", json=body) as response:
                status = response.status
                answer = await response.json() if status in (200, 201) else await response.read()
                outcome = "accepted" if status < 300 else "refused"
        except aiohttp.ClientConnectorError:
            outcome = "refused"
            await asyncio.sleep(REFUSED_PAUSE_SECONDS)
        except DISCONNECTED:
            outcome = "unknown"
        self._load.requests.append(Answered(at, time.monotonic() - at, outcome, status))
        return outcome, status, answer
