"""The files in `bench/results`: one of JSON for each benchmark, replaced whenever it runs."""

from pathlib import Path
from typing import Final

import msgspec

from bench.outcome import Record

FOLDER: Final = Path(__file__).parent / "results"


def write(record: Record) -> None:
    """Keep what a benchmark found."""
    FOLDER.mkdir(exist_ok=True)
    content = msgspec.json.format(msgspec.json.encode(record), indent=2)
    _file(record.outcome.benchmark).write_bytes(content + b"\n")


def read(benchmark: str) -> Record | None:
    """What it found when it last ran; None when it never did."""
    file = _file(benchmark)
    return msgspec.json.decode(file.read_bytes(), type=Record) if file.exists() else None


def _file(benchmark: str) -> Path:
    return FOLDER / f"{benchmark}.json"
