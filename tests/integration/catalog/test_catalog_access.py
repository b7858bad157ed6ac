"""Every route of both applications with every credential, and what the gate does beside."""

import asyncio
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import aio_pika
import aiohttp
import pytest
import structlog
from aiohttp import web
from fastapi import FastAPI
from starlette.routing import Route
from yarl import URL

import price_history.bootstrap
from catalog_api import bootstrap
from catalog_api.db.database import Database
from catalog_api.db.migrate import migrate
from catalog_api.domain.access import TokenScope
from catalog_api.use_cases import check_tokens
from catalog_api.use_cases.check_tokens import CheckTokens
from catalog_api.use_cases.manage_tokens import ManageTokens
from devstack.postgresql import PostgresServer
from event_bus.topology import ensure_topology
from http_api import EVENT_STREAM, CannotTellError
from price_history.db.migrate import migrate as migrate_history
from price_history.settings import ServeSettings as HistorySettings

from .conftest import PRODUCT, UNKNOWN, Api, StandInHistory, served, serving, settings

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
OPEN = {"/", "/healthz", "/readyz", "/metrics", "/docs", "/docs/oauth2-redirect", "/openapi.json"}
EVENT_DOCUMENTATION = {"/docs/events", "/docs/events.json"}
NOWHERE = ("/api/v1", "/api/v1/", "/api/v1/nothing", "/api/v1/tokens/", "/api/v1/tokens/a/b", "/api/v1/products//")
DRY_RUN = ("POST", "/api/v1/alerts/dry-run")
FOR_ADMINS = ("/api/v1/tokens", "/api/v1/webhooks")
CONTAINED = {"read": {"read"}, "write": {"read", "write"}, "admin": {"read", "write", "admin"}}
SECRET = "between-the-services-0123"
NEVER = datetime(2099, 1, 1, tzinfo=UTC)


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def required(dsn: str, **others: Any) -> Any:
    return settings(dsn, **({"api_auth": "required", "unauthenticated_rate_limit_per_minute": 0} | others))


@dataclass
class Tokens:
    """One token of each kind."""

    manage: ManageTokens
    sql: Any

    async def make(self, *scopes: str, expires_at: datetime | None = None) -> str:
        return (await self.manage.create("test", [TokenScope(scope) for scope in scopes], expires_at)).text

    async def expired(self) -> str:
        token = await self.make("admin", expires_at=NEVER)
        await self.sql.execute(
            "UPDATE access_tokens SET expires_at = now() - interval '1 s' WHERE id = $1", id_of(token)
        )
        return token

    async def revoked(self) -> str:
        token = await self.make("admin")
        await self.manage.revoke(id_of(token))
        return token


def id_of(token: str) -> str:
    return token.split("_")[1]


@pytest.fixture
def tokens(database: Database, sql: Any) -> Tokens:
    return Tokens(ManageTokens(database), sql)


async def shown(tokens: Tokens) -> dict[str, tuple[Mapping[str, str], set[str]]]:
    """Headers by the name of what they show, with all that it allows."""
    good = await tokens.make("admin")
    made = {scope: await tokens.make(scope) for scope in CONTAINED}
    bad = {
        "nothing": {},
        "another scheme": {"Authorization": f"Basic {good}"},
        "no token": {"Authorization": "Bearer"},
        "malformed": bearer("agg_x"),
        "not ASCII": bearer("agg_š_x"),
        "unknown id": bearer(f"agg_{'0' * 16}_{good.split('_')[2]}"),
        "wrong secret": bearer(f"{good[:-1]}{'1' if good[-1] == '0' else '0'}"),
        "more behind it": bearer(f"{good}0"),
        "expired": bearer(await tokens.expired()),
        "revoked": bearer(await tokens.revoked()),
    }
    return {name: (headers, set()) for name, headers in bad.items()} | {
        scope: (bearer(token), CONTAINED[scope]) for scope, token in made.items()
    }


def paths_of(app: FastAPI) -> set[str]:
    """Every path that has a route, with something in the place of each parameter."""
    templates = {route.path_format for route in app.routes if isinstance(route, Route)} | app.openapi()["paths"].keys()
    ids = {"product_id": UNKNOWN, "offer_id": "1", "token_id": "0" * 16, "webhook_id": UNKNOWN, "delivery_id": UNKNOWN}
    ids |= {"alert_id": UNKNOWN}
    return {path.format(**ids) for path in templates}


