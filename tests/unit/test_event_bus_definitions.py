"""The command that renders the broker's definitions."""

import base64
import hashlib
import json
import re
import sys
from typing import Any

import pytest

from event_bus.definitions import main

VARIABLES = {
    f"{account}_RABBITMQ_PASSWORD": f"secret of {account}"
    for account in ("CATALOG_API", "OFFERS_SYNC", "PRICE_HISTORY", "SUBSCRIBER")
}


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Any:
    def run(*arguments: str, **variables: str) -> tuple[int, str, str]:
        for name in (*VARIABLES, "EVENT_LOG_MAX_AGE", "EVENT_LOG_MAX_BYTES"):
            monkeypatch.delenv(name, raising=False)
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        monkeypatch.setattr(sys, "argv", ["event-bus-definitions", *arguments])
        code = main()
        return code, *capsys.readouterr()

    return run


def test_every_account_has_the_hash_of_its_password_and_no_tags(run: Any) -> None:
    code, output, _ = run(**VARIABLES)
    assert code == 0
    assert "secret of" not in output
    users = {user["name"]: user for user in json.loads(output)["users"]}
    assert set(users) == {"catalog-api", "offers-sync", "price-history", "subscriber"}
    for name, user in users.items():
        salted = base64.b64decode(user["password_hash"])
        password = f"secret of {name.upper().replace('-', '_')}"
        assert salted[4:] == hashlib.sha256(salted[:4] + password.encode()).digest()
        assert user["tags"] == ""


def test_a_missing_password_is_named_and_nothing_is_rendered(run: Any) -> None:
    code, output, errors = run(**{**VARIABLES, "SUBSCRIBER_RABBITMQ_PASSWORD": ""})
    assert (code, output) == (2, "")
    assert errors == "event-bus-definitions: not set: SUBSCRIBER_RABBITMQ_PASSWORD\n"


def test_without_users_no_password_is_needed_and_the_virtual_host_is_chosen(run: Any) -> None:
    code, output, _ = run("--without-users", "--vhost", "shop")
    assert code == 0
    rendered = json.loads(output)
    assert "users" not in rendered
    assert {item["vhost"] for kind in rendered if kind != "vhosts" for item in rendered[kind]} == {"shop"}


def test_what_the_log_keeps_is_the_operators_choice(run: Any) -> None:
    def kept(**variables: str) -> Any:
        code, output, _ = run("--without-users", **variables)
        assert code == 0
        [policy] = [policy for policy in json.loads(output)["policies"] if policy["name"] == "log"]
        assert re.search(policy["pattern"], "aggregator.log")
        assert not re.search(policy["pattern"], "subscriber.aggregator.log")
        return policy["definition"]

    assert kept() == {"max-age": "7D", "max-length-bytes": 2**31}
    assert kept(EVENT_LOG_MAX_AGE="12h", EVENT_LOG_MAX_BYTES="50000000000") == {
        "max-age": "12h",
        "max-length-bytes": 50_000_000_000,
    }


@pytest.mark.parametrize(("name", "value"), [("EVENT_LOG_MAX_AGE", "7 days"), ("EVENT_LOG_MAX_BYTES", "16777216")])
def test_a_bound_of_the_log_that_can_not_be_used_is_named(run: Any, name: str, value: str) -> None:
    code, output, errors = run("--without-users", **{name: value})
    assert (code, output) == (2, "")
    assert errors.startswith(f"event-bus-definitions: {name} must be")
    assert errors.count("\n") == 1
