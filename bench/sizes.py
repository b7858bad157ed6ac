"""How much is measured, from the environment: every field is a variable of its name in upper case."""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Self


def _size(usual: int, *, full: int | None = None) -> Any:
    return field(default=usual, metadata={"full": usual if full is None else full})


@dataclass(frozen=True)
class Sizes:
    """The defaults take some twenty minutes on two idle cores; `FULL=1` takes the sizes that the targets speak of."""

    #: How many times ours and the baseline are measured in turn.
    rounds: int = _size(5)
    #: How long one measurement of a running system takes.
    window_seconds: int = _size(6)
    #: Products in the benchmarks that poll, and how many of them are polled in a second: with few products their
    #: interval is short, and each of 4,096 buckets holds so few that they cost more than what is in them.
    poll_products: int = _size(20_000, full=60_000)
    polls_per_second: int = _size(1_000)
    #: Changed products in one round of `ingest`.
    ingest_products: int = _size(20_000)
    #: Products in the catalog while the API is measured, and connections of the load.
    api_products: int = _size(5_000)
    api_connections: int = _size(32)
    #: Price changes of other products in the database while trends are read, before and after it grows.
    trend_changes: int = _size(1_000_000, full=10_000_000)
    trend_changes_grown: int = _size(5_000_000, full=50_000_000)
    #: How long the product whose trend is read has changed every minute.
    trend_days: int = _size(365)
    #: Products and observations of each, a minute apart, in `storage`.
    storage_products: int = _size(500)
    storage_observations: int = _size(240)
    #: Products that `offers-sync work` holds, and events that wait for `price-history work`, in `memory`.
    memory_products: int = _size(10_000, full=100_000)
    memory_events: int = _size(10_000, full=500_000)
    #: Rows of the CSV file.
    import_rows: int = _size(100_000)

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> Self:
        """Read them. Raises ValueError, with one line that names the variable."""
        full = environment.get("FULL", "0") == "1"
        given: dict[str, int] = {}
        for known in fields(cls):
            name = known.name.upper()
            value = environment.get(name) or str(known.metadata["full"] if full else known.default)
            if not value.isdecimal() or int(value) < 1:
                raise ValueError(f"{name} must be a whole number of at least 1, and is {value!r}")
            given[known.name] = int(value)
        return cls(**given)
