"""The gate in front of an API: who may pass, with what, and how often."""

from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Protocol

import structlog
from starlette.types import ASGIApp, Receive, Scope, Send

from http_api.middleware import is_for_api
from http_api.problems import RETRY_AFTER_SECONDS, problem_response
from http_api.rate_limit import RateLimit, address

_log = structlog.get_logger()

NeededScope = Callable[[str, str], str]
"""The scope that a request of this method to this path needs."""


class CannotTellError(Exception):
    """Whoever knows the tokens does not answer."""


class Grant(Protocol):
    """What a token gives."""

    @property
    def holder(self) -> str:
        """Whose requests are counted together; not secret."""

    @property
    def scopes(self) -> Collection[str]:
        """All that it may do."""


class Credentials(Protocol):
    """Who knows the tokens. Neither method says why it knows none: not there, expired, revoked, or no token at all."""

    def recall(self, token: str) -> Grant | None:
        """The grant of a token that was looked up a moment ago, at no cost."""

    async def look_up(self, token: str) -> Grant | None:
        """The grant of any token that is good now.

        Raises:
            CannotTellError: that can't be told.
        """


@dataclass(frozen=True, slots=True)
class Limits:
    """Of the requests of each token, and of the failures of each address; None is no limit."""

    holders: RateLimit | None = None
    strangers: RateLimit | None = None


class AccessGate:
    """Every request to the API passes here, whatever route it will find, so no route can forget to ask.

    401 without a good token, 403 without the scope, 429 over a limit, and 503 while nobody can tell whether a token is
    good. An address with too many failures is not even looked up, but tokens that are known pass from there too.

    Args:
        credentials: who knows the tokens.
        needed_scope: what a request needs.
        limits: how often.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        credentials: Credentials,
        needed_scope: NeededScope,
        limits: Limits,
    ) -> None:
        self._app = app
        self._credentials = credentials
        self._needed_scope = needed_scope
        self._holders = limits.holders
        self._strangers = limits.strangers

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if not is_for_api(scope):
            await self._app(scope, receive, send)
            return
        try:
            grant = await self._grant(scope)
        except CannotTellError as error:
            _log.warning("token_not_checked", reason=str(error))
            await _cannot_tell(scope, receive, send)
            return
        answer: ASGIApp
        if grant is None:
            answer, limit, key = _unknown, self._strangers, address(scope)
        else:
            needed = self._needed_scope(scope["method"], scope["path"])
            answer = self._app if needed in grant.scopes else _without_scope(needed)
            limit, key = self._holders, grant.holder
        if limit is not None:
            answer = limit.around(answer, key)
        await answer(scope, receive, send)

    async def _grant(self, scope: Scope) -> Grant | None:
        token = bearer_token(scope)
        if token is None:
            return None
        if (grant := self._credentials.recall(token)) is not None:
            return grant
        if self._strangers is not None and self._strangers.is_spent(address(scope)):
            return None
        return await self._credentials.look_up(token)


async def still_granted(scope: Scope, credentials: Credentials, needed_scope: NeededScope) -> bool:
    """Whether a request that passed the gate, and is being answered yet, would pass it now, or nobody can tell."""
    token = bearer_token(scope)
    if token is None:
        return False
    try:
        grant = credentials.recall(token) or await credentials.look_up(token)
    except CannotTellError:
        return True
    return grant is not None and needed_scope(scope["method"], scope["path"]) in grant.scopes


def bearer_token(scope: Scope) -> str | None:
    """The token of the one Authorization header (RFC 6750, section 2.1)."""
    values = [value for name, value in scope["headers"] if name == b"authorization"]
    if len(values) != 1:
        return None
    scheme, _, token = values[0].decode("latin-1").partition(" ")
    return token.strip(" ") if scheme.lower() == "bearer" else None


_unknown = problem_response(
    401,
    "A bearer token that is good is required.",
    headers={"WWW-Authenticate": "Bearer"},
)
_cannot_tell = problem_response(
    503,
    "Whether the token is good can't be told now; try again.",
    headers={"Retry-After": str(RETRY_AFTER_SECONDS)},
)


def _without_scope(needed: str) -> ASGIApp:
    return problem_response(
        403,
        f"The token lacks the scope {needed}.",
        headers={"WWW-Authenticate": f'Bearer error="insufficient_scope", scope="{needed}"'},
    )
