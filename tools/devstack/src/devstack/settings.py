"""What the stack reads from the environment: the contract's variables for `make run`."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from aggregator_contracts.log import LogBounds

WORKERS: Final = ("catalog-api-work", "offers-sync-work", "price-history-work")
DEMO_POLL_SECONDS: Final = 5
MOST_COPIES: Final = 32


class SettingError(ValueError):
    """A variable of the environment can't be used; the message is one line that names it."""


@dataclass(frozen=True)
class StackSettings:
    """One stack. A port of 0 takes any free one."""

    folder: Path = Path(".local")
    catalog_port: int = 8000
    price_history_port: int = 8001
    simulator_port: int = 8010
    rabbitmq_port: int = 5673
    offers_base_url: str | None = None
    demo: bool = True
    scale: Mapping[str, int] = field(default_factory=dict)
    restart: bool = False
    event_log: LogBounds = field(default_factory=LogBounds)
    #: The whole environment, which every process of ours gets, with what the stack itself decides put over it.
    environment: Mapping[str, str] = field(default_factory=dict)

    @property
    def host(self) -> str:
        """The address that the HTTP servers listen on."""
        return self.environment.get("HOST", "127.0.0.1")

    @property
    def hastened(self) -> bool:
        """Whether the demo polls, and the simulator changes prices, every few seconds instead of every minute."""
        return self.demo and self.offers_base_url is None and "OFFERS_POLL_INTERVAL_SECONDS" not in self.environment

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> "StackSettings":
        """Read them. Raises SettingError; an empty variable counts as unset."""
        given = {name: value.strip() for name, value in environment.items() if value.strip()}
        if given.get("API_AUTH", "off") not in ("required", "off"):
            raise SettingError(f"API_AUTH must be required or off, and is {given['API_AUTH']!r}")
        try:
            event_log = LogBounds.from_environment(given)
        except ValueError as error:
            raise SettingError(str(error)) from None
        offers_base_url = given.get("OFFERS_BASE_URL")
        return cls(
            folder=Path(given.get("STACK_DIR", ".local")),
            catalog_port=_port(given, "CATALOG_PORT", 8000),
            price_history_port=_port(given, "PRICE_HISTORY_PORT", 8001),
            simulator_port=_port(given, "SIMULATOR_PORT", 8010),
            rabbitmq_port=_port(given, "RABBITMQ_PORT", 5673),
            offers_base_url=offers_base_url,
            demo=_switch(given, "DEMO", default=offers_base_url is None),
            scale=_scale(given.get("SCALE", "")),
            restart=_switch(given, "RESTART", default=False),
            event_log=event_log,
            environment=given,
        )


def _port(given: Mapping[str, str], name: str, default: int) -> int:
    value = given.get(name, str(default))
    if not re.fullmatch(r"[0-9]{1,5}", value) or int(value) > 65_535:  # noqa: PLR2004 - the highest port
        raise SettingError(f"{name} must be a port, 0 to 65535, and is {value!r}")
    return int(value)


def _switch(given: Mapping[str, str], name: str, *, default: bool) -> bool:
    value = given.get(name, "1" if default else "0")
    if value not in ("0", "1"):
        raise SettingError(f"{name} must be 0 or 1, and is {value!r}")
    return value == "1"


def _scale(value: str) -> dict[str, int]:
    copies: dict[str, int] = {}
    for item in filter(None, (item.strip() for item in value.split(","))):
        name, _, count = item.partition("=")
        if name not in WORKERS or not re.fullmatch(r"[0-9]{1,3}", count) or int(count) > MOST_COPIES:
            raise SettingError(
                f"SCALE must be such as offers-sync-work=3,price-history-work=2 with 0 to {MOST_COPIES} copies "
                f"of {', '.join(WORKERS)}, and has {item!r}"
            )
        copies[name] = int(count)
    return copies
