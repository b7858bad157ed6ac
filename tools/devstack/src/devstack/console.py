"""What `devstack run` shows, and how it hears that it should stop."""

import signal
import sys
import time
from types import FrameType

from devstack.stack import Stack


class Interrupted(Exception):  # noqa: N818 - says what happened
    """Ctrl-C, SIGTERM, or the end of the terminal came."""


class Interruption:
    """Notes that it should stop, and raises where it is asked: a signal never ends a step half-way."""

    def __init__(self) -> None:
        self._came = False
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, self._note)

    def check(self) -> None:
        """Raise Interrupted once a signal has come."""
        if self._came:
            raise Interrupted

    def _note(self, _number: int, _frame: FrameType | None) -> None:
        self._came = True


class Console:
    """Lines for a person, each with the seconds since the start."""

    def __init__(self) -> None:
        self._began = time.monotonic()

    def say(self, text: str) -> None:
        """One piece of news."""
        print(f"{time.monotonic() - self._began:7.1f} s  {text}", flush=True)  # noqa: T201

    def fail(self, text: str) -> None:
        """Why the run ends."""
        print(f"devstack: {text}", file=sys.stderr, flush=True)  # noqa: T201

    def welcome(self, stack: Stack, *, sample_product: str | None) -> None:
        """The READY line, and what to do next."""
        told = stack.description()
        url = told["catalog_url"]
        product = sample_product or "PRODUCT_ID"
        access = ""
        curl = "curl -s"
        if stack.api_token is not None:
            access = f"Access:            TOKEN=$(jq -r .api_token {stack.folder.description})  # an admin's\n"
            curl = 'curl -s -H "Authorization: Bearer $TOKEN"'
        print(f"READY {url}", flush=True)  # noqa: T201
        print(  # noqa: T201
            f"""
API documentation: {url}/docs
RabbitMQ's pages:  {told["rabbitmq_management_url"]} (account in {stack.folder.description})
Logs:              {stack.folder.path / "logs"}
{access}Try:
  {curl} '{url}/api/v1/products?sort=best_price&limit=3'
  {curl} {url}/api/v1/products -H 'Content-Type: application/json' -d '{{"name": "Teapot", "description": "Blue"}}'
  {curl} '{url}/api/v1/products/{product}/trend?period=10m&resolution=raw'
Ctrl-C stops everything.
""",
            flush=True,
        )
