"""The stack's own access to its API, where tokens are required: an admin token, kept in the stack's folder."""

import subprocess
from collections.abc import Mapping
from typing import Final

from devstack import loopback_http
from devstack.folder import StackFolder
from devstack.plan import Plan, console_script

_CREATE: Final = ("tokens", "create", "--name", "make run", "--scope", "admin")
CREATE_SECONDS: Final = 60.0


def bearer(token: str | None) -> Mapping[str, str]:
    """What a request shows; nothing where no token is needed."""
    return {} if token is None else {"Authorization": f"Bearer {token}"}


def kept_token(plan: Plan, folder: StackFolder) -> str | None:
    """The token of an earlier run, if it is still good."""
    token = folder.api_token()
    url = f"{plan.catalog_url}/api/v1/tokens"
    return token if token and loopback_http.failure(url, headers=bearer(token)) is None else None


def new_token(plan: Plan, folder: StackFolder) -> str:
    """A token made by the catalog's own command, and kept. Raises OSError."""
    made = subprocess.run(
        [console_script("catalog-api"), *_CREATE],
        env=dict(plan.environment("catalog-api")),
        capture_output=True,
        text=True,
        timeout=CREATE_SECONDS,
        check=False,
    )
    if made.returncode != 0:
        raise OSError(f"catalog-api tokens create: {made.stderr.strip()}")
    token = made.stdout.strip()
    folder.keep_api_token(token)
    return token
