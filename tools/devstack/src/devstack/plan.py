"""Which processes of ours make up a stack, and what each is told."""

import sys
import sysconfig
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from devstack.ports import LOOPBACK, free_port, is_free
from devstack.service_process import ServiceProcess
from devstack.settings import DEMO_POLL_SECONDS, SettingError, StackSettings

#: Console script of each service, with the name of its database.
SERVICES: Final = {"catalog-api": "catalog", "offers-sync": "offers_sync", "price-history": "price_history"}

#: Makes of a URL the one that our processes are told, such as one of a proxy.
Reach = Callable[[str], str]


def directly(url: str) -> str:
    """With nothing in between."""
    return url


@dataclass(frozen=True)
class Ports:
    """The ports of the stack, none of them 0."""

    catalog: int
    price_history: int
    simulator: int
    rabbitmq: int

    @classmethod
    def choose(cls, settings: StackSettings) -> "Ports":
        """The ports set, checked, and free ones for those set to 0. Raises SettingError for one that is taken."""
        return cls(
            catalog=_usable(settings.catalog_port, "CATALOG_PORT"),
            price_history=_usable(settings.price_history_port, "PRICE_HISTORY_PORT"),
            simulator=_usable(0 if settings.offers_base_url else settings.simulator_port, "SIMULATOR_PORT"),
            rabbitmq=_usable(settings.rabbitmq_port, "RABBITMQ_PORT"),
        )


@dataclass(frozen=True)
class Plan:
    """Our processes, made from what they depend on: their databases' DSNs by name, and the broker's URLs by service.

    Those of the databases' owners, `owner_dsns`, are for migrations only.

    `price_history_token` is what the catalog shows to price-history. `reach` makes of the URL of the Offers MS the one
    that they are told.
    """

    settings: StackSettings
    ports: Ports
    dsns: Mapping[str, str]
    owner_dsns: Mapping[str, str]
    rabbitmq_urls: Mapping[str, str]
    log: Callable[[str], Path]
    price_history_token: str
    reach: Reach = directly

    @property
    def catalog_url(self) -> str:
        """Base URL of catalog-api."""
        return f"http://{self._reachable_host}:{self.ports.catalog}"

    @property
    def price_history_url(self) -> str:
        """Base URL of price-history."""
        return f"http://{self._reachable_host}:{self.ports.price_history}"

    @property
    def offers_base_url(self) -> str:
        """Base URL of the Offers MS, with its path prefix."""
        prefix = self.settings.environment.get("SIMULATOR_PATH_PREFIX", "/api/v1")
        return self.settings.offers_base_url or f"http://{LOOPBACK}:{self.ports.simulator}{prefix}"

    @property
    def access_required(self) -> bool:
        """Whether the APIs want to see tokens."""
        return self.settings.environment.get("API_AUTH") == "required"

    def migrations(self) -> dict[str, list[str]]:
        """The command that brings each service's database up to date."""
        return {script: [console_script(script), "migrate"] for script in SERVICES}

    def environment(self, script: str) -> dict[str, str]:
        """What every process of this service is told."""
        defaults = {"API_AUTH": "off"}
        if not self.access_required:
            defaults["WEBHOOK_TARGETS"] = "any"  # who develops a receiver runs it on this machine
        if script in ("catalog-api", "price-history"):
            defaults["PRICE_HISTORY_TOKEN"] = self.price_history_token
        if self.settings.hastened:
            defaults["OFFERS_POLL_INTERVAL_SECONDS"] = str(DEMO_POLL_SECONDS)
        decided = {
            "DATABASE_URL": self.dsns[SERVICES[script]],
            "RABBITMQ_URL": self.rabbitmq_urls[script],
            "PRICE_HISTORY_URL": self.price_history_url,
            "OFFERS_BASE_URL": self.reach(self.offers_base_url),
        }
        return {**defaults, **self.settings.environment, **decided}

    def migration_environment(self, script: str) -> dict[str, str]:
        """What the migration of this service is told."""
        # The first admin token is for the person who runs the stack, not for the log of a migration.
        owner = {"DATABASE_URL": self.owner_dsns[SERVICES[script]], "API_AUTH": "off"}
        return {**self.environment(script), **owner}

    def simulator(self, state: Path) -> ServiceProcess | None:
        """The Offers MS simulator, which keeps what it knows in the file `state`; None where a real one is used."""
        if self.settings.offers_base_url is not None:
            return None
        defaults = {"SIMULATOR_STATE": str(state)}
        if self.settings.hastened:
            defaults["SIMULATOR_TICK_SECONDS"] = str(DEMO_POLL_SECONDS)
        decided = {"HOST": LOOPBACK, "PORT": str(self.ports.simulator)}
        return ServiceProcess(
            "offers-simulator",
            [console_script("offers-simulator"), "serve"],
            env={**defaults, **self.settings.environment, **decided},
            log=self.log("offers-simulator"),
            health_url=f"http://{LOOPBACK}:{self.ports.simulator}",
        )

    def services(self) -> list[ServiceProcess]:
        """Every copy of every process, in the order in which they are started."""
        return [
            self._server("price-history", self.ports.price_history, self.price_history_url),
            *self._workers("price-history"),
            self._server("catalog-api", self.ports.catalog, self.catalog_url),
            *self._workers("catalog-api"),
            *self._workers("offers-sync"),
        ]

    def _server(self, script: str, port: int, url: str) -> ServiceProcess:
        name = f"{script}-serve"
        env = {**self.environment(script), "HOST": self.settings.host, "PORT": str(port)}
        return ServiceProcess(name, [console_script(script), "serve"], env=env, log=self.log(name), health_url=url)

    def _workers(self, script: str) -> list[ServiceProcess]:
        workers = []
        for copy in range(1, self.settings.scale.get(f"{script}-work", 1) + 1):
            name = f"{script}-work" if copy == 1 else f"{script}-work.{copy}"
            port = free_port()
            env = {**self.environment(script), "HEALTH_HOST": LOOPBACK, "HEALTH_PORT": str(port)}
            url = f"http://{LOOPBACK}:{port}"
            worker = ServiceProcess(name, [console_script(script), "work"], env=env, log=self.log(name), health_url=url)
            workers.append(worker)
        return workers

    @property
    def _reachable_host(self) -> str:
        return LOOPBACK if self.settings.host in ("0.0.0.0", "::", "localhost") else self.settings.host


def console_script(name: str) -> str:
    """The script as installed beside this interpreter. Raises FileNotFoundError."""
    for folder in (Path(sys.executable).parent, Path(sysconfig.get_path("scripts"))):
        if (folder / name).exists():
            return str(folder / name)
    raise FileNotFoundError(f"the console script {name} is not installed beside {sys.executable}")


def _usable(port: int, name: str) -> int:
    if port == 0:
        return free_port()
    if not is_free(port):
        raise SettingError(f"port {port} is in use: set {name} to another one, or to 0 for any that is free")
    return port
