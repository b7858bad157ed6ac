"""Reading CSV: every line is a row or is refused with its number."""

import io
import tracemalloc

import pytest

from catalog_api.entrypoints.csv_rows import FIELD_CHARACTERS, CsvRows, NoCatalogFileError
from catalog_api.use_cases.import_products import Row


def rows(content: bytes, from_line: int = 1) -> list[tuple[int, str | None, str, str]]:
    return [(row.line, row.fault, row.name, row.description) for row in CsvRows(io.BytesIO(content), from_line)]


def test_rows_know_their_lines() -> None:
    content = 'name,description\na,1\n"b ""x""","two\nlines"\n\nřeka,ú\n'.encode()
    assert rows(content) == [(2, None, "a", "1"), (3, None, 'b "x"', "two\nlines"), (6, None, "řeka", "ú")]


@pytest.mark.parametrize(
    "header", ["name,description", " Name , DESCRIPTION ", "\ufeffname,description", '"name",description']
)
def test_the_header_is_taken_in_any_dress(header: str) -> None:
    assert rows(f"{header}\r\na,1\r\n".encode()) == [(2, None, "a", "1")]


def test_columns_may_be_the_other_way_round() -> None:
    assert rows(b"description,name\n1,a") == [(2, None, "a", "1")]


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"a,1\n",
        b"name\n",
        b"name,description,price\n",
        b"name;description\n",
        b'"name',
        "name,description\n".encode("utf-16"),
    ],
)
def test_a_file_without_the_columns_is_refused_whole(content: bytes) -> None:
    with pytest.raises(NoCatalogFileError, match="name,description"):
        rows(content)


def test_bad_rows_are_refused_alone() -> None:
    content = b'name,description\nonly\na,b,c\n\xe8eka,latin\n"a"b,c\nlast,1\n'
    assert [(line, fault) for line, fault, _, _ in rows(content)] == [
        (2, "has 1 fields, not 2"),
        (3, "has 3 fields, not 2"),
        (4, "is not UTF-8"),
        (5, "is not CSV: ',' expected after '\"'"),
        (6, None),
    ]


def test_a_quote_left_open_does_not_take_in_the_rest() -> None:
    line = b"x" * 999 + b"\n"
    content = b'name,description\n"open,\n' + line * (2 * FIELD_CHARACTERS // 1000) + b"last,1\n"
    found = rows(content)
    assert found[0][0] == 2
    assert (found[0][1] or "").startswith("is not CSV: field larger than")
    assert found[-1][1:] == (None, "last", "1")


def test_a_quote_open_at_the_end_is_said() -> None:
    assert [(line, fault) for line, fault, _, _ in rows(b'name,description\na,1\n"open,')] == [
        (2, None),
        (3, "is not CSV: unexpected end of data"),
    ]


def test_from_line_leaves_out_what_is_before() -> None:
    assert [line for line, *_ in rows(b"name,description\na,1\nb,2\nc,3\n", 3)] == [3, 4]


def test_rows_tell_how_far_the_file_was_read() -> None:
    content = b"\xef\xbb\xbfname,description\na,1\nb,2"
    assert [row.end for row in CsvRows(io.BytesIO(content))] == [len(content) - 3, len(content)]


def test_memory_is_bounded() -> None:
    class Endless(io.RawIOBase):
        """50 MB of one line."""

        left = 50_000_000

        def readable(self) -> bool:
            return True

        def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
            size = min(len(buffer), self.left)
            buffer[:size] = b"x" * size
            self.left -= size
            return size

    content = io.BufferedReader(Endless())
    tracemalloc.start()
    header = io.BytesIO(b"name,description\n")

    class Joined(io.BytesIO):
        def readline(self, size: int | None = -1) -> bytes:
            return header.readline(size) or content.readline(size or -1)

    refused: list[Row] = list(CsvRows(Joined()))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert refused
    assert all(row.fault for row in refused)
    assert peak < 20_000_000
