"""Access tokens are made, listed and revoked by the command line and by administrators over HTTP."""

import json
import re
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg2
import pytest
from typer.testing import CliRunner, Result

from catalog_api.db.database import Database
from catalog_api.db.migrate import migrate
from catalog_api.domain.access import TokenScope
from catalog_api.entrypoints.cli import app
from catalog_api.use_cases.manage_tokens import ManageTokens

from .conftest import serving, settings

SCRIPT = Path(sys.executable).with_name("catalog-api")
TOKEN = re.compile("agg_([0-9a-f]{16})_([0-9a-f]{40})")


@pytest.fixture
def cli(catalog_dsn: str, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    monkeypatch.setenv("DATABASE_URL", catalog_dsn)

    def run(*arguments: str) -> Result:
        return CliRunner().invoke(app, arguments)

    return run


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def tokens_of(dsn: str) -> list[Any]:
    with closing(psycopg2.connect(dsn)) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT id, name, scopes, secret_hash FROM access_tokens")
        return cursor.fetchall()


def test_a_created_token_is_all_that_standard_output_has(cli: Callable[..., Result], catalog_dsn: str) -> None:
    created = cli("tokens", "create", "--name", " reporting ", "--scope", "read", "--scope", "write")
    assert created.exit_code == 0, created.stderr
    match = TOKEN.fullmatch(created.stdout.removesuffix("\n"))
    assert match is not None
    [(token_id, name, scopes, secret_hash)] = tokens_of(catalog_dsn)
    assert (token_id, name, scopes) == (match[1], "reporting", ["read", "write"])
    assert match[2].encode() not in bytes(secret_hash)


@pytest.mark.parametrize(
    "arguments",
    [
        ("--scope", "read"),
        ("--name", "x"),
        ("--name", " ", "--scope", "read"),
        ("--name", "x", "--scope", "root"),
        ("--name", "x", "--scope", "read", "--expires-in-days", "0"),
    ],
)
def test_a_bad_wish_makes_no_token(cli: Callable[..., Result], catalog_dsn: str, arguments: tuple[str, ...]) -> None:
    assert cli("tokens", "create", *arguments).exit_code == 2
    assert tokens_of(catalog_dsn) == []


def test_tokens_are_listed_with_their_state_and_revoked_by_id(cli: Callable[..., Result]) -> None:
    kept = cli("tokens", "create", "--name", "kept", "--scope", "read", "--expires-in-days", "3").stdout
    ended = cli("tokens", "create", "--name", "ended", "--scope", "admin").stdout
    [kept_id, ended_id] = [found[1] for text in (kept, ended) if (found := TOKEN.match(text))]
    revoked = cli("tokens", "revoke", ended_id)
    assert (revoked.exit_code, revoked.stdout) == (0, "")
    listed = json.loads(cli("tokens", "list", "--json").stdout)
    assert [(token["id"], token["state"]) for token in listed] == [(kept_id, "live"), (ended_id, "revoked")]
    assert datetime.fromisoformat(listed[0]["expires_at"]) - datetime.now(UTC) > timedelta(days=2.9)
    header, *rows = cli("tokens", "list").stdout.splitlines()
    assert header.split("  ")[0] == "id"
    assert [row.split()[0] for row in rows] == [kept_id, ended_id]
    assert [row.split()[-1] for row in rows] == ["live", "revoked"]
    for unknown in (ended_id, "0" * 16, "nonsense"):
        refused = cli("tokens", "revoke", unknown)
        assert refused.exit_code == 1
        assert f"no token {unknown}" in refused.stderr


def test_without_the_database_the_command_says_so(cli: Callable[..., Result], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://nobody@127.0.0.1:9/nothing")
    failed = cli("tokens", "list")
    assert (failed.exit_code, failed.stdout) == (1, "")
    assert "the database does not answer" in failed.stderr


def test_the_first_admin_token_is_printed_once_though_several_migrate(make_database: Callable[[], str]) -> None:
    dsn = make_database()

    def migrating() -> "subprocess.Popen[str]":
        return subprocess.Popen([SCRIPT, "migrate"], env={"DATABASE_URL": dsn}, stdout=subprocess.PIPE, text=True)

    copies = [migrating() for _ in range(3)]
    printed = [line for copy in copies for line in copy.communicate(timeout=60)[0].splitlines()]
    assert [copy.returncode for copy in copies] == [0, 0, 0]
    [token] = [line for line in printed if "agg_" in line]
    match = TOKEN.fullmatch(token)
    assert match is not None
    assert [(id_, scopes) for id_, _, scopes, _ in tokens_of(dsn)] == [(match[1], ["admin"])]
    again = migrating()
    assert "agg_" not in again.communicate(timeout=60)[0]


def test_no_admin_token_is_made_where_access_is_off(
    make_database: Callable[[], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    dsn = make_database()
    monkeypatch.setenv("DATABASE_URL", dsn)
    monkeypatch.setenv("API_AUTH", "off")
    assert CliRunner().invoke(app, ["migrate"]).exit_code == 0
    assert tokens_of(dsn) == []


def test_the_first_admin_token_that_was_revoked_stays_the_first(make_database: Callable[[], str]) -> None:
    dsn = make_database()
    migrate(dsn)
    with closing(psycopg2.connect(dsn)) as connection, connection:
        connection.cursor().execute(
            "INSERT INTO access_tokens (id, secret_hash, name, scopes, revoked_at) "
            "VALUES ('x', sha256('x'), 'x', '{admin}', now())"
        )
    migrated = subprocess.run(
        [SCRIPT, "migrate"], env={"DATABASE_URL": dsn}, capture_output=True, text=True, timeout=60, check=True
    )
    assert "agg_" not in migrated.stdout + migrated.stderr


@pytest.fixture
async def root(database: Database) -> str:
    """An admin token."""
    return (await ManageTokens(database).create("root", [TokenScope.ADMIN], None)).text


async def test_an_administrator_makes_lists_and_revokes_tokens(catalog_dsn: str, root: str) -> None:
    async with serving(settings(catalog_dsn, api_auth="required", access_cache_seconds=0)) as api:
        wish = {"name": "shop", "scopes": ["read"], "expires_at": "2099-01-01T01:00:00+01:00"}
        created = await api("POST", "/tokens", headers=bearer(root), json=wish)
        assert created.status == 201
        token = created.json["token"]
        match = TOKEN.fullmatch(token)
        assert match is not None
        assert created.json | {"created_at": ""} == {
            "id": match[1],
            "name": "shop",
            "scopes": ["read"],
            "created_at": "",
            "expires_at": "2099-01-01T00:00:00Z",
            "last_used_at": None,
            "revoked_at": None,
            "state": "live",
            "token": token,
        }
        assert (await api("GET", "/products", headers=bearer(token))).status == 200
        listed = await api("GET", "/tokens", headers=bearer(root))
        assert [item["name"] for item in listed.json["items"]] == ["root", "shop"]
        assert match[2] not in listed.body.decode()
        assert (await api("DELETE", f"/tokens/{match[1]}", headers=bearer(root))).status == 204
        (await api("GET", "/products", headers=bearer(token))).problem(401)
        (await api("DELETE", f"/tokens/{match[1]}", headers=bearer(root))).problem(404)
        assert (await api("GET", "/tokens", headers=bearer(root))).json["items"][1]["state"] == "revoked"


BAD_WISHES: list[tuple[dict[str, Any], str]] = [
    ({"scopes": ["read"]}, "/name"),
    ({"name": " ", "scopes": ["read"]}, "/name"),
    ({"name": "x"}, "/scopes"),
    ({"name": "x", "scopes": []}, "/scopes"),
    ({"name": "x", "scopes": ["read", "read"]}, "/scopes"),
    ({"name": "x", "scopes": ["root"]}, "/scopes"),
    ({"name": "x", "scopes": "read"}, "/scopes"),
    ({"name": "x", "scopes": [["read"]]}, "/scopes"),
    ({"name": "x", "scopes": ["read"], "expires_at": "2020-01-01T00:00:00Z"}, "/expires_at"),
    ({"name": "x", "scopes": ["read"], "expires_at": "2099-01-01T00:00:00"}, "/expires_at"),
    ({"name": "x", "scopes": ["read"], "expires_at": "2099-01-01"}, "/expires_at"),
    ({"name": "x", "scopes": ["read"], "expires_at": 4070908800}, "/expires_at"),
    ({"name": "x", "scopes": ["read"], "expires_at": "9999-12-31T23:59:59-01:00"}, "/expires_at"),
    ({"name": "x", "scopes": ["read"], "secret": "mine"}, "/secret"),
]


async def test_a_bad_wish_is_refused_where_it_is_bad(catalog_dsn: str, root: str) -> None:
    async with serving(settings(catalog_dsn, api_auth="required")) as api:
        for wish, pointer in BAD_WISHES:
            reply = await api("POST", "/tokens", headers=bearer(root), json=wish)
            assert reply.pointers() == [pointer], wish
        assert len((await api("GET", "/tokens", headers=bearer(root))).json["items"]) == 1
