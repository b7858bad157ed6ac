"""RabbitMQ's definitions of all that we need there: exchanges, queues, bindings, accounts, what these may do and hold.

Run as `event-bus-definitions`, to be loaded when a broker starts (`load_definitions`) or with `rabbitmqctl
import_definitions`. Loading them again changes nothing but passwords. For RabbitMQ 3.10 and 4.

Passwords come from the environment, such as CATALOG_API_RABBITMQ_PASSWORD, and so do EVENT_LOG_MAX_AGE and
EVENT_LOG_MAX_BYTES, which say how much of the past the log keeps. What `--without-users` prints is checked in
as `deploy/rabbitmq/definitions.json`, for whoever makes the accounts otherwise.
"""

import argparse
import base64
import hashlib
import json
import os
import re
import secrets
import sys
from collections.abc import Mapping
from typing import Any, Final

from aggregator_contracts.log import LogBounds
from aggregator_contracts.topology import EXCHANGE, LOG, SUBSCRIBER
from event_bus.permissions import PERMISSIONS
from event_bus.topology import BINDINGS, EXCHANGES, QUEUES

VHOST: Final = "aggregator"
_SALT_BYTES: Final = 4
SUBSCRIBERS_BYTES: Final = 2**30
"""What the queue of another system holds at most: some three million products' offers."""

Json = dict[str, Any]


def definitions(
    vhost: str = VHOST, passwords: Mapping[str, str] | None = None, *, prefix: str = "", log: LogBounds | None = None
) -> Json:
    """The definitions for one virtual host.

    Args:
        vhost: it is made if need be.
        passwords: one for each account; without them the definitions have no users.
        prefix: what the users' names begin with, as they are the same in all virtual hosts of a broker.
        log: what the log keeps, the default's if None.
    """
    accounts = {
        "permissions": [
            {"user": prefix + p.account, "vhost": vhost, "configure": p.configure, "write": p.write, "read": p.read}
            for p in PERMISSIONS
        ],
        "topic_permissions": [
            {
                "user": prefix + p.account,
                "vhost": vhost,
                "exchange": EXCHANGE,
                "write": p.topic_write,
                "read": p.topic_read,
            }
            for p in PERMISSIONS
        ],
    }
    users = (
        {} if passwords is None else {"users": [_user(prefix + p.account, passwords[p.account]) for p in PERMISSIONS]}
    )
    policies = [_subscribers_policy(vhost), _log_policy(vhost, log or LogBounds())]
    return {"vhosts": [{"name": vhost}], **users, **accounts, "policies": policies, **_topology(vhost)}


def _subscribers_policy(vhost: str) -> Json:
    # A policy's overflow comes before that of a quorum queue's arguments. A full queue loses its oldest messages: one
    # that rejects new ones would have every publisher wait for ever, and one without a bound fills the disk.
    return {
        "vhost": vhost,
        "name": "subscribers",
        "pattern": rf"^{SUBSCRIBER}\.",
        "apply-to": "queues",
        "priority": 0,
        "definition": {"max-length-bytes": SUBSCRIBERS_BYTES, "overflow": "drop-head"},
    }


def _log_policy(vhost: str, bounds: LogBounds) -> Json:
    return {
        "vhost": vhost,
        "name": "log",
        "pattern": f"^{re.escape(LOG)}$",
        "apply-to": "queues",
        "priority": 0,
        "definition": bounds.policy,
    }


def _topology(vhost: str) -> Json:
    lasting = {"vhost": vhost, "durable": True, "auto_delete": False}
    return {
        "exchanges": [
            {"name": exchange.name, **lasting, "type": exchange.type, "internal": False, "arguments": {}}
            for exchange in EXCHANGES
        ],
        "queues": [{"name": queue.name, **lasting, "arguments": queue.arguments} for queue in QUEUES],
        "bindings": [
            {
                "source": binding.exchange,
                "vhost": vhost,
                "destination": binding.queue,
                "destination_type": "queue",
                "routing_key": binding.routing_key,
                "arguments": {},
            }
            for binding in BINDINGS
        ],
    }


def _user(name: str, password: str) -> Json:
    # https://www.rabbitmq.com/docs/passwords#computing-password-hash
    salt = secrets.token_bytes(_SALT_BYTES)
    digest = hashlib.sha256(salt + password.encode()).digest()
    return {
        "name": name,
        "password_hash": base64.b64encode(salt + digest).decode(),
        "hashing_algorithm": "rabbit_password_hashing_sha256",
        "tags": "",
    }


def main() -> int:
    """The command; 2 when a password is missing, or a bound can't be used."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--vhost", default=VHOST)
    parser.add_argument("--without-users", action="store_true", help="leave out users, and so their passwords")
    arguments = parser.parse_args()
    passwords = None
    if not arguments.without_users:
        variables = {p.account: f"{p.account.upper().replace('-', '_')}_RABBITMQ_PASSWORD" for p in PERMISSIONS}
        passwords = {account: os.environ.get(variable, "") for account, variable in variables.items()}
        missing = [variables[account] for account, password in passwords.items() if not password]
        if missing:
            sys.stderr.write(f"event-bus-definitions: not set: {', '.join(missing)}\n")
            return 2
    try:
        log = LogBounds.from_environment(os.environ)
    except ValueError as error:
        sys.stderr.write(f"event-bus-definitions: {error}\n")
        return 2
    sys.stdout.write(json.dumps(definitions(arguments.vhost, passwords, log=log), indent=2) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
