"""How long `catalog-api import` takes for a CSV file."""

import csv
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Final

import psycopg2

from bench.outcome import Figure, Outcome, Target
from bench.sizes import Sizes
from bench.system import Say, running
from devstack.plan import console_script

MOST_SECONDS: Final = 900.0
MOST_ROUNDS: Final = 2
"""Each takes long, and the target is far from its spread."""


def measure(sizes: Sizes, say: Say) -> Outcome:
    """Into a running system, whose other parts take the new products up meanwhile."""
    ours, bare = [], []
    with tempfile.TemporaryDirectory() as folder, running(say) as system:
        file = Path(folder) / "products.csv"
        _write(file, sizes.import_rows)
        dsn = system.databases["catalog"]
        for number in range(min(sizes.rounds, MOST_ROUNDS)):
            began = time.monotonic()
            command = [console_script("catalog-api"), "import", str(file)]
            subprocess.run(command, env={"DATABASE_URL": dsn}, check=True, timeout=MOST_SECONDS, capture_output=True)
            ours.append(time.monotonic() - began)
            bare.append(_bare_copy(dsn, file))
            say(f"round {number + 1}: {ours[-1]:.1f} s, bare COPY {bare[-1]:.1f} s")
    return Outcome(
        "import",
        "Import",
        [
            Figure(
                f"{sizes.import_rows:,} products",
                "s",
                ours,
                bare,
                "COPY of the file into a table without indexes",
                Target("figure", "under", 60),
            )
        ],
        ["Registration, polling and publishing of the new products go on meanwhile, on the same cores"],
    )


def _write(file: Path, rows: int) -> None:
    with file.open("w", newline="") as lines:
        writer = csv.writer(lines)
        writer.writerow(("name", "description"))
        writer.writerows(
            (f"Product {number}", f"The description of product {number}, one line") for number in range(rows)
        )


def _bare_copy(dsn: str, file: Path) -> float:
    connection = psycopg2.connect(dsn)
    try:
        with connection, connection.cursor() as cursor, file.open() as lines:
            cursor.execute("CREATE TEMPORARY TABLE bare (name text, description text) ON COMMIT DROP")
            began = time.monotonic()
            cursor.copy_expert("COPY bare FROM STDIN (FORMAT csv, HEADER)", lines)
            return time.monotonic() - began
    finally:
        connection.close()
