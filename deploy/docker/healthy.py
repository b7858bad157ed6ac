#!/app/bin/python -IS
"""Exit code 0 if this container's process answers 200 on the path given, such as /healthz or /readyz.

It is on PORT or on HEALTH_PORT, whichever process it is.
"""

import http.client
import os
import sys

SECONDS = 5


def answers(port: int, path: str) -> bool:
    """Whether a process on this port says 200."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=SECONDS)
    try:
        connection.request("GET", path)
        return connection.getresponse().status == http.client.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


ports = {int(os.environ.get(name) or 0) for name in ("PORT", "HEALTH_PORT")} - {0}
sys.exit(not any(answers(port, sys.argv[1]) for port in ports))
