"""What of webhooks needs no parts: signatures, times of attempts, and where a webhook may lead."""

import base64
from datetime import UTC, datetime
from email.utils import format_datetime
from uuid import uuid4

import pytest
import standardwebhooks
from hypothesis import given
from hypothesis import strategies as st

from catalog_api.domain.delivery import DELAYS, JITTER, DeliveryState, Outcome, judge
from catalog_api.domain.signatures import new_secret, signed_headers
from catalog_api.domain.targets import Targets, checked_url, is_public

NOW = datetime(2026, 11, 23, 6, 0, tzinfo=UTC)
NOT_PUBLIC = [
    "0.0.0.0", "0.1.2.3", "10.0.0.1", "100.64.0.1", "100.127.255.254", "127.0.0.1", "127.1.2.3", "169.254.169.254",
    "172.16.0.1", "172.31.255.254", "192.0.0.8", "192.0.0.9", "192.0.0.170", "192.0.2.1", "192.88.99.1",
    "192.168.1.1", "198.18.0.1", "198.51.100.1", "203.0.113.1", "224.0.0.1", "239.255.255.255", "240.0.0.1",
    "255.255.255.255", "::", "::1", "::127.0.0.1", "::ffff:10.0.0.1", "::ffff:127.0.0.1", "::ffff:169.254.169.254",
    "::ffff:0:127.0.0.1", "64:ff9b::10.0.0.1", "64:ff9b::7f00:1", "64:ff9b:1::1", "100::1", "2001::1", "2001:20::1",
    "2001:db8::1", "2002:7f00:1::1", "2002:808:808::1", "3fff::1", "5f00::1", "fc00::1", "fd12::1", "fe80::1",
    "fe80::1%eth0", "fec0::1", "ff02::1", "ff0e::1", "2a00:1450:4014::1%eth0", "localhost", "127.1", "2130706433",
    "0x7f000001", "01.1.1.1",
]  # fmt: skip
PUBLIC = [
    "1.1.1.1", "8.8.8.8", "93.184.216.34", "::ffff:8.8.8.8", "64:ff9b::808:808", "2a00:1450:4014::1",
    "2606:4700::1111",
]  # fmt: skip


@given(body=st.text(st.characters(exclude_categories=["Cs"])))
def test_the_reference_library_verifies_what_is_signed(body: str) -> None:
    secrets = [new_secret(), new_secret()]
    headers = signed_headers(uuid4(), datetime.now(UTC), body, secrets)
    for secret in secrets:
        standardwebhooks.Webhook(secret).verify(body.encode(), headers, json_parse=False)
    with pytest.raises(standardwebhooks.WebhookVerificationError):
        standardwebhooks.Webhook(new_secret()).verify(body.encode(), headers, json_parse=False)
    with pytest.raises(standardwebhooks.WebhookVerificationError):
        standardwebhooks.Webhook(secrets[0]).verify(f"{body} ".encode(), headers, json_parse=False)


def test_a_secret_is_as_the_specification_asks() -> None:
    prefix, _, encoded = new_secret().partition("_")
    assert prefix == "whsec"
    assert 24 <= len(base64.b64decode(encoded, validate=True)) <= 64
    assert new_secret() != new_secret()


def delays(answer: Outcome) -> list[float]:
    return [judge(answer, failures, NOW).delay_seconds for failures in range(DELAYS)]


def test_attempts_are_spread_over_a_day_and_then_end() -> None:
    refused = Outcome(0.1, 500)
    assert 22 * 3600 < sum(delays(refused)) < 22.1 * 3600 * (1 + JITTER)
    assert (waits := delays(refused)) == sorted(waits)
    assert delays(refused)[0] < 10
    assert len({judge(refused, 3, NOW).delay_seconds for _ in range(20)}) > 10, "not all at the same time"
    assert judge(refused, DELAYS, NOW).state is DeliveryState.FAILED
    assert judge(Outcome(0.1, error="no connection"), 0, NOW).state is DeliveryState.PENDING


@pytest.mark.parametrize("status", [200, 201, 204, 299])
def test_only_2xx_is_a_success(status: int) -> None:
    assert judge(Outcome(0.1, status), 3, NOW).state is DeliveryState.DELIVERED


@pytest.mark.parametrize("status", [101, 300, 301, 304, 307, 400, 404, 429, 500])
def test_anything_else_is_not(status: int) -> None:
    assert judge(Outcome(0.1, status), 3, NOW).state is DeliveryState.PENDING


def test_410_ends_a_delivery_at_once() -> None:
    assert judge(Outcome(0.1, 410), 0, NOW).state is DeliveryState.FAILED


@pytest.mark.parametrize(
    ("asked", "least", "most"),
    [
        ("120", 120, 120),
        ("1", 5, 6),
        ("86400", 3600, 3600),
        ("9" * 5000, 3600, 3600),
        (format_datetime(NOW.replace(minute=10), usegmt=True), 600, 600),
        ("Mon, 23 Nov 2020 06:00:00 GMT", 5, 6),
        ("Mon, 23 Nov 2026 06:10:00 -0000", 600, 600),
        ("soon", 5, 6),
        ("-5", 5, 6),
        ("", 5, 6),
        ("Mon, 99 Nov 2026 06:10:00 GMT", 5, 6),
        (f"Mon, 23 Nov {'9' * 20} 06:10:00 GMT", 5, 6),
        (f"Mon, 23 Nov 2026 06:10:{'9' * 20} GMT", 5, 6),
        (f"Mon, 23 Nov 2026 06:10:00 +{'9' * 20}", 5, 6),
    ],
)
def test_retry_after_is_honoured_up_to_an_hour(asked: str, least: float, most: float) -> None:
    assert least <= judge(Outcome(0.1, 503, retry_after=asked), 0, NOW).delay_seconds <= most


@pytest.mark.parametrize("address", NOT_PUBLIC)
def test_what_is_inside_is_not_public(address: str) -> None:
    assert not is_public(address)


@pytest.mark.parametrize("address", PUBLIC)
def test_what_is_outside_is(address: str) -> None:
    assert is_public(address)


@pytest.mark.parametrize(
    "url",
    [
        "", "shop.example", "//shop.example/", "https://", "https:///path", "https://:443/", "https://shop.example:0/",
        "https://shop.example:99999/", "https://[::1/", "ftp://shop.example/", "file:///etc/passwd",
        "javascript:alert(1)",
        "https://user@shop.example/", "https://user:word@shop.example/", "https://@shop.example/",
        "https://shop.example/#a",
        "https://šop.example/", "https://shop.example/a b", "https://shop.example/\r\nX: y", "https://shop.example/\x00",
        "https://shop.example/\ud800", f"https://shop.example/{'a' * 2000}",
    ],
)  # fmt: skip
def test_what_is_no_url_for_a_webhook_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match="must"):
        checked_url(url, Targets.ANY)


@pytest.mark.parametrize("port", ["0", "99999", "x"])
def test_a_port_that_there_can_not_be_is_named(port: str) -> None:
    with pytest.raises(ValueError, match="must have a port from 1 to 65535"):
        checked_url(f"https://shop.example:{port}/", Targets.PUBLIC)


def test_plain_http_is_for_development() -> None:
    for url in ("http://shop.example/", "http://127.0.0.1:8080/hook"):
        assert checked_url(url, Targets.ANY) == url
        with pytest.raises(ValueError, match=r"must be an https:// URL; .* WEBHOOK_TARGETS=any"):
            checked_url(url, Targets.PUBLIC)
    assert checked_url("https://shop.example:8443/hook?a=b%20c", Targets.PUBLIC)
