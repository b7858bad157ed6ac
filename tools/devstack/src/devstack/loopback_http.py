"""HTTP to processes on this machine: past any proxy of the environment, JSON in and out."""

import json
import urllib.request
from collections.abc import Mapping
from typing import Any
from urllib.error import HTTPError

_direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def call(
    method: str, url: str, body: Any = None, *, headers: Mapping[str, str] | None = None, seconds: float = 10.0
) -> Any:
    """Returns the decoded answer, None where it is empty. Raises OSError for no answer and for any status but 2xx."""
    request = urllib.request.Request(  # noqa: S310 - the URL is ours
        url,
        method=method,
        data=None if body is None else json.dumps(body).encode(),
        headers={"Content-Type": "application/json", **(headers or {})},
    )
    try:
        with _direct.open(request, timeout=seconds) as response:
            answer = response.read()
    except HTTPError as error:
        with error:
            detail = error.read(2_000).decode(errors="replace")
        raise OSError(f"{method} {url} answered {error.code}: {detail}") from None
    except ConnectionError:
        raise
    except OSError as error:
        raise OSError(f"{method} {url}: {error}") from error
    return json.loads(answer) if answer else None


def failure(url: str, *, headers: Mapping[str, str] | None = None, seconds: float = 5.0) -> str | None:
    """Why a GET of `url` does not succeed; None when it does."""
    try:
        call("GET", url, headers=headers, seconds=seconds)
    except (OSError, ValueError) as error:
        return str(error)
    return None
