"""The simulator as a process: what stops it, what it keeps, and that it is not the bottleneck."""

import asyncio
import os
import signal
import socket
import subprocess
import sys
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from offers_simulator.launch import LaunchedSimulator, LaunchError, launched

PRODUCTS = 1000
CPU_SECONDS_PER_CALL = 0.001
"""Five to forty times what is measured, so that a slow machine passes and a slow path does not."""


async def call(method: str, url: str, token: str | None = None, body: Any = None) -> tuple[int, Any]:
    headers = {"Bearer": token} if token else {}
    async with aiohttp.ClientSession() as session, session.request(method, url, headers=headers, json=body) as answer:
        return answer.status, await answer.json()


async def authenticate(simulator: LaunchedSimulator, bearer: str | None = None) -> str:
    status, body = await call("POST", f"{simulator.base_url}/auth", bearer)
    assert status == 201
    return str(body["access_token"])


async def register(simulator: LaunchedSimulator, token: str, product: str) -> int:
    body = {"id": product, "name": "n", "description": "d"}
    return (await call("POST", f"{simulator.base_url}/products/register", token, body))[0]


async def poll(simulator: LaunchedSimulator, token: str, product: str) -> tuple[int, Any]:
    return await call("GET", f"{simulator.base_url}/products/{product}/offers", token)


async def test_tokens_and_products_survive_kill_9_and_the_market_goes_on(tmp_path: Path) -> None:
    state, product = tmp_path / "state.jsonl", str(uuid.uuid4())
    with launched(simulator_state=state, simulator_tick_seconds=3600) as simulator:
        token = await authenticate(simulator)
        assert await register(simulator, token, product) == 201
        before = await poll(simulator, token, product)
        tick = simulator.admin("GET", "/clock")["tick"]
        simulator.process.kill()
        simulator.process.wait()
    with launched(simulator_state=state, simulator_tick_seconds=3600) as simulator:
        simulator.admin("PATCH", "/clock", {"frozen": True, "tick": tick})
        assert await poll(simulator, token, product) == before
        assert before[0] == 200


async def test_second_generation_over_a_restart(tmp_path: Path) -> None:
    settings: dict[str, object] = {"offers_refresh_token": "r", "simulator_state": tmp_path / "s"}
    product = str(uuid.uuid4())
    with launched(**settings) as simulator:
        token = await authenticate(simulator, "r")
        assert await register(simulator, token, product) == 201
        assert simulator.stop() == 0
    with launched(**settings) as simulator:
        assert (await call("POST", f"{simulator.base_url}/auth", "r"))[0] == 400, "the last token is still valid"
        status, offers = await poll(simulator, token, product)
        assert status == 200
        assert all(uuid.UUID(offer["id"]).version != 4 for offer in offers)
        assert await register(simulator, token, product) == 409


async def test_second_generation_renews_when_the_token_has_expired() -> None:
    with launched(offers_refresh_token="r", simulator_token_seconds=1) as simulator:
        token, product = await authenticate(simulator, "r"), str(uuid.uuid4())
        while (status := await register(simulator, token, product)) in (201, 409):
            product = str(uuid.uuid4())
        assert status == 401
        assert await authenticate(simulator, "r") != token


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_it_stops_at_once_and_with_code_0_whatever_is_under_way(number: signal.Signals) -> None:
    with launched() as simulator:
        simulator.admin("POST", "/faults", {"kind": "black_hole", "endpoint": "auth"})
        waiting = asyncio.create_task(call("POST", f"{simulator.base_url}/auth"))
        while not (await call("GET", f"{simulator.origin}/admin/ledger"))[1]["calls"]:
            pass
        os.kill(simulator.process.pid, number)
        assert await asyncio.to_thread(simulator.process.wait, 10) == 0
        with pytest.raises(aiohttp.ClientError):
            await waiting


def serve(settings: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "offers_simulator", "serve"],
        env=os.environ | dict(settings),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("PORT", "many"),
        ("SIMULATOR_TICK_SECONDS", "nan"),
        ("SIMULATOR_PATH_PREFIX", "api"),
    ],
)
def test_a_malformed_setting_is_named_and_ends_it_with_code_2(name: str, value: str) -> None:
    ended = serve({name: value})
    assert ended.returncode == 2
    assert name in ended.stderr
    assert ended.stderr.count("\n") == 1


def test_an_address_in_use_is_named_and_ends_it_with_code_1() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        ended = serve({"PORT": str(taken.getsockname()[1])})
    assert ended.returncode == 1
    assert "address already in use" in ended.stderr
    assert ended.stderr.count("\n") == 1


def test_a_state_file_in_use_is_named(tmp_path: Path) -> None:
    state = tmp_path / "state"
    refused = pytest.raises(LaunchError, match="in use by another simulator")
    with launched(simulator_state=state), refused, launched(simulator_state=state):
        pass


async def test_it_is_not_the_bottleneck() -> None:
    products = [str(uuid.uuid4()) for _ in range(PRODUCTS)]
    with launched() as simulator:
        token = await authenticate(simulator)
        async with aiohttp.ClientSession(headers={"Bearer": token}) as session:
            todo = iter(products)

            async def register_and_poll_twice() -> None:
                for product in todo:
                    body = {"id": product, "name": "n", "description": "d"}
                    async with session.post(f"{simulator.base_url}/products/register", json=body) as answer:
                        assert answer.status == 201
                    for _ in range(2):
                        async with session.get(f"{simulator.base_url}/products/{product}/offers") as answer:
                            assert answer.status == 200

            before = await cpu_seconds(session, simulator)
            await asyncio.gather(*(register_and_poll_twice() for _ in range(16)))
            used = await cpu_seconds(session, simulator) - before
    assert used < 3 * PRODUCTS * CPU_SECONDS_PER_CALL


async def cpu_seconds(session: aiohttp.ClientSession, simulator: LaunchedSimulator) -> float:
    async with session.get(f"{simulator.origin}/metrics") as answer:
        metrics = await answer.text()
    return next(float(line.split()[1]) for line in metrics.splitlines() if line.startswith("process_cpu_seconds_total"))


async def test_metrics_count_calls_by_endpoint_and_status() -> None:
    with launched() as simulator:
        await authenticate(simulator)
        await poll(simulator, "nobody", str(uuid.uuid4()))
        async with aiohttp.ClientSession() as session, session.get(f"{simulator.origin}/metrics") as answer:
            text = await answer.text()
    assert 'aggregator_offers_simulator_calls_total{endpoint="auth",status="201"} 1.0' in text
    assert 'aggregator_offers_simulator_calls_total{endpoint="offers",status="401"} 1.0' in text


async def test_what_is_not_http_is_refused_and_the_rest_goes_on() -> None:
    with launched() as simulator:
        host, port = simulator.origin.removeprefix("http://").split(":")
        for junk in (b"\x16\x03\x01\x02\x00\x01\x00\r\n\r\n", b"hello\r\n\r\n", b"GET / HTTP/1.1\r\nA b\r\n\r\n"):
            reader, writer = await asyncio.open_connection(host, int(port))
            writer.write(junk)
            assert (await reader.read()).startswith(b"HTTP/1.1 400 ")
            writer.close()
        reader, writer = await asyncio.open_connection(host, int(port))
        for byte in b"POST /api/v1/auth HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n":
            writer.write(bytes([byte]))
            await writer.drain()
        assert (await reader.readuntil(b"\r\n")).startswith(b"HTTP/1.1 201 ")
        writer.close()
        assert simulator.admin("GET", "/tokens")["count"] == 1
