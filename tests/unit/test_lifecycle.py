"""The life of a process: what stops it, what restarts its loops, what its health says."""

import asyncio
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping

import aiohttp
import pytest
from starlette.applications import Starlette
from starlette.testclient import TestClient

from devstack.ports import free_port
from lifecycle import (
    BrokerUrls,
    DatabaseDisk,
    DatabaseUrl,
    NotReadyError,
    ProcessSettings,
    Readiness,
    StoppedError,
    health_routes,
    load_settings,
    run_worker,
    until_stopped,
    wait_for_any,
)
from lifecycle import worker as worker_module


class Settings(ProcessSettings):
    database_url: str
    prefetch: int = 20


def with_environment(monkeypatch: pytest.MonkeyPatch, variables: Mapping[str, str]) -> None:
    for name in ("DATABASE_URL", "PREFETCH", "LOG_LEVEL", "LOG_FORMAT"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)


@pytest.mark.parametrize(
    ("environment", "named"),
    [
        ({}, "DATABASE_URL"),
        ({"DATABASE_URL": ""}, "DATABASE_URL"),
        ({"DATABASE_URL": "postgresql://u:secret@h/d", "PREFETCH": "many"}, "PREFETCH"),
        ({"DATABASE_URL": "postgresql://u:secret@h/d", "LOG_LEVEL": "loud"}, "LOG_LEVEL"),
        ({"DATABASE_URL": "postgresql://u:secret@h/d", "LOG_FORMAT": "xml"}, "LOG_FORMAT"),
    ],
)
def test_a_bad_setting_stops_the_process_with_one_line_that_names_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], environment: dict[str, str], named: str
) -> None:
    with_environment(monkeypatch, environment)
    with pytest.raises(SystemExit) as stopped:
        load_settings(Settings)
    assert stopped.value.code == 2
    complaint = capsys.readouterr().err
    assert complaint.count("\n") == 1
    assert named in complaint
    assert "secret" not in complaint


def test_settings_have_defaults_and_take_levels_in_any_case(monkeypatch: pytest.MonkeyPatch) -> None:
    with_environment(monkeypatch, {"DATABASE_URL": "postgresql://h/d", "LOG_LEVEL": "debug", "PREFETCH": ""})
    settings = load_settings(Settings)
    assert (settings.log_level, settings.prefetch) == ("DEBUG", 20)


def test_settings_that_are_shown_show_no_password(monkeypatch: pytest.MonkeyPatch) -> None:
    class Urls(Settings):
        database_url: DatabaseUrl
        rabbitmq_url: BrokerUrls

    with_environment(monkeypatch, {"DATABASE_URL": "postgresql://u:hunter2@h/d", "PREFETCH": "7"})
    monkeypatch.setenv("RABBITMQ_URL", "amqp://u:hunter2@h/v,amqp://u:hunter2@i/v")
    settings = load_settings(Urls)
    assert "hunter2" in settings.database_url
    assert "hunter2" in settings.rabbitmq_url
    assert "prefetch=7" in repr(settings)
    assert "hunter2" not in repr(settings) + str(settings)


def client(readiness: Readiness) -> TestClient:
    return TestClient(Starlette(routes=health_routes(readiness)))


async def passes() -> None:
    return


async def refuses() -> None:
    raise ConnectionError("postgresql://user:secret@host")


async def explains() -> None:
    raise NotReadyError("the token was rejected")


async def hangs() -> None:
    await asyncio.Event().wait()


def test_readiness_names_the_failing_checks_and_tells_no_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lifecycle.health.CHECK_SECONDS", 0.05)
    readiness = Readiness({"cache": passes, "database": refuses, "token": explains, "broker": hangs})
    with client(readiness) as http:
        answer = http.get("/readyz")
    assert answer.status_code == 503
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["failing"] == {
        "database": "ConnectionError",
        "token": "the token was rejected",
        "broker": "no answer within 0.05 s",
    }


def test_a_healthy_process_is_alive_ready_and_measured() -> None:
    with client(Readiness({"database": passes})) as http:
        assert "/readyz" in http.get("/").json()["health"]
        assert http.get("/healthz").json() == {"status": "alive"}
        assert http.get("/readyz").json() == {"status": "ready"}
        assert "aggregator_worker_loop_failures_total" in http.get("/metrics").text


async def test_waiting_ends_with_the_first_event_or_the_time() -> None:
    first, second = asyncio.Event(), asyncio.Event()
    assert not await wait_for_any(first, second, seconds=0.01)
    second.set()
    assert await wait_for_any(first, second, seconds=60)


