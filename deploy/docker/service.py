#!/app/bin/python -IS
"""Becomes this image's service, told its secrets: a file in /run/secrets is the variable that bears its name.

So secrets need not stand in a container's environment, where everyone who may inspect it reads them. A variable that
is set, and not empty, comes before the file.
"""

import os
import re
import sys
from pathlib import Path

SECRETS = Path("/run/secrets")

name = os.environ["SERVICE"]
for file in SECRETS.glob("*"):
    if re.fullmatch(r"[A-Z][A-Z0-9_]*", file.name) and not os.environ.get(file.name):
        os.environ[file.name] = file.read_text().strip()
os.execv(f"/app/bin/{name}", [name, *sys.argv[1:]])  # noqa: S606 - this process is to be the service
