"""Reads the rows of a CSV file as it comes, in bounded memory, and says of each line what is wrong with it."""

import csv
from collections.abc import Iterator
from typing import BinaryIO, Final

from catalog_api.use_cases.import_products import Row

COLUMNS: Final = ("name", "description")
FIELD_CHARACTERS: Final = 1024 * 1024
"""A field longer than that is refused: without a bound, one quote left open would take in the rest of the file."""


class NoCatalogFileError(ValueError):
    """The file as a whole can't be imported; the text says why."""


class CsvRows:
    """The rows of `file`, which is UTF-8 (with or without a byte order mark), its first line naming the columns.

    Args:
        file: open for reading bytes.
        from_line: rows that begin before this line, counted from 1, are left out.
    """

    def __init__(self, file: BinaryIO, from_line: int = 1) -> None:
        self._file = file
        self._from_line = from_line
        self._bytes = 0

    def __iter__(self) -> Iterator[Row]:
        """The rows.

        Raises:
            NoCatalogFileError: the first line does not name the columns.
        """
        csv.field_size_limit(FIELD_CHARACTERS)
        reader = csv.reader(self._lines(), strict=True)
        places = _places(reader)
        line = reader.line_num + 1
        while True:
            fields: list[str] = []
            fault = None
            try:
                fields = next(reader)
            except StopIteration:
                return
            except csv.Error as error:
                fault = f"is not CSV: {error}"
            row = self._row(line, fields, fault, places)
            line = reader.line_num + 1
            if row is not None and row.line >= self._from_line:
                yield row

    def _lines(self) -> Iterator[str]:
        while raw := self._file.readline(FIELD_CHARACTERS):
            start = raw.removeprefix(b"\xef\xbb\xbf") if self._bytes == 0 else raw
            self._bytes += len(raw)
            # What is no UTF-8 becomes lone surrogates, so that only its own row is refused.
            yield start.decode("utf-8", "surrogateescape")

    def _row(self, line: int, fields: list[str], fault: str | None, places: tuple[int, int]) -> Row | None:
        if fault is None and not fields:
            return None  # an empty line
        if fault is None and len(fields) != len(COLUMNS):
            fault = f"has {len(fields)} fields, not {len(COLUMNS)}"
        if fault is None and any("\udc80" <= character <= "\udcff" for field in fields for character in field):
            fault = "is not UTF-8"
        if fault is not None:
            return Row(line, self._bytes, fault=fault)
        name, description = (fields[place] for place in places)
        return Row(line, self._bytes, name, description)


def _places(reader: Iterator[list[str]]) -> tuple[int, int]:
    try:
        header = next(reader, [])
    except csv.Error:
        header = []
    names = [name.strip().lower() for name in header]
    if sorted(names) != sorted(COLUMNS):
        raise NoCatalogFileError("the first line must name the columns, name,description, in UTF-8")
    return names.index("name"), names.index("description")
