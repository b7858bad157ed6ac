"""Bodies that are too large, no JSON, or of another type."""

import asyncio
import io
import re
from collections.abc import AsyncIterator

import pytest
from tests.integration.processes import eventually

from .conftest import Api, serving, settings

JSON = {"Content-Type": "application/json"}


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"{'name': 1}",
        b'{"name": "x", "description": "\xff"}',
        b'\xef\xbb\xbf{"name": "x", "description": ""}',
        '{"name": "x", "description": ""}'.encode("utf-16"),
        b'{"name": NaN, "description": ""}',
        b'{"name": -Infinity, "description": ""}',
        b'{"name": "a\nb", "description": ""}',
        b'{"name": "x", "description": ""} x',
        b"[" * 30_000 + b"]" * 30_000,
        b'{"a":' * 10_000 + b"1" + b"}" * 10_000,
        b"1" * 5_000,
        b"\x00",
    ],
)
async def test_what_is_not_json_is_400(api: Api, body: bytes) -> None:
    for path in ("/products", "/products/batch"):
        (await api("POST", path, data=body, headers=JSON)).problem(400)


@pytest.mark.parametrize(
    "content_type",
    [
        "text/plain",
        "application/x-www-form-urlencoded",
        "application/json; charset=latin-1",
        "application/merge-patch+json",
        "application/jsonx",
        "",
        "\u0161",
    ],
)
async def test_other_content_types_are_415(api: Api, content_type: str) -> None:
    (await api("POST", "/products", data=b"{}", headers={"Content-Type": content_type})).problem(415)


async def test_a_body_that_does_not_arrive_is_408(catalog_dsn: str) -> None:
    arrived = asyncio.Event()

    async def never_whole() -> AsyncIterator[bytes]:
        yield b'{"name": '
        await arrived.wait()

    async with serving(settings(catalog_dsn, http_body_seconds=0.2)) as api:
        (await api("POST", "/products", data=never_whole(), headers=JSON)).problem(408)
        arrived.set()
        assert (await api("GET", "/products")).status == 200


@pytest.mark.parametrize(("path", "limit"), [("/products", 64 * 1024), ("/products/batch", 8 * 1024 * 1024)])
async def test_bodies_over_the_limit_are_413_with_and_without_a_length(api: Api, path: str, limit: int) -> None:
    async def chunks(size: int) -> AsyncIterator[bytes]:
        for start in range(0, size, 4096):
            yield b" " * min(4096, size - start)

    for size, status in ((limit, 400), (limit + 1, 413), (2 * limit, 413)):
        (await api("POST", path, data=io.BytesIO(b" " * size), headers=JSON)).problem(status)
        (await api("POST", path, data=chunks(size), headers=JSON)).problem(status)


async def test_a_body_is_refused_as_soon_as_it_is_too_large(api: Api) -> None:
    host, _, port = api.url.removeprefix("http://").partition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(
        b"POST /api/v1/products HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
        b"Transfer-Encoding: chunked\r\n\r\n" + b"10000\r\n" + b" " * 65536 + b"\r\n" + b"1\r\n \r\n"
    )
    async with asyncio.timeout(10):
        assert (await reader.readline()).startswith(b"HTTP/1.1 413")
    writer.close()


async def test_a_megabyte_of_name_is_413_and_the_api_lives_on(api: Api) -> None:
    (await api("POST", "/products", data=io.BytesIO(b'{"name": "' + b"x" * 1_000_000 + b'"}'), headers=JSON)).problem(
        413
    )
    assert (await api.create())["version"] == 1


async def test_a_body_that_breaks_off_is_no_fault_of_ours(api: Api, caplog: pytest.LogCaptureFixture) -> None:
    before = await broken_off(api)
    host, _, port = api.url.removeprefix("http://").partition(":")
    _, writer = await asyncio.open_connection(host, int(port))
    writer.write(b"POST /api/v1/products HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n")
    writer.write(b'Content-Length: 100\r\n\r\n{"name"')
    await writer.drain()
    writer.close()
    await writer.wait_closed()

    async def seen() -> bool:
        return await broken_off(api) > before

    await eventually(seen)
    assert "ASGI" not in caplog.text


async def broken_off(api: Api) -> float:
    labels = 'method="POST",route="/api/v1/products",status="400"'
    async with api.session.get(f"{api.url}/metrics") as response:
        found = re.search(f"request_seconds_count{{{labels}}} (.*)", await response.text())
    return float(found[1]) if found else 0
