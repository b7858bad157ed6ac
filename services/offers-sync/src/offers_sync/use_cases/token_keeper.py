"""Keeps the access token at hand for all that call, and notices when another one is stored."""

import asyncio
import time
from typing import Final

import structlog

from lifecycle import NotReadyError, wait_for_any
from offers_sync.db.engine import DatabaseUnavailableError
from offers_sync.domain.access_token import AccessToken
from offers_sync.domain.call_gate import CallGate
from offers_sync.use_cases.access_tokens import NoTokenError, TokenSource

CHECK_SECONDS: Final = 2.0
RENEW_REJECTED_SECONDS: Final = 5.0
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
            # Renewing a rejected token is a call like any other while calls are stopped: one in five seconds.
            rejected = self._gate.rejected_token if asked_at >= renew_at else None
            if rejected is not None:
                renew_at = asked_at + RENEW_REJECTED_SECONDS
            try:
                token = await self._source.obtain(rejected)
            except (NoTokenError, DatabaseUnavailableError) as error:
                _log.warning("no_access_token", reason=str(error), seconds_to_next_try=retry)
                pause, retry = retry, min(retry * 2, LAST_RETRY_SECONDS)
            else:
                self._use(token, asked_at)
                pause, retry = min(CHECK_SECONDS, token.usable_seconds or CHECK_SECONDS), FIRST_RETRY_SECONDS
            await wait_for_any(stopping, seconds=pause)

    async def check(self) -> None:
        """For readiness.

        Raises:
            NotReadyError: there is no token, or the Offers microservice rejects it.
        """
        if self._gate.state == "token_rejected":
            raise NotReadyError("token_rejected: see `offers-sync token set` and `offers-sync rekey`")
        if self.token is None:
            raise NotReadyError("no access token yet")

    def _use(self, token: AccessToken, asked_at: float) -> None:
        if token.value != self._token:
            _log.info("access_token_in_use", usable_seconds=token.usable_seconds)
        self._token = token.value
        self._usable_until = float("inf") if token.usable_seconds is None else asked_at + token.usable_seconds
        self._gate.use_token(token.value)
