"""The management HTTP API of a RabbitMQ broker: virtual hosts, users, what is going on in it."""

import base64
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import quote

from devstack import loopback_http

#: To make a virtual host, or to delete one with many queues, takes a busy broker long.
CHANGE_SECONDS: Final = 60.0


@dataclass(frozen=True)
class BrokerManagement:
    """The API at `url` (`http://host:port`), used as an administrator."""

    url: str
    user: str
    password: str

    def call(self, method: str, path: str, body: Any = None, *, seconds: float = 10.0) -> Any:
        """Call `/api<path>`; returns the decoded answer, None where there is none. Raises OSError when it fails."""
        credentials = base64.b64encode(f"{self.user}:{self.password}".encode()).decode()
        headers = {"Authorization": f"Basic {credentials}"}
        return loopback_http.call(method, f"{self.url}/api{path}", body, headers=headers, seconds=seconds)

    def answers(self) -> bool:
        """Whether the broker is up, with its management API, which starts last."""
        try:
            self.call("GET", "/overview")
        except OSError:
            return False
        return True

    def create_vhost(self, vhost: str) -> None:
        """Create an empty virtual host, open to this administrator; does nothing when it exists."""
        self.call("PUT", f"/vhosts/{quote(vhost, safe='')}", seconds=CHANGE_SECONDS)
        self.allow(self.user, vhost)

    def delete_vhost(self, vhost: str) -> None:
        """Delete a virtual host with its queues, and close the connections to it."""
        self.call("DELETE", f"/vhosts/{quote(vhost, safe='')}", seconds=CHANGE_SECONDS)

    def create_user(self, user: str, password: str) -> None:
        """Create a plain user without rights, or set its password."""
        self.call("PUT", f"/users/{quote(user, safe='')}", {"password": password, "tags": ""})

    def load(self, definitions: Any) -> None:
        """Create what the definitions hold, or bring it up to them."""
        self.call("POST", "/definitions", definitions, seconds=CHANGE_SECONDS)

    def delete_user(self, user: str) -> None:
        """Delete a user, who must exist."""
        self.call("DELETE", f"/users/{quote(user, safe='')}")

    def allow(self, user: str, vhost: str) -> None:
        """Let a user do everything inside one virtual host."""
        everything = {"configure": ".*", "write": ".*", "read": ".*"}
        self.call("PUT", f"/permissions/{quote(vhost, safe='')}/{quote(user, safe='')}", everything)
