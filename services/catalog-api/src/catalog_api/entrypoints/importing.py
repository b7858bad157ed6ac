"""`catalog-api import`: a progress bar on a terminal, and a report of what was refused."""

import csv
import sys
from pathlib import Path
from typing import Any, Final, TextIO

from tqdm import tqdm  # type: ignore[import-untyped]

from catalog_api.domain.errors import DatabaseUnavailableError
from catalog_api.entrypoints.csv_rows import CsvRows, NoCatalogFileError
from catalog_api.use_cases.import_products import ImportProducts, Progress

ALL_FINE: Final = 0
SOME_REFUSED: Final = 1
NOT_A_CATALOG: Final = 2
STOPPED: Final = 3


async def import_file(products: ImportProducts, path: Path, *, from_line: int, report: TextIO | None) -> int:
    """Import `path`; refusals go to standard error and, as CSV, to `report`. Returns the exit code.

    0: every row became a product. 1: some were refused. 2: the file can't be imported at all. 3: stopped half way,
    as the database went away; what was done stays done, and the message says from which line to go on.
    """
    created = refused = 0
    next_line = from_line
    writer = None if report is None else csv.writer(report)
    if writer is not None:
        writer.writerow(("line", "reason"))
    with path.open("rb") as file, _bar(path) as bar:
        try:
            async for done in products(CsvRows(file, from_line)):
                created += done.created
                refused += len(done.refusals)
                next_line = done.line + 1
                _show(bar, done, created, refused)
                if writer is not None:
                    writer.writerows((refusal.line, refusal.reason) for refusal in done.refusals)
        except NoCatalogFileError as error:
            sys.stderr.write(f"{path}: {error}\n")
            return NOT_A_CATALOG
        except DatabaseUnavailableError as error:
            cause = f"the database does not answer ({error})"
            sys.stderr.write(f"{path}: stopped after {created} products: {cause}; go on with --from-line {next_line}\n")
            return STOPPED
    sys.stderr.write(f"{path}: {created} products created, {refused} rows refused\n")
    return SOME_REFUSED if refused else ALL_FINE


def _bar(path: Path) -> Any:
    return tqdm(total=path.stat().st_size, unit="B", unit_scale=True, disable=None, desc=path.name)


def _show(bar: Any, done: Progress, created: int, refused: int) -> None:
    for refusal in done.refusals:
        bar.write(f"line {refusal.line}: {refusal.reason}", file=sys.stderr)
    bar.update(done.end - bar.n)
    bar.set_postfix(products=created, refused=refused)
