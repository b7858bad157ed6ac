"""Liveness, readiness and metrics over HTTP, the same for every process."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

CHECK_SECONDS: Final = 2.0

Check = Callable[[], Awaitable[None]]
"""Raises when what it checks does not answer."""


@dataclass(frozen=True, slots=True)
class Readiness:
    """The named checks that must pass before a process is sent work."""

    checks: Mapping[str, Check] = field(default_factory=dict)

    async def failing(self) -> dict[str, str]:
        """The failing checks' names, each with its reason; each check has two seconds."""
        reasons = await asyncio.gather(*(self._reason(check) for check in self.checks.values()))
        return {name: reason for name, reason in zip(self.checks, reasons, strict=True) if reason is not None}

    async def _reason(self, check: Check) -> str | None:
        try:
            async with asyncio.timeout(CHECK_SECONDS):
                await check()
        except TimeoutError:
            return f"no answer within {CHECK_SECONDS:g} s"
        except Exception as error:  # noqa: BLE001 - whatever a check raises is the finding
            # The message of a driver's error may hold a host name or an account, so only its class is shown;
            # checks of ours that want to say more raise NotReadyError.
            return str(error) if isinstance(error, NotReadyError) else type(error).__name__
        return None


class NotReadyError(Exception):
    """Raised by a check; its text is shown to whoever asks for readiness, so it holds no secrets."""


def health_routes(readiness: Readiness) -> list[Route]:
    """`/healthz` (the process lives), `/readyz` (its dependencies answer, else 503) and `/metrics` (Prometheus).

    `/` lists them, for a person who has only the process's address.
    """

    async def index(_: Request) -> Response:
        return JSONResponse({"health": ["/healthz", "/readyz", "/metrics"]})

    async def healthz(_: Request) -> Response:
        return JSONResponse({"status": "alive"})

    async def readyz(_: Request) -> Response:
        failing = await readiness.failing()
        if not failing:
            return JSONResponse({"status": "ready"})
        problem = {
            "type": "about:blank",
            "title": "Not ready",
            "status": 503,
            "detail": "; ".join(f"{name}: {reason}" for name, reason in failing.items()),
            "failing": failing,
        }
        return JSONResponse(problem, 503, {"Retry-After": "5"}, media_type="application/problem+json")

    async def metrics(_: Request) -> Response:
        return Response(generate_latest(), headers={"Content-Type": CONTENT_TYPE_LATEST})

    return [Route("/", index), Route("/healthz", healthz), Route("/readyz", readyz), Route("/metrics", metrics)]
