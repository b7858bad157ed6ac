"""Makes the passwords of the Compose stack, once, and tells each container its own and no other's.

Every folder below /secrets is a volume that one service has as /run/secrets. A variable of the environment decides a
password; without one, what was made before stays. Broker accounts and their rights are told to RabbitMQ from here, too.
"""

import base64
import hashlib
import json
import os
import secrets
from pathlib import Path
from urllib.parse import quote

VOLUMES = Path("/secrets")
VHOST = "aggregator"
# Each service with the name of its database, which is also its role's.
DATABASES = {"catalog-api": "catalog", "offers-sync": "offers_sync", "price-history": "price_history"}


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


def account(name: str, secret: str, tags: str) -> dict[str, str]:
    """A user for RabbitMQ's definitions: the password as a salted hash, as its documentation describes it."""
    salt = secrets.token_bytes(4)
    digest = base64.b64encode(salt + hashlib.sha256(salt + secret.encode()).digest()).decode()
    hashing = "rabbit_password_hashing_sha256"
    return {"name": name, "password_hash": digest, "hashing_algorithm": hashing, "tags": tags}


def rights(user: str) -> dict[str, str]:
    """What a user may do in our virtual host: regular expressions over names of exchanges and queues."""
    return {"user": user, "vhost": VHOST, "configure": ".*", "write": ".*", "read": ".*"}


password("postgres", "superuser")
password("grafana", "administrator", "GRAFANA_PASSWORD")
broker = {"administrator": password("rabbitmq", "administrator", "RABBITMQ_ADMINISTRATOR_PASSWORD")}
for service, database in DATABASES.items():
    prefix = database.upper()
    secret = quote(password("postgres", database, f"{prefix}_DB_PASSWORD"), safe="")
    write(service, "DATABASE_URL", f"postgresql://{database}:{secret}@postgres:5432/{database}")
    broker[service] = password("rabbitmq", service, f"{prefix}_RABBITMQ_PASSWORD")
    write(service, "RABBITMQ_URL", f"amqp://{service}:{quote(broker[service], safe='')}@rabbitmq:5672/{VHOST}")
write("price-history", "PRICE_HISTORY_TOKEN", password("catalog-api", "PRICE_HISTORY_TOKEN", "PRICE_HISTORY_TOKEN"))
definitions = {
    "vhosts": [{"name": VHOST}],
    "users": [account(user, secret, "administrator" * (user == "administrator")) for user, secret in broker.items()],
    "permissions": [rights(user) for user in broker],
}
write("rabbitmq", "definitions.json", json.dumps(definitions, indent=1))
