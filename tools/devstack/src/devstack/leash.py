"""Runs a command that must not outlive the process that started it: `leash.py PARENT_PID SIGNAL COMMAND...`.

On Linux the kernel sends SIGNAL to the command when its parent dies, however it dies. Elsewhere the command runs
without a leash, and the next start of the stack ends what is left. A program of its own and not `preexec_fn`, which
is not safe in a parent with threads.
"""

import ctypes
import os
import sys

PR_SET_PDEATHSIG = 1


def main() -> None:
    """Tie this process to its parent, then become the command."""
    parent, signal_number, *command = sys.argv[1:]
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, int(signal_number), 0, 0, 0)
        if os.getppid() != int(parent):  # it died before the leash was on
            sys.exit(1)
    os.execvp(command[0], command)  # noqa: S606 - the caller's own command line, no shell


if __name__ == "__main__":
    main()