async def walk(
    url: str, paths: set[str], credentials: Mapping[str, tuple[Mapping[str, str], set[str]]], admins: tuple[str, ...]
) -> int:
    """Ask for everything with everything; what is wrong fails the test. Returns how often was asked."""
    asked = 0
    async with aiohttp.ClientSession() as session:
        for path in paths:
            for method in METHODS:
                for name, (headers, allowed) in credentials.items():
                    where = f"{method} {path} with {name}"
                    reading = method in {"GET", "HEAD", "OPTIONS"} or (method, path) == DRY_RUN
                    needed = "admin" if path.startswith(admins) else "read" if reading else "write"
                    async with session.request(method, URL(url + path, encoded=True), headers=headers) as response:
                        asked += 1
                        endless = response.content_type == EVENT_STREAM
                        body = "" if endless else await response.text()
                        if path in OPEN | EVENT_DOCUMENTATION:
                            assert response.status in {200, 405}, where
                        elif not allowed:
                            assert response.status == 401, where
                            assert response.headers["WWW-Authenticate"] == "Bearer", where
                        elif needed not in allowed:
                            assert response.status == 403, where
                            assert f'scope="{needed}"' in response.headers["WWW-Authenticate"], where
                            assert method == "HEAD" or f"the scope {needed}" in body, where
                        else:
                            assert response.status not in {401, 403, 429}, where
                            assert response.status < 500, where
                        if path not in OPEN | EVENT_DOCUMENTATION and response.status >= 400:
                            assert response.headers["Content-Type"] == "application/problem+json", where
                        assert response.headers["X-Content-Type-Options"] == "nosniff", where
                        assert "'none'" in response.headers["Content-Security-Policy"], where
    return asked


async def test_every_route_of_the_catalog_with_every_credential(
    catalog_dsn: str, tokens: Tokens, history: StandInHistory, rabbitmq_url: str
) -> None:
    async with await aio_pika.connect(rabbitmq_url) as connection:
        await ensure_topology(connection)
    app = bootstrap.http_application(required(catalog_dsn, price_history_url=history.url, rabbitmq_url=rabbitmq_url))
    paths = paths_of(app)
    assert {path for path in paths if not path.startswith("/api/v1/")} == OPEN | EVENT_DOCUMENTATION
    async with served(app, on_drain=app.state.on_drain) as url:
        asked = await walk(url, paths | set(NOWHERE), await shown(tokens), FOR_ADMINS)
    assert asked > 1000


async def test_every_route_of_price_history_with_every_credential(make_database: Callable[[], str]) -> None:
    dsn = make_database()
    migrate_history(dsn)
    app = price_history.bootstrap.http_app(
        HistorySettings(
            database_url=dsn,
            rabbitmq_url="amqp://localhost/",
            price_history_token=SECRET,
            unauthenticated_rate_limit_per_minute=0,
        )
    )
    paths = paths_of(app)
    assert {path for path in paths if not path.startswith("/api/v1/")} == OPEN
    bad = {"nothing": {}, "malformed": {"Authorization": SECRET}, "wrong": bearer(f"{SECRET}4"), "empty": bearer("")}
    credentials: dict[str, tuple[Mapping[str, str], set[str]]] = {
        **{name: (headers, set[str]()) for name, headers in bad.items()},
        "the secret": (bearer(SECRET), CONTAINED["admin"]),
    }
    async with served(app) as url:
        assert await walk(url, paths | set(NOWHERE), credentials, ()) > 300


async def test_no_spelling_of_a_path_goes_round_the_gate(catalog_dsn: str, tokens: Tokens) -> None:
    reader = bearer(await tokens.make("read"))
    async with serving(required(catalog_dsn)) as api:
        for path in ("/api/v1/%74okens", "/api%2Fv1/tokens", "/api/v1/tokens%2F"):
            async with api.session.get(URL(api.url + path, encoded=True), headers=reader) as response:
                assert response.status == 403, path
        for path in ("//api/v1/products", "/API/V1/products", "/api/v1products", "/x/../api/v1/products"):
            async with api.session.get(URL(api.url + path, encoded=True)) as response:
                assert response.status in {401, 404}, path
        (await api("GET", "/products", headers=[*reader.items(), *reader.items()])).problem(401)


