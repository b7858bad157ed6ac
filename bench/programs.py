"""Runs programs of the benchmarks as processes of their own, with nothing else of a benchmark in their way."""

import os
import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import Final

import msgspec

FOLDER: Final = Path(__file__).parent
MOST_SECONDS: Final = 600.0


def run_program(script: str, *arguments: object, given: str = "", first: bool = False) -> dict[str, float]:
    """What the program, such as `baselines/bare_poll`, prints: one JSON object.

    Args:
        script: its path here, without suffix.
        arguments: of its command line.
        given: its standard input.
        first: whether it runs before others, see `put_first`.
    """
    ran = subprocess.run(
        [sys.executable, str(FOLDER / f"{script}.py"), *map(str, arguments)],
        input=given,
        stdout=subprocess.PIPE,
        text=True,
        timeout=MOST_SECONDS,
        check=True,
        preexec_fn=partial(put_first, 0) if first else None,
    )
    return msgspec.json.decode(ran.stdout, type=dict[str, float])


def put_first(pid: int) -> bool:
    """Have a process, and those that it starts from now on, run before all ordinary ones; whether that is allowed.

    In the real-time class of Linux (sched(7)): one request of a hundred that waits for a core while another program
    uses it would tell how busy the machine is.
    """
    try:
        os.sched_setscheduler(pid, os.SCHED_RR, os.sched_param(os.sched_get_priority_min(os.SCHED_RR)))
    except PermissionError:
        return False
    return True
