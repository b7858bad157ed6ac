"""Refuses, when a webhook is made, what could not be sent to: so that its maker hears of it at once.

It is no more than that: where a name leads may change, so what counts is looked at with every message.
"""

import asyncio
from dataclasses import dataclass, field
from typing import Final

from aiohttp.abc import AbstractResolver
from yarl import URL

from catalog_api.clients.host_addresses import HostAddresses
from catalog_api.domain.errors import TargetRefusedError
from catalog_api.domain.targets import OTHERWISE, Targets, checked_url, is_public

LOOKUP_SECONDS: Final = 5.0


@dataclass(frozen=True, slots=True)
class CheckTarget:
    """Looks at URLs by what webhooks may lead to."""

    targets: Targets
    resolver: AbstractResolver = field(default_factory=HostAddresses)

    async def __call__(self, url: str) -> None:
        """Nothing, if a webhook may have it.

        Raises:
            TargetRefusedError: it is no URL for a webhook, its host has no address, or one that is not public.
        """
        try:
            host = URL(checked_url(url, self.targets), encoded=True).raw_host or ""
        except ValueError as error:
            raise TargetRefusedError(str(error)) from None
        try:
            async with asyncio.timeout(LOOKUP_SECONDS):
                found = await self.resolver.resolve(host)
        except (OSError, TimeoutError):
            raise TargetRefusedError("must have a host that has an address") from None
        if self.targets is Targets.PUBLIC and not all(is_public(address["host"]) for address in found):
            raise TargetRefusedError(f"must not lead to an address that is not public{OTHERWISE}")
