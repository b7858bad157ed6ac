"""A cluster of three brokers whose queues' leader is killed, frozen, or cut off: the other two carry on (C1 to C3)."""

from collections.abc import Iterator
from contextlib import ExitStack

import pytest
from tests.faults.laboratory.cluster import Cluster
from tests.faults.laboratory.laboratory import Laboratory
from tests.faults.laboratory.load import Load
from tests.faults.laboratory.report import Report

from aggregator_contracts.topology import SUBSCRIPTIONS
from devstack.linux_processes import frozen
from devstack.rabbitmq import RabbitNode

pytestmark = [pytest.mark.thorough, pytest.mark.timeout(300)]

FAILOVER_SECONDS = 60
"""In which everything works on the other two nodes. Their peer is missed after ten seconds, its consumers notice within
twenty that it does not answer, closing and connecting take up to ten more, and the next try may be at it once more."""
RECOVERY_SECONDS = 30
RETURN_SECONDS = 60


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Cluster, Laboratory]]:
    with ExitStack() as close:
        cluster = Cluster(close)
        yield cluster, Laboratory(tmp_path_factory.mktemp("cluster"), close, open_broker=cluster.open)


@pytest.fixture
def cluster(stack: tuple[Cluster, Laboratory]) -> Cluster:
    return stack[0]


@pytest.fixture
def laboratory(stack: tuple[Cluster, Laboratory], cluster: Cluster) -> Laboratory:
    _, laboratory = stack
    laboratory.until(lambda: whole(cluster), RETURN_SECONDS, "every queue has three members")
    return laboratory


def whole(cluster: Cluster) -> bool:
    """Whether all queues are there, with all their members at work."""
    queues = {queue["name"] for queue in cluster.queues()}
    return not cluster.incomplete() and queues >= {subscription.queue for subscription in SUBSCRIPTIONS}


def goes_on(laboratory: Laboratory, report: Report) -> None:
    """Everything works on the other nodes; call it when this one has just gone."""
    seconds = laboratory.recovery_seconds(within=FAILOVER_SECONDS)
    report.note(f"all works without it after {seconds:.1f} s")


def leader(laboratory: Laboratory, cluster: Cluster, load: Load, report: Report) -> RabbitNode:
    """The node that leads most queues, once the load runs."""
    laboratory.until(lambda: load.count("accepted") > 20, 30, "load")
    node = cluster.leader()
    report.note(f"{node.name} led {cluster.led(node)} of {len(cluster.queues())} queues")
    return node


def settle(laboratory: Laboratory, cluster: Cluster, load: Load, report: Report) -> None:
    """The API took everything meanwhile, the cluster is whole again, and the books balance."""
    report.loaded(load)
    report.note(f"p99 {1000 * load.slowest(0.99):.0f} ms")
    laboratory.until(lambda: whole(cluster), RETURN_SECONDS, "every queue has three members again")
    report.balanced(laboratory.drain(load))
    assert load.count("accepted") == len(load.requests)
    laboratory.clear(load)


@pytest.mark.fault("C1", group="cluster")
def test_the_leading_node_is_killed_and_returns(laboratory: Laboratory, cluster: Cluster, report: Report) -> None:
    with laboratory.load(1, rate=15) as load:
        node = leader(laboratory, cluster, load, report)
        laboratory.stack.kill_process(node.name)
        goes_on(laboratory, report)
        laboratory.stack.start_process(node.name)
        node.wait_until_ready()
        report.recovered(laboratory.recovery_seconds(within=RECOVERY_SECONDS))
    settle(laboratory, cluster, load, report)


@pytest.mark.fault("C2", group="cluster")
def test_the_leading_node_freezes_until_others_lead(laboratory: Laboratory, cluster: Cluster, report: Report) -> None:
    with laboratory.load(2, rate=15) as load:
        node = leader(laboratory, cluster, load, report)
        with frozen(laboratory.pid(node.name)):
            goes_on(laboratory, report)
        report.recovered(laboratory.recovery_seconds(within=RECOVERY_SECONDS))
        if cluster.partitioned(node):
            # A node that wakes up does not know that it was away, so `pause_minority` does not pause it. What its
            # connections had in hand stays there until whoever runs the cluster starts it again.
            laboratory.stack.stop_process(node.name)
            laboratory.stack.start_process(node.name)
            node.wait_until_ready()
            report.note("it was partitioned, and had to be started again")
    settle(laboratory, cluster, load, report)


@pytest.mark.fault("C3", group="cluster")
def test_the_leading_node_is_cut_off_from_the_others(laboratory: Laboratory, cluster: Cluster, report: Report) -> None:
    if cluster.switch is None:
        pytest.skip("the nodes share one network, as no others can be made here (root and iproute2 can, on Linux)")
    with laboratory.load(3, rate=15) as load:
        node = leader(laboratory, cluster, load, report)
        cluster.unplug(node)
        goes_on(laboratory, report)
        cluster.plug(node)
        report.recovered(laboratory.recovery_seconds(within=RECOVERY_SECONDS))
    settle(laboratory, cluster, load, report)
