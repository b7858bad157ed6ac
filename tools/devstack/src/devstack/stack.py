"""The whole system on one machine: starts it in order, knows its processes, stops it in the reverse order."""

import time
from collections.abc import Callable, Iterator, Sequence
from types import TracebackType
from typing import Any, Self

from aggregator_contracts.topology import SUBSCRIBER
from devstack import api_access
from devstack.broker_accounts import prepare_broker
from devstack.child import Child, Command
from devstack.conditions import wait_until
from devstack.databases import ADMINISTRATOR, DATABASES, owner_of, prepare_databases
from devstack.folder import StackFolder
from devstack.part import Part, stop_together
from devstack.plan import SERVICES, Plan, Ports, Reach, directly
from devstack.ports import free_port
from devstack.postgresql import PostgresServer
from devstack.private_broker import Broker, OpenBroker, private_broker
from devstack.settings import StackSettings

MIGRATION_SECONDS = 120.0

Say = Callable[[str], None]


def say_nothing(_: str) -> None:
    """For stacks that nobody watches."""


class Stack:
    """One stack. `start` returns when every process is ready; as a context manager it is running inside.

    `say` hears what is being done. `interrupted` is called in every wait, to raise what should end it. `reach` makes
    of the URL of a database, of the broker or of the Offers MS the one that our processes are told, which may lead
    through a proxy. `open_broker` makes the broker, which may be a cluster.
    """

    def __init__(
        self,
        settings: StackSettings,
        *,
        say: Say = say_nothing,
        interrupted: Callable[[], None] | None = None,
        reach: Reach = directly,
        open_broker: OpenBroker = private_broker,
    ) -> None:
        self.settings = settings
        self.folder = StackFolder(settings.folder)
        self.parts: dict[str, Part] = {}
        self.plan: Plan | None = None
        #: An admin token of the API; None while access is off.
        self.api_token: str | None = None
        self._say = say
        self._interrupted = interrupted
        self._reach = reach
        self._open_broker = open_broker
        self._postgres: PostgresServer | None = None
        self.broker: Broker | None = None
        self._passwords: dict[str, str] = {}
        self._migrations: list[Child] = []

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def start(self) -> None:
        """Start everything, and write `stack.json`. However it ends, `stop` is to be called.

        Raises:
            SettingError: a port is taken.
            FolderUnusable: another run has the folder, or the disk is full.
            RabbitMissing: there is no RabbitMQ and no way to get it.
            ProcessDied, NotReady: a process did not start.
        """
        self.folder.acquire()
        self.folder.end_leftovers(self._say)
        self.folder.turn_logs()
        self._start_in_order(Ports.choose(self.settings))

    def stop(self) -> None:
        """Drain and stop in reverse order: our services at once, the simulator, then broker and database."""
        servers = [*self._broker_parts(), *([] if self._postgres is None else [self._postgres])]
        services = [part for part in self.parts.values() if part not in servers]
        for migration in self._migrations:
            migration.kill()
        in_order = (
            [part for part in services if part.name != "offers-simulator"],
            [part for part in services if part.name == "offers-simulator"],
            servers,
        )
        for parts in in_order:
            for name in stop_together(parts):
                self._say(f"{name} did not end in time, and was killed")
        if self.folder.held:
            self.folder.forget_run()
            self.folder.release()

    def start_process(self, name: str) -> None:
        """Start a process again that has ended, under its name; does not wait until it is ready."""
        self.parts[name].start()
        self.folder.record(self._children())
        if self.folder.description.exists():
            self.folder.describe(self.description())

    def stop_process(self, name: str) -> None:
        """Drain and stop one process."""
        self.parts[name].stop()

    def kill_process(self, name: str) -> None:
        """End one process as a crash would."""
        self.parts[name].kill()

    def description(self) -> dict[str, Any]:
        """What `stack.json` tells; its accounts may do anything on this stack, but for the subscribers'."""
        if self.plan is None or self._postgres is None or self.broker is None:
            raise RuntimeError("the stack has not been started")
        password = self._passwords[ADMINISTRATOR]
        return {
            "catalog_url": self.plan.catalog_url,
            "price_history_url": self.plan.price_history_url,
            **({} if self.api_token is None else {"api_token": self.api_token}),
            "offers_base_url": self.plan.offers_base_url,
            "rabbitmq_url": self.broker.url(),
            "rabbitmq_subscriber_url": self.broker.url(user=SUBSCRIBER, password=self._passwords[SUBSCRIBER]),
            "rabbitmq_management_url": self.broker.management.url,
            "databases": {name: self._postgres.dsn(name, ADMINISTRATOR, password) for name in DATABASES},
            "processes": {
                name: {"pid": part.child.pid, "health_url": part.health_url}
                for name, part in self.parts.items()
                if part.child is not None
            },
        }

    def _start_in_order(self, ports: Ports) -> None:
        self._passwords = self.folder.passwords()
        postgres, broker = self._launch_servers(ports)

        def dsn(database: str, role: str) -> str:
            return self._reach(postgres.dsn(database, role, self._passwords[role]))

        plan = self.plan = Plan(
            self.settings,
            ports,
            dsns={name: dsn(name, name) for name in DATABASES},
            owner_dsns={name: dsn(name, owner_of(name)) for name in DATABASES},
            rabbitmq_urls={
                name: self._reach(broker.url(user=name, password=self._passwords[name])) for name in SERVICES
            },
            log=self.folder.log,
            price_history_token=self._passwords["price_history_api"],
            reach=self._reach,
        )
        self._wait_for(postgres, f"PostgreSQL is ready on port {postgres.port}")
        prepare_databases(postgres, self._passwords)
        simulator = plan.simulator(self.folder.path / "offers-simulator.state")
        if simulator is not None:
            self._launch(simulator)
        self._migrate(plan)
        for node in broker.parts:
            self._wait_for(node, f"{node.name} is ready")
        prepare_broker(broker.management, self._passwords, self.settings.event_log)
        if simulator is not None:
            self._wait_for(simulator, f"the Offers MS simulator is ready on port {ports.simulator}")
        services = plan.services()
        for service in services:
            self._launch(service)
        for service in services:
            self._wait_for(service, f"{service.name} is ready")
        if plan.access_required:
            self.api_token = api_access.kept_token(plan, self.folder) or self._first_api_token(plan)
        self.folder.describe(self.description())

    def _first_api_token(self, plan: Plan) -> str:
        token = api_access.new_token(plan, self.folder)
        self._say(f"the first admin token of this stack, also in stack.json while it runs: {token}")
        return token

    def _launch_servers(self, ports: Ports) -> tuple[PostgresServer, Broker]:
        """Both at once: the broker takes its time."""
        broker = self.broker = self._open_broker(
            self.folder.path / "rabbitmq",
            log=self.folder.log("rabbitmq"),
            port=ports.rabbitmq,
            password=self._passwords["rabbitmq"],
            say=self._say,
        )
        self._say("starting RabbitMQ and PostgreSQL")
        for node in broker.parts:
            self._launch(node)
        postgres = self._postgres = PostgresServer(
            self.folder.path / "postgresql",
            log=self.folder.log("postgresql"),
            port=free_port(),
            password=self._passwords["postgres"],
        )
        self._launch(postgres)
        return postgres, broker

    def _broker_parts(self) -> Sequence[Part]:
        return () if self.broker is None else self.broker.parts

    def _launch(self, part: Part) -> None:
        self.parts[part.name] = part
        part.start()
        self.folder.record(self._children())

    def _wait_for(self, part: Part, news: str) -> None:
        part.wait_until_ready(self._look)
        self._say(news)

    def _look(self) -> None:
        """In every wait: what one part waits for may be another one that died."""
        if self._interrupted is not None:
            self._interrupted()
        for part in self.parts.values():
            part.check()

    def _migrate(self, plan: Plan) -> None:
        """Bring all databases up to date, side by side."""
        began = time.monotonic()
        self._migrations = [
            Child(
                Command(
                    name=f"{script} migrate",
                    argv=argv,
                    env=plan.migration_environment(script),
                    log=self.folder.log(f"{script}-migrate"),
                )
            )
            for script, argv in plan.migrations().items()
        ]
        self.folder.record(self._children())

        def migrated() -> bool:
            for migration in self._migrations:
                if migration.exit_code not in (None, 0):
                    migration.check()
            return all(migration.exit_code == 0 for migration in self._migrations)

        if not wait_until(migrated, seconds=MIGRATION_SECONDS, interrupted=self._look):
            raise TimeoutError(f"the databases are not migrated after {MIGRATION_SECONDS:.0f} s")
        self._say(f"the databases are up to date, after {time.monotonic() - began:.1f} s of migrations")

    def _children(self) -> Iterator[Child]:
        """All that runs, in the order in which a later run would have to end it."""
        yield from self._migrations
        for part in reversed(self.parts.values()):
            yield from part.children
