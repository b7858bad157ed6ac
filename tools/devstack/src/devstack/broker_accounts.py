"""The broker's accounts, what each may do, all exchanges and queues: from the definitions that anyone would load."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from aggregator_contracts.log import LogBounds
from devstack.broker_management import BrokerManagement

DEFINITIONS: Final = Path(__file__).parents[4] / "deploy/rabbitmq/definitions.json"


def prepare_broker(management: BrokerManagement, passwords: Mapping[str, str], log: LogBounds) -> None:
    """Create what is not there yet, give each account its password and its rights of today, and the log its bounds."""
    definitions = json.loads(DEFINITIONS.read_text())
    for policy in definitions["policies"]:
        if policy["name"] == "log":
            policy["definition"] = log.policy
    for permissions in definitions["permissions"]:
        management.create_user(permissions["user"], passwords[permissions["user"]])
    management.load(definitions)
