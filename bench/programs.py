"""Runs programs of the benchmarks as processes of their own, with nothing else of a benchmark in their way."""

import subprocess
import sys
from pathlib import Path
from typing import Final

import msgspec

FOLDER: Final = Path(__file__).parent
MOST_SECONDS: Final = 600.0


def run_program(script: str, *arguments: object, given: str = "") -> dict[str, float]:
    """What the program, such as `baselines/bare_poll`, prints: one JSON object; `given` is its standard input."""
    ran = subprocess.run(
        [sys.executable, str(FOLDER / f"{script}.py"), *map(str, arguments)],
        input=given,
        stdout=subprocess.PIPE,
        text=True,
        timeout=MOST_SECONDS,
        check=True,
    )
    return msgspec.json.decode(ran.stdout, type=dict[str, float])
