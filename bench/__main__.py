"""`python -m bench`, which `make bench` runs: measures, prints a table, and writes `bench/results`.

`ONLY=poll,api` chooses benchmarks, `STRICT=1` fails when a target is missed, `FULL=1` takes the sizes that the targets
speak of; every field of `Sizes` is a variable too, such as `ROUNDS=3`. `python -m bench report` renders the results
again, `docs/capacity.md` included, without measuring.
"""

import os
import sys
import time
import traceback
from collections.abc import Callable, Mapping
from typing import Final

from bench import capacity, circumstances, results
from bench.benchmarks import api, freshness, importing, ingest, memory, path, poll, storage, trend
from bench.outcome import Outcome, Record
from bench.report import table, write_page
from bench.sizes import Sizes
from bench.system import Say

BENCHMARKS: Final[Mapping[str, Callable[[Sizes, Say], Outcome]]] = {
    "poll": poll.measure,
    "path": path.measure,
    "ingest": ingest.measure,
    "api": api.measure,
    "trend": trend.measure,
    "storage": storage.measure,
    "freshness": freshness.measure,
    "memory": memory.measure,
    "import": importing.measure,
}
MISSED: Final = 1
BROKE: Final = 2


def main() -> int:
    """Run the benchmarks asked for. Returns the exit code."""
    if sys.argv[1:] == ["report"]:
        render()
        return 0
    try:
        sizes = Sizes.from_environment(os.environ)
        names = chosen(os.environ.get("ONLY", ""))
    except ValueError as error:
        sys.stderr.write(f"bench: {error}\n")
        return BROKE
    about = circumstances.now(sizes)
    records, broken = [], []
    for name in names:
        say = teller(name)
        began = time.monotonic()
        try:
            records.append(Record(BENCHMARKS[name](sizes, say), about))
        except Exception:  # noqa: BLE001 - one benchmark that broke must not cost the figures of the others
            traceback.print_exc()
            broken.append(name)
            continue
        results.write(records[-1])
        say(f"took {time.monotonic() - began:.0f} s")
    render()
    sys.stdout.write("\n" + table(records))
    if broken:
        sys.stdout.write(f"broke: {', '.join(broken)}\n")
        return BROKE
    missed = [figure for record in records for figure in record.outcome.figures if figure.verdict == "missed"]
    return MISSED if missed and os.environ.get("STRICT") == "1" else 0


def chosen(only: str) -> list[str]:
    """The benchmarks named, in their order; all where none is. Raises ValueError for a name that is none."""
    wanted = set(filter(None, only.replace(",", " ").split()))
    if unknown := wanted - BENCHMARKS.keys():
        raise ValueError(f"ONLY takes {', '.join(BENCHMARKS)}, and has {', '.join(sorted(unknown))}")
    return [name for name in BENCHMARKS if name in wanted or not wanted]


def teller(name: str) -> Say:
    """Tells what is being done, with the benchmark's name and the time."""

    def say(words: str) -> None:
        sys.stderr.write(f"{time.strftime('%H:%M:%S')} {name}: {words}\n")

    return say


def render() -> None:
    """The page and the capacity tables, from the results of all benchmarks ever run here."""
    records = [record for name in BENCHMARKS if (record := results.read(name)) is not None]
    write_page(records)
    capacity.write(records)


if __name__ == "__main__":
    sys.exit(main())