async def test_a_worker_restarts_a_failing_loop_serves_health_and_drains_on_sigterm(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(worker_module, "FIRST_BACKOFF_SECONDS", 0.01)
    attempts = 0
    working = asyncio.Event()
    drained = False

    async def loop(stopping: asyncio.Event) -> None:
        nonlocal attempts, drained
        attempts += 1
        if attempts < 3:
            raise LookupError
        working.set()
        await stopping.wait()
        drained = True

    port = free_port()
    worker = asyncio.create_task(run_worker({"loop": loop}, readiness=Readiness(), health_port=port))
    await asyncio.wait_for(working.wait(), 10)
    async with aiohttp.ClientSession() as session:
        # Health is served from the beginning on, which a loop may be done with sooner.
        assert await asyncio.wait_for(get_when_up(session, f"http://127.0.0.1:{port}/healthz"), 10)
        async with session.get(f"http://127.0.0.1:{port}/healthz") as answer:
            assert answer.status == 200
        async with session.get(f"http://127.0.0.1:{port}/metrics") as answer:
            assert 'aggregator_worker_loop_failures_total{loop="loop"} 2.0' in await answer.text()
    os.kill(os.getpid(), signal.SIGTERM)
    await asyncio.wait_for(worker, 10)
    assert drained


async def test_a_loop_that_does_not_drain_in_time_is_cut_off() -> None:
    started = asyncio.Event()

    async def loop(_: asyncio.Event) -> None:
        started.set()
        await asyncio.Event().wait()

    worker = asyncio.create_task(run_worker({"loop": loop}, readiness=Readiness(), health_port=0, drain_seconds=0.05))
    await asyncio.wait_for(started.wait(), 10)
    os.kill(os.getpid(), signal.SIGTERM)
    await asyncio.wait_for(worker, 10)


SERVER = """
import asyncio, sys
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from lifecycle import serve_http

async def slow(_):
    print("entered", flush=True)
    await asyncio.to_thread(sys.stdin.readline)
    return PlainTextResponse("whole")

serve_http(Starlette(routes=[Route("/slow", slow)]), "127.0.0.1", int(sys.argv[1]))
"""


async def test_an_http_process_finishes_its_requests_on_sigterm_and_exits_with_0() -> None:
    port = free_port()
    command = (sys.executable, "-c", SERVER, str(port))
    pipe = subprocess.PIPE
    process = await asyncio.create_subprocess_exec(*command, stdin=pipe, stdout=pipe)
    assert process.stdin
    assert process.stdout
    retries = aiohttp.ClientTimeout(total=90)
    async with aiohttp.ClientSession(timeout=retries) as session:
        answer = asyncio.create_task(get_when_up(session, f"http://127.0.0.1:{port}/slow"))
        await asyncio.wait_for(process.stdout.readline(), 60)
        process.send_signal(signal.SIGTERM)
        process.stdin.write(b"\n")
        assert await answer == "whole"
    # Its pipes are read to their ends: left open, they would be found as garbage, which ends another test.
    await asyncio.wait_for(process.communicate(), 10)
    assert process.returncode == 0


async def get_when_up(session: aiohttp.ClientSession, url: str) -> str:
    while True:
        try:
            async with session.get(url) as answer:
                return await answer.text()
        except aiohttp.ClientConnectorError:
            await asyncio.sleep(0.05)


def test_an_address_in_use_ends_the_process_and_is_named() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        process = subprocess.run(
            [sys.executable, "-c", SERVER, str(taken.getsockname()[1])], capture_output=True, timeout=60, check=False
        )
    assert process.returncode not in (0, 2)
    assert b"address already in use" in process.stderr


class UrlSettings(ProcessSettings):
    database_url: DatabaseUrl
    rabbitmq_url: BrokerUrls


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("DATABASE_URL", "nonsense"),
        ("DATABASE_URL", "postgresql://u:secret@h:bad/d"),
        ("DATABASE_URL", "mysql://u:secret@h/d"),
        ("RABBITMQ_URL", "nonsense"),
        ("RABBITMQ_URL", "amqp://"),
        ("RABBITMQ_URL", "amqp://u:secret@h:bad/"),
        ("RABBITMQ_URL", "amqp://u:secret@h/,http://h/"),
    ],
)
def test_a_malformed_url_stops_the_process_instead_of_being_tried_for_ever(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], name: str, value: str
) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgres://u@h1:5432,h2:5433/d?sslmode=require")
    monkeypatch.setenv("RABBITMQ_URL", "amqp://u:p@h1:5672/vhost,amqps://h2/")
    assert load_settings(UrlSettings).rabbitmq_url.count(",") == 1
    monkeypatch.setenv(name, value)
    with pytest.raises(SystemExit) as stopped:
        load_settings(UrlSettings)
    assert stopped.value.code == 2
    complaint = capsys.readouterr().err
    assert name in complaint
    assert "secret" not in complaint


class _DriverError(Exception):
    def __init__(self, sqlstate: str) -> None:
        self.sqlstate = sqlstate


async def test_a_process_is_not_ready_once_its_database_has_no_room(monkeypatch: pytest.MonkeyPatch) -> None:
    disk = DatabaseDisk()
    readiness = Readiness({"database_disk": disk.check})
    for unrelated in (_DriverError("40P01"), ValueError()):
        with pytest.raises(type(unrelated)), disk.noticed():
            raise unrelated
    assert await readiness.failing() == {}
    with pytest.raises(_DriverError), disk.noticed():
        raise _DriverError("53100")
    assert await readiness.failing() == {"database_disk": "no room for writes"}
    later = time.monotonic() + 10
    monkeypatch.setattr(time, "monotonic", lambda: later)
    assert await readiness.failing() == {}


@pytest.mark.parametrize("end", [asyncio.CancelledError(), ConnectionError("closed in the middle of a statement")])
async def test_what_is_stopped_was_stopped_however_it_ends(end: BaseException) -> None:
    async def main() -> None:
        os.kill(os.getpid(), signal.SIGTERM)
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            raise end from None

    with pytest.raises(StoppedError) as stopped:
        await until_stopped(main())
    assert stopped.value.signal == signal.SIGTERM


async def test_what_fails_before_it_is_stopped_has_failed() -> None:
    async def main() -> None:
        raise ConnectionError

    with pytest.raises(ConnectionError):
        await until_stopped(main())
