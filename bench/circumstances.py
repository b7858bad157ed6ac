"""Where and when a benchmark ran."""

import os
import platform
import subprocess
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

from bench.outcome import Circumstances
from bench.sizes import Sizes


def now(sizes: Sizes) -> Circumstances:
    """The circumstances of a run that begins now."""
    return Circumstances(
        at=datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z"),
        commit=_commit(),
        processor=_processor(),
        cores=os.cpu_count() or 1,
        python=platform.python_version(),
        load_before=round(os.getloadavg()[0], 2),
        sizes=asdict(sizes),
    )


def _commit() -> str:
    described = subprocess.run(["git", "describe", "--always", "--dirty"], capture_output=True, text=True, check=False)
    return described.stdout.strip() or "unknown"


def _processor() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()