async def test_with_access_off_everything_is_open_but_the_tokens(api: Api) -> None:
    assert (await api("GET", "/products")).status == 200
    for method, path in (("GET", "/tokens"), ("POST", "/tokens"), ("DELETE", f"/tokens/{'0' * 16}")):
        reply = await api(method, path, json={"name": "me, for later", "scopes": ["admin"]})
        assert "catalog-api tokens" in reply.problem(403)["detail"]


@dataclass
class Clock:
    now: float = 1000.0

    def __call__(self) -> float:
        return self.now


async def test_a_good_token_is_looked_up_seldom_and_a_revoked_one_not_for_long(
    database: Database, tokens: Tokens
) -> None:
    clock = Clock()
    check = CheckTokens(database, fresh_seconds=10, clock=clock)
    token = await tokens.make("write")
    assert check.recall(token) is None
    found = await check.look_up(token)
    assert found is not None
    assert found.holder == id_of(token)
    assert set(found.scopes) == {TokenScope.READ, TokenScope.WRITE}
    await tokens.manage.revoke(id_of(token))
    clock.now += 9.9
    assert check.recall(token) == found
    assert check.recall(f"{token[:-1]}{'1' if token[-1] == '0' else '0'}") is None
    clock.now += 0.1
    assert check.recall(token) is None
    assert await check.look_up(token) is None


async def test_a_token_expires_while_it_is_remembered(database: Database, tokens: Tokens) -> None:
    clock = Clock()
    check = CheckTokens(database, fresh_seconds=30, clock=clock)
    token = await tokens.make("read", expires_at=datetime.now(UTC) + timedelta(seconds=28))
    assert await check.look_up(token) is not None
    clock.now += 8  # the other twenty may have gone by since it was made
    assert check.recall(token) is not None
    clock.now += 20
    assert check.recall(token) is None


async def test_junk_is_not_remembered(database: Database, tokens: Tokens) -> None:
    check = CheckTokens(database, fresh_seconds=30)
    good = await tokens.make("read")
    for number in range(50):
        assert await check.look_up(f"agg_{number:016x}_{'0' * 40}") is None
        assert await check.look_up(f"agg_{id_of(good)}_{number:040x}") is None
    assert check._known == {}


