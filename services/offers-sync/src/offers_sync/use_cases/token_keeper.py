"""Keeps the access token at hand for all that call, and notices when another one is stored."""

import asyncio
import time
from typing import Final

import structlog

from lifecycle import NotReadyError, wait_for_any
from offers_sync.db.access_tokens import UnreadableTokenError
from offers_sync.db.engine import DatabaseUnavailableError
from offers_sync.domain.access_token import AccessToken
from offers_sync.domain.call_gate import CallGate
from offers_sync.use_cases.access_tokens import NoTokenError, TokenSource

CHECK_SECONDS: Final = 2.0
RENEW_REJECTED_SECONDS: Final = 5.0
RENEWAL_SECONDS: Final = 5.0
"""Between the last moment at which a token surely lives and the first at which another one is given."""
FIRST_RETRY_SECONDS: Final = 0.5
LAST_RETRY_SECONDS: Final = 5.0

_log = structlog.get_logger()


class TokenKeeper:
    """The token in use; `run` keeps it fresh."""

    def __init__(self, source: TokenSource, gate: CallGate) -> None:
        self._source = source
        self._gate = gate
        self._token: str | None = None
        self._usable_until = float("inf")

    @property
    def token(self) -> str | None:
        """What to send with a call; None when there is none that could be accepted."""
        return self._token if time.monotonic() < self._usable_until else None

    async def run(self, stopping: asyncio.Event) -> None:
        """A loop for `run_worker`."""
        retry = FIRST_RETRY_SECONDS
        renew_at = 0.0
        while not stopping.is_set():
            asked_at = time.monotonic()
            useless = self._token if asked_at >= self._usable_until else None
            # Renewing a rejected token is a call like any other while calls are stopped: one in five seconds.
            if self._gate.rejected_token is not None and asked_at >= renew_at:
                useless = self._gate.rejected_token
                renew_at = asked_at + RENEW_REJECTED_SECONDS
            try:
                token = await self._source.obtain(useless)
            except (NoTokenError, UnreadableTokenError, DatabaseUnavailableError) as error:
                _log.warning("no_access_token", reason=str(error), seconds_to_next_try=retry)
                pause, retry = retry, min(retry * 2, LAST_RETRY_SECONDS)
            else:
                self._use(token, asked_at)
                seconds = CHECK_SECONDS if token.usable_seconds is None else token.usable_seconds
                pause, retry = min(max(seconds, FIRST_RETRY_SECONDS), CHECK_SECONDS), FIRST_RETRY_SECONDS
            await wait_for_any(stopping, seconds=pause)

    async def check(self) -> None:
        """For readiness.

        Raises:
            NotReadyError: there is no token, or the Offers microservice rejects it.
        """
        if self._gate.state == "token_rejected":
            raise NotReadyError("token_rejected: see `offers-sync token set` and `offers-sync rekey`")
        if self._token is None:
            raise NotReadyError("no access token yet")
        if time.monotonic() > self._usable_until + RENEWAL_SECONDS:
            raise NotReadyError("the access token has expired")

    def _use(self, token: AccessToken, asked_at: float) -> None:
        if token.value == self._token:
            # How long it lives was learnt with it, and is kept by a clock that nobody sets.
            return
        _log.info("access_token_in_use", usable_seconds=token.usable_seconds)
        self._token = token.value
        self._usable_until = float("inf") if token.usable_seconds is None else asked_at + token.usable_seconds
        self._gate.use_token(token.value)
