"""What some number of products takes, computed from what was measured, and written into `docs/capacity.md`."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final, NamedTuple

from bench.benchmarks import ingest, path
from bench.outcome import Record
from bench.report import number
from bench.system import OFFERS, SIMULATOR

DOCUMENT: Final = Path(__file__).parent.parent / "docs" / "capacity.md"
BEGIN: Final = "<!-- computed by make bench: begin -->"
END: Final = "<!-- computed by make bench: end -->"

SIZES: Final = (10_000, 1_000_000, 100_000_000)
INTERVAL_SECONDS: Final = 60
#: Of the lists polled, the share that changed since the poll before.
SHARES: Final = {"nothing changes": 0.0, "a tenth changes": 0.1, "everything changes": 1.0}
DAY_SECONDS: Final = 86_400
RETENTION_DAYS: Final = 400
#: Of a core, so that a process keeps up through a burst.
FILLED: Final = 0.7
NEEDED: Final = ("poll", "path", "ingest", "storage", "memory")


class Costs(NamedTuple):
    """What was measured; CPU is in seconds by process, of a poll that finds nothing new and of one that does."""

    unchanged: Mapping[str, float]
    changed: Mapping[str, float]
    poll_bytes: float
    event_bytes: float
    messages: float
    wal_bytes: float
    commits: float
    disk_bytes: float
    """Of a changed list of five offers."""
    recorded_per_second: float
    """Changed products that one `price-history work` stores, at most."""
    poller_megabytes: float
    poller_megabytes_for_each_product: float


class Needs(NamedTuple):
    """Of a number of products at one poll a minute. Rates are for each second, cores by process."""

    polls: float
    changed: float
    cores: Mapping[str, float]
    messages: float
    commits: float
    wal_megabytes: float
    disk_gigabytes_a_day: float
    offers_ms_megabits: float
    broker_megabits: float

    @property
    def all_cores(self) -> float:
        """Of all processes."""
        return sum(self.cores.values())


def needs(costs: Costs, products: int, share: float) -> Needs:
    """What so many products take when `share` of their lists change from one poll to the next."""
    polls = products / INTERVAL_SECONDS
    changed = polls * share
    return Needs(
        polls=polls,
        changed=changed,
        cores={
            process: (polls - changed) * costs.unchanged.get(process, 0.0) + changed * cost
            for process, cost in costs.changed.items()
        },
        messages=changed * costs.messages,
        commits=changed * costs.commits,
        wal_megabytes=changed * costs.wal_bytes / 1e6,
        disk_gigabytes_a_day=changed * costs.disk_bytes * DAY_SECONDS / 1e9,
        offers_ms_megabits=polls * costs.poll_bytes * 8 / 1e6,
        # Once in, and once out to each of the two consumers.
        broker_megabits=3 * changed * costs.event_bytes * 8 / 1e6,
    )


def costs_of(records: Mapping[str, Record]) -> Costs:
    """The costs in the results of `NEEDED`."""
    unchanged = records["poll"].outcome.figures[0].parts
    whole, *others = records["path"].outcome.figures
    by_name = {figure.name: figure.median for figure in others}
    memory = records["memory"]
    held = memory.outcome.figures[0]
    empty = held.baseline_median or 0.0
    return Costs(
        unchanged={name: cost / 1e6 for name, cost in unchanged.items() if name != SIMULATOR},
        changed={name: cost / 1e3 for name, cost in whole.parts.items() if name != SIMULATOR},
        poll_bytes=by_name[path.POLL_BYTES],
        event_bytes=by_name[path.EVENT_BYTES],
        messages=by_name[path.MESSAGES],
        wal_bytes=by_name[path.WAL_BYTES],
        commits=by_name[path.COMMITS],
        disk_bytes=records["storage"].outcome.figures[0].median * OFFERS,
        recorded_per_second=next(each for each in records["ingest"].outcome.figures if each.name == ingest.TOLD).median,
        poller_megabytes=empty,
        poller_megabytes_for_each_product=(held.median - empty) / memory.circumstances.sizes["memory_products"],
    )


def write(records: Sequence[Record]) -> None:
    """Put the tables between the marks in the document, once every result needed is there."""
    known = {record.outcome.benchmark: record for record in records}
    if any(name not in known for name in NEEDED):
        return
    before, _, rest = DOCUMENT.read_text().partition(BEGIN)
    _, _, after = rest.partition(END)
    lines = [BEGIN, "", *_source(known), "", *_costs(costs_of(known)), "", *_tables(costs_of(known)), "", END]
    DOCUMENT.write_text(before + "\n".join(lines) + after)


def _source(records: Mapping[str, Record]) -> list[str]:
    runs = sorted({record.circumstances.at for name, record in records.items() if name in NEEDED})
    about = records["path"].circumstances
    load = max(record.circumstances.load_before for name, record in records.items() if name in NEEDED)
    return [
        f"From the run of {' and '.join(runs)} (commit {about.commit}) on {about.cores} cores of {about.processor}.",
        f"Load of the machine before it: {load:g}"
        + (", so others were at work, and CPU times are somewhat high." if load > about.cores / 4 else "."),
    ]


def _costs(costs: Costs) -> list[str]:
    processes = sorted(costs.changed.items(), key=lambda item: -item[1])
    each = {
        "poll, on the wire": f"{number(costs.poll_bytes)} bytes",
        "changed product, in an event": f"{number(costs.event_bytes)} bytes",
        "changed product, messages": number(costs.messages),
        "changed product, transactions": number(costs.commits),
        "changed product, write-ahead log": f"{number(costs.wal_bytes)} bytes",
        "changed product, kept in price history": f"{number(costs.disk_bytes)} bytes",
        "second of `price-history work`, at most": f"{number(costs.recorded_per_second)} changed products",
        "copy of `offers-sync work`, memory without products": f"{number(costs.poller_megabytes)} MB",
        "product that it polls, memory": f"{number(costs.poller_megabytes_for_each_product * 1e6)} bytes",
    }
    return [
        "| CPU of | µs for a poll, nothing new | µs for a poll, list changed |",
        "|---|---|---|",
        *(_row(name, [costs.unchanged.get(name, 0.0) * 1e6, cost * 1e6]) for name, cost in processes),
        _row("all", [sum(costs.unchanged.values()) * 1e6, sum(costs.changed.values()) * 1e6]),
        "",
        "| for each | |",
        "|---|---|",
        *(f"| {name} | {value} |" for name, value in each.items()),
    ]


def _tables(costs: Costs) -> list[str]:
    lines: list[str] = []
    for words, share in SHARES.items():
        columns = [needs(costs, products, share) for products in SIZES]
        lines += [
            "",
            f"### When {words}",
            "",
            "| products | " + " | ".join(f"{products:,}" for products in SIZES) + " |",
            "|---|" + "---|" * len(SIZES),
            *(_row(name, values) for name, values in _rows(costs, columns).items()),
        ]
    return lines[1:]


def _rows(costs: Costs, columns: Sequence[Needs]) -> dict[str, list[float]]:
    """The rows of a table by name; those of what changes only where something does."""
    rows = {
        "polls a second": [each.polls for each in columns],
        "Offers MS, Mbit/s": [each.offers_ms_megabits for each in columns],
        "**cores**": [each.all_cores for each in columns],
        **{f"cores, {process}": [each.cores[process] for each in columns] for process in columns[0].cores},
        f"copies of `offers-sync work` at {FILLED:.0%} of a core": [
            max(1.0, -(-each.cores["offers-sync-work"] // FILLED)) for each in columns
        ],
        "memory of all of them, GB": [
            (
                max(1.0, -(-each.cores["offers-sync-work"] // FILLED)) * costs.poller_megabytes
                + each.polls * INTERVAL_SECONDS * costs.poller_megabytes_for_each_product
            )
            / 1e3
            for each in columns
        ],
    }
    if columns[-1].changed:
        rows |= {
            "changed products a second": [each.changed for each in columns],
            "times what one `price-history work` stores": [
                each.changed / costs.recorded_per_second for each in columns
            ],
            "messages a second into the broker": [each.messages for each in columns],
            "broker, in and out, Mbit/s": [each.broker_megabits for each in columns],
            "database transactions a second": [each.commits for each in columns],
            "write-ahead log, MB/s": [each.wal_megabytes for each in columns],
            "history, GB a day": [each.disk_gigabytes_a_day for each in columns],
            f"history, TB in {RETENTION_DAYS} days": [
                each.disk_gigabytes_a_day * RETENTION_DAYS / 1e3 for each in columns
            ],
        }
    return rows


def _row(name: str, values: Sequence[float]) -> str:
    return f"| {name} | " + " | ".join(number(value) for value in values) + " |"
