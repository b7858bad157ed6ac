"""The command that renders the broker's definitions."""

import base64
import hashlib
import json
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
        for name in VARIABLES:
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
