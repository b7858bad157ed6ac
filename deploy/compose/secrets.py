"""Makes the passwords of the Compose stack, once, and tells each container its own and no other's.

Every folder below /secrets is a volume that one service has as /run/secrets. A variable of the environment decides a
password; without one, what was made before stays. Broker accounts and their rights, and how much of the past the log of
events keeps, are told to RabbitMQ from here, too.
"""

import base64
import hashlib
import json
import os
import re
import secrets
import sys
from pathlib import Path
from urllib.parse import quote

VOLUMES = Path("/secrets")
DEFINITIONS = Path("/definitions.json")
VHOST = "aggregator"
ADMINISTRATOR = "administrator"
# Each service with the name of its database, which is also its role's.
DATABASES = {"catalog-api": "catalog", "offers-sync": "offers_sync", "price-history": "price_history"}
# The volumes of those whose servers know something that their workers don't; the others have one for all.
WORKERS = {"catalog-api": ("catalog-api-worker",), "price-history": ("price-history-worker",)}
SMALLEST_LOG = 2 * 2**24  # two of its files


def write(volume: str, name: str, content: str) -> None:
    """Put a file into a volume, whole or not at all. Who has the volume may read it, whichever user it is."""
    new = VOLUMES / volume / f".{name}"
    new.write_text(content)
    new.chmod(0o444)
    new.replace(VOLUMES / volume / name)


def password(volume: str, name: str, variable: str | None = None) -> str:
    """The password kept in this file: the variable's, else the one that is there, else a new one of 192 bits."""
    file = VOLUMES / volume / name
    given = os.environ.get(variable, "") if variable else ""
    value = given or (file.read_text() if file.exists() else secrets.token_hex(24))
    write(volume, name, value)
    return value


def tell(service: str, name: str, content: str) -> None:
    """Put a file where every process of a service has it."""
    for volume in (service, *WORKERS.get(service, ())):
        write(volume, name, content)


def account(name: str, secret: str, tags: str) -> dict[str, str]:
    """A user for RabbitMQ's definitions: the password as a salted hash, as its documentation describes it."""
    salt = secrets.token_bytes(4)
    digest = base64.b64encode(salt + hashlib.sha256(salt + secret.encode()).digest()).decode()
    hashing = "rabbit_password_hashing_sha256"
    return {"name": name, "password_hash": digest, "hashing_algorithm": hashing, "tags": tags}


def database_url(database: str, role: str, variable: str) -> str:
    """The URL of a database for one of its roles, whose password PostgreSQL is told too."""
    secret = quote(password("postgres", role, variable), safe="")
    return f"postgresql://{role}:{secret}@postgres:5432/{database}"


def log_bounds(defaults: dict[str, str | int]) -> dict[str, str | int]:
    """The log's policy: what the environment says, checked as the services' own `LogBounds` does."""
    age = os.environ.get("EVENT_LOG_MAX_AGE") or str(defaults["max-age"])
    size = os.environ.get("EVENT_LOG_MAX_BYTES") or str(defaults["max-length-bytes"])
    if not re.fullmatch(r"[1-9][0-9]{0,8}[YMDhms]", age):
        sys.exit(f"EVENT_LOG_MAX_AGE must be such as 7D (Y, M, D, h, m or s), and is {age!r}")
    if not re.fullmatch(r"[0-9]{1,15}", size) or int(size) < SMALLEST_LOG:
        sys.exit(f"EVENT_LOG_MAX_BYTES must be {SMALLEST_LOG} or more, and is {size!r}")
    return {"max-age": age, "max-length-bytes": int(size)}


# What each account may do, and what there is at the broker, is told by the services' own code. First what can fail.
definitions = json.loads(DEFINITIONS.read_text())
policy = next(policy for policy in definitions["policies"] if policy["name"] == "log")
policy["definition"] = log_bounds(policy["definition"])

password("postgres", "superuser")
password("grafana", ADMINISTRATOR, "GRAFANA_PASSWORD")
for service, database in DATABASES.items():
    variable = f"{database.upper()}_DB_PASSWORD"
    tell(service, "DATABASE_URL", database_url(database, database, variable))
    write(f"{service}-migrate", "DATABASE_URL", database_url(database, f"{database}_owner", f"OWNER_OF_{variable}"))
write("price-history", "PRICE_HISTORY_TOKEN", password("catalog-api", "PRICE_HISTORY_TOKEN", "PRICE_HISTORY_TOKEN"))

accounts = {
    name: password("rabbitmq", name, f"{name.replace('-', '_').upper()}_RABBITMQ_PASSWORD")
    for name in (*(permission["user"] for permission in definitions["permissions"]), ADMINISTRATOR)
}
for service in DATABASES:
    tell(service, "RABBITMQ_URL", f"amqp://{service}:{quote(accounts[service], safe='')}@rabbitmq:5672/{VHOST}")
definitions["users"] = [
    account(name, secret, name if name == ADMINISTRATOR else "") for name, secret in accounts.items()
]
definitions["permissions"].append(
    {"user": ADMINISTRATOR, "vhost": VHOST, "configure": ".*", "write": ".*", "read": ".*"}
)
write("rabbitmq", "definitions.json", json.dumps(definitions, indent=1))
