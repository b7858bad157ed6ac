"""Ports for servers that listen some time after theirs was chosen."""

import subprocess
import sys
from contextlib import ExitStack

MANY = 2000
CHOOSE = f"""
import sys
from devstack.ports import free_port
print(*(free_port() for _ in range({MANY})), flush=True)
sys.stdin.read()
"""


def test_no_two_processes_that_live_are_given_the_same_port() -> None:
    with ExitStack() as close:
        command = [sys.executable, "-c", CHOOSE]
        choosing = [
            close.enter_context(subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True))
            for _ in range(2)
        ]
        given: list[str] = []
        for process in choosing:
            assert process.stdout is not None
            given += process.stdout.readline().split()
        assert len(set(given)) == len(given) == 2 * MANY
