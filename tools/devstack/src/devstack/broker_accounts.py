"""The broker's accounts, what each may do, all exchanges and queues: from the definitions that anyone would load."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from devstack.broker_management import BrokerManagement

DEFINITIONS: Final = Path(__file__).parents[4] / "deploy/rabbitmq/definitions.json"


def prepare_broker(management: BrokerManagement, passwords: Mapping[str, str]) -> None:
    """Create what is not there yet, and give each account its password and its rights of today."""
    definitions = json.loads(DEFINITIONS.read_text())
    for permissions in definitions["permissions"]:
        management.create_user(permissions["user"], passwords[permissions["user"]])
    management.load(definitions)
