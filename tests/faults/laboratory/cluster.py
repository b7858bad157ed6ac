"""Three RabbitMQ nodes of our own as one cluster, each in a network of its own where that can be made (it takes root).

Elsewhere all three listen on the loopback address under names of their own, and none can be cut off from the others.
"""

import contextlib
import secrets
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Self

from tests.faults.laboratory.networks import Switch
from tests.faults.laboratory.proxy import Proxies

from devstack.broker_management import BrokerManagement
from devstack.epmd import Epmd
from devstack.ports import LOOPBACK, free_port
from devstack.rabbitmq import ADMINISTRATOR, VHOST, Placement, RabbitNode
from devstack.rabbitmq_installation import require_server_script

NODES: Final = 3
TICK_SECONDS: Final = 8


@dataclass(frozen=True)
class AnyNode(BrokerManagement):
    """The management API of whichever node answers."""

    nodes: tuple[BrokerManagement, ...] = ()

    def call(self, method: str, path: str, body: Any = None, *, seconds: float = 10.0) -> Any:
        """As each node's. Raises what the last one raised when none answers."""
        for node in self.nodes[:-1]:
            with contextlib.suppress(OSError):
                return node.call(method, path, body, seconds=seconds)
        return self.nodes[-1].call(method, path, body, seconds=seconds)


class Cluster:
    """The nodes `rabbitmq.1` to `rabbitmq.3`; what serves them ends with `close`."""

    def __init__(self, close: ExitStack) -> None:
        self._close = close
        self.switch: Switch | None = None
        with contextlib.suppress(OSError):
            self.switch = close.enter_context(Switch(NODES))
        self.parts: list[RabbitNode] = []
        self._names = [f"rabbit{number}@{self._address(number)}" for number in range(1, NODES + 1)]

    def open(self, folder: Path, *, log: Path, port: int, password: str, say: Callable[[str], None]) -> Self:
        """Make the nodes, without starting them: what a stack calls for its broker."""
        script = require_server_script(say)
        cookie, epmd_port = secrets.token_hex(16), free_port()
        if self.switch is None:
            # One for all of them, so it must not end with any of them: each finds that it runs already.
            epmd = Epmd(epmd_port, log=log.with_name("epmd.log"))
            epmd.start({"HOME": str(folder)})
            self._close.callback(epmd.kill)
        for number, node in enumerate(self._names, 1):
            process = f"rabbitmq.{number}"
            self.parts.append(
                RabbitNode(
                    folder / process,
                    server_script=script,
                    log=log.with_name(f"{process}.log"),
                    port=port if number == 1 else free_port(),
                    password=password,
                    placement=Placement(
                        process=process,
                        node=node,
                        enter=() if self.switch is None else self.switch.networks[number].enter,
                        epmd_port=epmd_port,
                        cookie=cookie,
                        configuration=self._configuration(),
                        tick_seconds=TICK_SECONDS,
                    ),
                )
            )
        self._lead_into_networks()
        return self

    @property
    def management(self) -> BrokerManagement:
        """The management API of any node."""
        nodes = tuple(node.management for node in self.parts)
        return AnyNode(nodes[0].url, nodes[0].user, nodes[0].password, nodes)

    def url(self, vhost: str = VHOST, user: str = ADMINISTRATOR, password: str | None = None) -> str:
        """The URLs of all nodes, separated by commas."""
        return ",".join(node.url(vhost, user, password) for node in self.parts)

    def queues(self) -> list[dict[str, Any]]:
        """Every queue, as the management API describes it."""
        queues: list[dict[str, Any]] = self.management.call("GET", f"/queues/{VHOST}")
        return queues

    def leader(self) -> RabbitNode:
        """The node that leads most queues."""
        [(name, _)] = self._leaders().most_common(1)
        return self.parts[self._names.index(name)]

    def led(self, node: RabbitNode) -> int:
        """How many queues a node leads."""
        return self._leaders()[self._names[self.parts.index(node)]]

    def partitioned(self, node: RabbitNode) -> bool:
        """Whether a node says that it and others have not agreed since they lost sight of one another."""
        nodes = node.management.call("GET", "/nodes")
        return any(seen.get("partitions") for seen in nodes)

    def _leaders(self) -> Counter[str]:
        return Counter(queue.get("leader") or "" for queue in self.queues())

    def incomplete(self) -> list[str]:
        """The queues that have not three members at work."""
        return [queue["name"] for queue in self.queues() if len(queue.get("online", ())) != NODES]

    def unplug(self, node: RabbitNode) -> None:
        """Cut a node off from the others. Its clients reach it still."""
        assert self.switch is not None
        self.switch.unplug(self.parts.index(node) + 1)

    def plug(self, node: RabbitNode) -> None:
        """End that."""
        assert self.switch is not None
        self.switch.plug(self.parts.index(node) + 1)

    def _address(self, number: int) -> str:
        return LOOPBACK if self.switch is None else self.switch.address(number)

    def _configuration(self) -> str:
        members = "".join(
            f"cluster_formation.classic_config.nodes.{number} = {node}\n" for number, node in enumerate(self._names, 1)
        )
        return (
            "cluster_formation.peer_discovery_backend = classic_config\n"
            f"{members}"
            f"cluster_formation.target_cluster_size_hint = {NODES}\n"
            "cluster_partition_handling = pause_minority\n"
        )

    def _lead_into_networks(self) -> None:
        """Have everybody on this machine reach the nodes on the loopback address, as if they were there."""
        if self.switch is None:
            return
        ways = self._close.enter_context(Proxies())
        for number, node in enumerate(self.parts, 1):
            for port in (node.port, int(node.management.url.rpartition(":")[2])):
                ways.lead(port, self.switch.address(number), self.switch.networks[number])