async def test_last_use_is_stored_once_a_minute_and_at_the_end(
    database: Database, tokens: Tokens, sql: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(check_tokens, "LAST_MARK_SECONDS", 30.0)
    check = CheckTokens(database, fresh_seconds=30)
    used, unused = await tokens.make("read"), await tokens.make("read")

    async def last_used() -> dict[str, datetime | None]:
        return {token.id: token.last_used_at for token in await tokens.manage.everyone()}

    async with check.noting_use():
        await check.look_up(used)
        assert (await last_used())[id_of(used)] is None, "it was stored within the request"
    first = (await last_used())[id_of(used)]
    assert first is not None
    assert (await last_used())[id_of(unused)] is None
    assert check.recall(used) is not None
    await check.mark_used()
    assert (await last_used())[id_of(used)] == first, "it was stored twice in a minute"
    await sql.execute("UPDATE access_tokens SET last_used_at = now() - interval '1 minute'")
    check.recall(used)
    await check.mark_used()
    again = (await last_used())[id_of(used)]
    assert again is not None
    assert again > first - timedelta(seconds=1)


async def test_without_the_database_known_tokens_go_on_and_others_are_503(private_postgres: PostgresServer) -> None:
    migrate(private_postgres.dsn())
    database = Database(
        private_postgres.dsn(), application_name="test", pool_size=2, pool_timeout=5, statement_timeout=5
    )
    async with database:
        manage = ManageTokens(database)
        known, other = [(await manage.create("test", [TokenScope.READ], None)).text for _ in range(2)]
        async with serving(required(private_postgres.dsn(), access_cache_seconds=30)) as api:
            assert (await api("GET", "/products", headers=bearer(known))).status == 200
            await asyncio.to_thread(private_postgres.stop)
            (await api("GET", "/nothing", headers=bearer(known))).problem(404)
            refused = await api("GET", "/nothing", headers=bearer(other))
            refused.problem(503)
            assert int(refused.headers["Retry-After"]) > 0
            (await api("GET", "/nothing", headers=bearer("junk"))).problem(401)
        with pytest.raises(CannotTellError):
            await CheckTokens(database, fresh_seconds=30).look_up(other)


async def test_a_token_has_a_limit_of_its_own_and_is_told_what_is_left(catalog_dsn: str, tokens: Tokens) -> None:
    first, second = await tokens.make("read"), await tokens.make("read")
    async with serving(required(catalog_dsn, rate_limit_per_minute=3)) as api:
        began = time.monotonic()
        replies = [await api("GET", "/products", headers=bearer(first)) for _ in range(4)]
        took = time.monotonic() - began
        assert [reply.status for reply in replies] == [200, 200, 200, 429]
        assert {reply.headers["RateLimit-Policy"] for reply in replies} == {'"token";q=3;w=60'}
        told = [re.fullmatch(r'"token";r=(\d+);t=(\d+)', reply.headers["RateLimit"]) for reply in replies]
        left = [(int(found[1]), int(found[2])) for found in told if found]
        assert [remaining for remaining, _ in left] == [2, 1, 0, 0]
        # What was used has been coming back since the first request.
        for (_, reset), full in zip(left, (20, 40, 60, 60), strict=True):
            assert full - took <= reset <= full
        replies[3].problem(429)
        assert 1 <= int(replies[3].headers["Retry-After"]) <= 20
        assert (await api("GET", "/products", headers=bearer(second))).status == 200
        (await api("POST", "/products", headers=bearer(second), json=PRODUCT)).problem(403)
        async with api.session.get(f"{api.url}/healthz", headers=bearer(first)) as response:
            assert response.status == 200


async def test_who_fails_too_often_is_told_to_wait_but_known_tokens_pass(catalog_dsn: str, tokens: Tokens) -> None:
    good, late = await tokens.make("read"), await tokens.make("read")
    async with serving(required(catalog_dsn, unauthenticated_rate_limit_per_minute=2)) as api:
        assert (await api("GET", "/products", headers=bearer(good))).status == 200
        assert [(await api("GET", "/products")).status for _ in range(3)] == [401, 401, 429]
        limited = await api("GET", "/products", headers=bearer(late))
        limited.problem(429)
        assert 1 <= int(limited.headers["Retry-After"]) <= 30
        assert limited.headers["RateLimit-Policy"] == '"address";q=2;w=60'
        assert (await api("GET", "/products", headers=bearer(good))).status == 200


async def test_an_open_api_is_limited_by_address_only_if_asked_for(api: Api, catalog_dsn: str) -> None:
    assert "RateLimit" not in (await api("GET", "/products")).headers
    async with serving(settings(catalog_dsn, rate_limit_per_minute=2)) as limited:
        assert [(await limited("GET", "/products")).status for _ in range(3)] == [200, 200, 429]


async def test_browsers_are_kept_out_unless_their_origin_is_let_in(api: Api, catalog_dsn: str, tokens: Tokens) -> None:
    origin = {"Origin": "https://shop.example"}
    preflight = origin | {"Access-Control-Request-Method": "PUT", "Access-Control-Request-Headers": "authorization"}
    closed = await api("OPTIONS", "/products", headers=preflight)
    assert not any(name.lower().startswith("access-control") for name in closed.headers)
    reader = bearer(await tokens.make("read"))
    async with serving(required(catalog_dsn, cors_allowed_origins="https://shop.example, https://b.example")) as let_in:
        answer = await let_in("OPTIONS", "/products", headers=preflight)
        assert answer.status == 200
        assert answer.headers["Access-Control-Allow-Origin"] == "https://shop.example"
        refused = await let_in("GET", "/products", headers=origin)
        refused.problem(401)
        assert refused.headers["Access-Control-Allow-Origin"] == "https://shop.example"
        resuming = preflight | {"Access-Control-Request-Headers": "authorization,last-event-id"}
        assert (await let_in("OPTIONS", "/stream", headers=resuming)).status == 200
        read = await let_in("GET", "/products", headers=origin | reader)
        assert "RateLimit" in read.headers["Access-Control-Expose-Headers"]
        other = await let_in("OPTIONS", "/products", headers=preflight | {"Origin": "https://evil.example"})
        assert other.status == 400
        assert "Access-Control-Allow-Origin" not in other.headers


async def test_only_the_documentation_may_load_anything(api: Api) -> None:
    reply = await api("GET", "/products")
    assert reply.headers["Content-Security-Policy"] == "default-src 'none'; frame-ancestors 'none'"
    assert (reply.headers["Cache-Control"], reply.headers["Referrer-Policy"]) == ("no-store", "no-referrer")
    async with api.session.get(f"{api.url}/docs") as response:
        policy, page = response.headers["Content-Security-Policy"], await response.text()
    assert "frame-ancestors 'none'" in policy
    hosts = {part.split("/")[2] for part in page.split('"') if part.startswith("https://")}
    assert hosts
    assert all(f"https://{host}" in policy for host in hosts)


async def test_the_page_of_the_events_loads_nothing(api: Api) -> None:
    async with api.session.get(f"{api.url}/docs/events") as response:
        assert response.status == 200
        assert response.headers["Content-Type"] == "text/html; charset=utf-8"
        policy, page = response.headers["Content-Security-Policy"], await response.text()
    assert policy.startswith("default-src 'none'; style-src 'unsafe-inline'; ")
    assert "script" not in policy
    # Nothing in it asks for what the policy forbids: no script, picture, font, frame, form or other file.
    assert re.findall(r"<(?:script|img|link|iframe|form|object|base)\b|\bsrc=|\bon\w+=|@import|url\(", page) == []


async def test_the_catalog_shows_price_history_the_secret(catalog_dsn: str, history: StandInHistory) -> None:
    configured = settings(catalog_dsn, price_history_url=history.url, price_history_token=SECRET)
    async with serving(configured) as api:
        product = await api.create()
        assert (await api("GET", f"/products/{product['id']}/trend", headers=bearer("a-user's"))).status == 200
        [(_, headers)] = history.asked
        assert headers["Authorization"] == f"Bearer {SECRET}"
        history.answer = lambda _: web.Response(status=401)
        (await api("GET", f"/products/{product['id']}/trend")).problem(503)


async def test_no_secret_is_logged_measured_or_answered(
    catalog_dsn: str, tokens: Tokens, history: StandInHistory, capfd: pytest.CaptureFixture[str]
) -> None:
    admin = await tokens.make("admin")
    wrong = f"agg_{id_of(admin)}_{'c' * 40}"
    bodies = []
    configured = required(
        catalog_dsn, price_history_url=history.url, price_history_token=SECRET, access_cache_seconds=0
    )
    assert SECRET not in f"{configured!r} {configured}"
    history.answer = lambda request: web.Response(status=500, text=str(dict(request.headers)))
    with structlog.testing.capture_logs() as lines:
        async with serving(configured) as api:
            product = (await api("POST", "/products", headers=bearer(admin), json=PRODUCT)).json
            for headers in (bearer(admin), bearer(wrong), {"Authorization": f"Basic {wrong}"}):
                for method, path in (
                    ("GET", f"/products/{product['id']}/trend"),
                    ("GET", "/tokens"),
                    ("PUT", "/products"),
                    ("GET", f"/products/{product['id']}"),
                    ("POST", "/tokens"),
                ):
                    bodies.append((await api(method, path, headers=headers)).body.decode())
            created = await api("POST", "/tokens", headers=bearer(admin), json={"name": "x", "scopes": ["read"]})
            await tokens.sql.execute("ALTER TABLE access_tokens RENAME TO away")
            try:
                (await api("GET", "/products", headers=bearer(admin))).problem(503)
            finally:
                await tokens.sql.execute("ALTER TABLE away RENAME TO access_tokens")
            async with api.session.get(f"{api.url}/metrics") as response:
                bodies.append(await response.text())
    stored = str(await tokens.sql.fetch("SELECT * FROM access_tokens"))
    printed = capfd.readouterr()
    for secret in (admin.split("_")[2], created.json["token"].split("_")[2], SECRET, "c" * 40):
        for place in (*bodies, str(lines), stored, printed.out, printed.err):
            assert secret not in place
    assert any(line["event"] == "token_not_checked" for line in lines)
