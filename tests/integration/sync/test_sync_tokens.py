"""One access token, ever; and what an operator does about a rejected one."""

import json
import signal
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import psycopg2
import pytest
from cryptography.fernet import Fernet

if TYPE_CHECKING:
    from tests.integration.sync.conftest import Sync, Worker


def stored_token(sync: "Sync") -> str:
    ((value,),) = sync.query("SELECT value FROM access_tokens")
    return str(value)


async def test_three_copies_that_start_at_once_and_again_ask_for_one_token(sync: "Sync") -> None:
    sync.fault("delay", "auth", delay_seconds=1)
    for _ in range(2):
        workers = [sync.start() for _ in range(3)]
        for worker in workers:
            await sync.until(worker.ready, 60)
        products = await sync.registered(5)
        for worker in workers:
            assert worker.stop() == 0
    assert len(sync.calls("auth")) == 1
    assert {call["token"] for call in sync.calls("register")} == {stored_token(sync)}
    assert len(products) == 5


async def test_a_frozen_asker_blocks_nobody_and_discards_what_it_gets(sync: "Sync") -> None:
    sync.fault("delay", "auth", delay_seconds=5, times=1)
    frozen = sync.start(offers_request_timeout_seconds=6)
    await sync.until(lambda: len(sync.calls("auth")) == 1)
    frozen.signal(signal.SIGSTOP)
    # The database ends the frozen session after the call's timeout and five seconds, and thereby frees the lock.
    worker = sync.start(offers_request_timeout_seconds=6)
    await sync.until(worker.ready, 60)
    token = stored_token(sync)
    frozen.signal(signal.SIGCONT)
    await sync.until(frozen.ready, 60)
    await sync.registered(20)
    assert stored_token(sync) == token
    assert len(sync.calls("auth")) == 2
    assert {call["token"] for call in sync.calls("register")} == {token}


async def test_asking_goes_on_until_there_is_a_token(sync: "Sync") -> None:
    sync.fault("status", "auth", status=500, times=1)
    sync.fault("body", "auth", text='{"access_token": "two\\nlines"}')
    worker = sync.start()
    await sync.until(lambda: len(sync.calls("auth")) >= 3)
    await sync.until(lambda: worker.get("/readyz")[0] == 503)
    sync.end_faults()
    await sync.until(worker.ready)
    assert len(granted(sync)) == 1
    await sync.registered()
    assert len(granted(sync)) == 1


async def test_a_rejected_token_stops_calls_until_the_right_one_is_set(sync: "Sync") -> None:
    worker = await sync.started()
    products = await sync.registered(20)
    await sync.until(lambda: all(sync.updates(product) for product in products))
    shown = sync.cli("token", "show", "--reveal").stdout.strip()
    assert shown == stored_token(sync)

    sync.fault("status", "*", status=401)
    await sync.until(lambda: worker.metric("aggregator_offers_sync_token_rejected") == 1)
    assert "token_rejected" in json.loads(worker.get("/readyz")[1])["failing"]["token"]
    calls = len(sync.calls("offers"))
    await sync.until(lambda: bool(sync.pauses(calls)))
    assert min(sync.pauses(calls)) > 2.5, "a probe in five seconds is enough"
    assert len(sync.calls("auth")) == 1, "asking for a new token would orphan every product"

    sync.end_faults()
    sync.simulator.admin("DELETE", f"/tokens/{stored_token(sync)}")
    fresh = "0" * 36
    assert sync.cli("token", "set", fresh).returncode == 0
    await sync.until(lambda: any(call["token"] == fresh for call in sync.calls("offers")))


async def test_rekey_registers_every_product_again_with_a_new_token(sync: "Sync") -> None:
    worker = await sync.started()
    products = await sync.registered(20)
    await sync.until(lambda: all(sync.updates(product) for product in products))
    old = stored_token(sync)
    sync.simulator.admin("DELETE", f"/tokens/{old}")
    await sync.until(lambda: worker.metric("aggregator_offers_sync_token_rejected") == 1)

    result = sync.cli("rekey")
    assert (result.returncode, result.stdout) == (0, "20 products will be registered again\n")
    new = stored_token(sync)
    assert new != old
    await sync.until(lambda: {str(product) for product in products} == registered_with(sync, new))
    calls = len(sync.calls("offers"))
    await sync.until(lambda: len(sync.calls("offers")) > calls + 40)
    await sync.until(worker.ready)
    assert len(sync.calls("auth")) == 2


def registered_with(sync: "Sync", token: str) -> set[str]:
    items = sync.simulator.admin("GET", "/products")["items"]
    return {item["id"] for item in items if item["token"] == token}


async def test_a_given_token_is_used_and_none_is_asked_for(sync: "Sync") -> None:
    token = "given-0123456789"
    worker = sync.start(offers_access_token=token)
    await sync.until(worker.ready, 60)
    await sync.create()
    await sync.until(lambda: bool(sync.calls("register")))
    assert sync.calls("register")[0]["token"] == token
    assert sync.calls("auth") == []
    assert sync.cli("token", "show").stdout == "give… (16 characters)\n"
    assert token not in worker.log
    assert sync.cli("rekey", offers_access_token=token).returncode == 1


async def test_a_stored_token_is_encrypted_and_keys_are_changed_without_asking_for_another(sync: "Sync") -> None:
    worker = await sync.started()
    token = stored_token(sync)
    assert worker.stop() == 0

    old, new = (Fernet.generate_key().decode() for _ in range(2))
    for keys in (old, f"{new},{old}", new):
        worker = sync.start(offers_token_keys=keys)
        await sync.until(worker.ready, 60)
        assert Fernet(keys.split(",")[0]).decrypt(stored_token(sync)).decode() == token
        assert sync.cli("token", "show", "--reveal", offers_token_keys=keys).stdout == f"{token}\n"
        assert worker.stop() == 0
        assert not any(secret in worker.log for secret in (token, old, new))
    await sync.started(offers_token_keys=new)
    await sync.registered(1)
    assert {call["token"] for call in sync.calls("register")} == {token}
    assert len(sync.calls("auth")) == 1


async def test_a_token_that_can_not_be_stored_is_not_logged_either(sync: "Sync", postgres_dsn: str) -> None:
    token = "given-canary-0123456789"
    own = urlsplit(sync.dsn)
    connection = psycopg2.connect(urlsplit(postgres_dsn)._replace(path=own.path).geturl())
    with connection, connection.cursor() as cursor:
        cursor.execute(f"REVOKE INSERT ON access_tokens FROM {own.username}")
    connection.close()
    worker = sync.start(offers_access_token=token)
    await sync.until(lambda: worker.log.count("loop_failed") > 1)
    assert token not in worker.log
    assert token not in (failed := sync.cli("token", "set", token)).stdout + failed.stderr
    assert failed.returncode == 1


async def refusing_worker(sync: "Sync", keys: str) -> "Worker":
    worker = sync.start(offers_token_keys=keys)
    await sync.until(lambda: "OFFERS_TOKEN_KEYS" in worker.log and worker.get("/readyz")[0] == 503)
    return worker


async def test_without_its_key_a_token_is_neither_used_nor_replaced(sync: "Sync") -> None:
    key = Fernet.generate_key().decode()
    worker = await sync.started(offers_token_keys=key)
    sealed = stored_token(sync)
    assert worker.stop() == 0

    for keys in ("", Fernet.generate_key().decode()):
        worker = await refusing_worker(sync, keys)
        assert worker.get("/readyz")[0] == 503
        assert worker.stop() == 0
        assert "OFFERS_TOKEN_KEYS" in sync.cli("token", "show", offers_token_keys=keys).stderr
    assert stored_token(sync) == sealed
    assert len(sync.calls("auth")) == 1

    assert sync.cli("token", "set", "of-the-same-account").returncode == 0
    assert stored_token(sync) == "of-the-same-account"


@pytest.mark.parametrize("argument", [(), ("-",)])
def test_a_token_is_read_where_no_list_of_processes_shows_it(sync: "Sync", argument: tuple[str, ...]) -> None:
    assert sync.cli("token", "set", *argument, stdin="from-a-pipe\n").returncode == 0
    assert stored_token(sync) == "from-a-pipe"


def test_token_commands_say_what_is_wrong(sync: "Sync") -> None:
    assert sync.cli("token", "show").stderr == "offers-sync: no token is stored\n"
    assert sync.cli("token", "set", "a b").returncode == 1
    assert sync.cli("token", "set").returncode == 1
    nowhere = sync.cli("token", "show", database_url="postgresql://127.0.0.1:1/none")
    assert nowhere.stderr == "offers-sync: the database does not answer\n"
    malformed = sync.cli("work", rabbitmq_url="amqp://x", offers_base_url="ftp://x")
    assert malformed.returncode == 2
    assert malformed.stderr.count("\n") == 1
    assert "OFFERS_BASE_URL" in malformed.stderr
    guess = sync.cli("token", "show", offers_token_keys="hunter2")
    assert guess.returncode == 2
    assert "OFFERS_TOKEN_KEYS" in guess.stderr
    assert "hunter2" not in guess.stderr


class TestSecondGeneration:
    @pytest.fixture
    def simulator_settings(self) -> dict[str, object]:
        return {"offers_refresh_token": "refresh", "simulator_token_seconds": 3}

    async def test_one_worker_renews_and_all_share(self, sync: "Sync") -> None:
        workers = [await sync.started(offers_refresh_token="refresh") for _ in range(2)]
        products = await sync.registered(20)
        await sync.until(lambda: len(granted(sync)) >= 4, 30)
        calls = sync.calls("auth")
        assert {call["token"] for call in calls} == {"refresh"}
        assert len(calls) - len(granted(sync)) <= 4 * len(granted(sync)), "asked too early far too often"
        tokens = {item["token"] for item in sync.simulator.admin("GET", "/tokens")["items"]}
        assert {call["token"] for call in sync.calls("offers")} <= tokens
        refused = [call for call in sync.calls("offers") if call["status"] != 200]
        # Sent in its last second, a call may arrive after it; were expired ones used, each poll until the next would.
        assert len(refused) <= len(granted(sync)), "an expired token must not be used"
        polled = len(sync.calls("offers"))
        await sync.until(lambda: len(sync.calls("offers")) > polled + 40)
        await sync.until(lambda: all(worker.ready() for worker in workers))
        assert len(products) == 20


class TestSecondGenerationSlowly:
    @pytest.fixture
    def simulator_settings(self) -> dict[str, object]:
        return {"offers_refresh_token": "refresh", "simulator_token_seconds": 12}

    async def test_a_token_that_only_its_last_holder_knew_is_waited_for(self, sync: "Sync") -> None:
        worker = await sync.started(offers_refresh_token="refresh")
        worker.kill()
        sync.query("DELETE FROM access_tokens")
        worker = sync.start(offers_refresh_token="refresh")
        await sync.until(worker.ready, 60)
        assert 400 in {call["status"] for call in sync.calls("auth")}

    async def test_a_token_rejected_before_its_time_is_renewed_or_probed_slowly(self, sync: "Sync") -> None:
        worker = await sync.started(offers_refresh_token="refresh")
        products = await sync.registered(20)
        sync.simulator.admin("DELETE", f"/tokens/{stored_token(sync)}")
        polled = len(sync.calls("offers"))
        await sync.until(lambda: len([c for c in sync.calls("offers")[polled:] if c["status"] == 200]) > 40, 60)
        await sync.until(worker.ready)
        assert len(sync.calls("register")) == len(products), "products belong to the refresh token's account"

    async def test_a_step_of_the_databases_clock_neither_wears_a_token_out_nor_keeps_it_alive(
        self, sync: "Sync"
    ) -> None:
        await sync.started(offers_refresh_token="refresh")
        await sync.registered(20)

        async def renewed_after_a_step_of(hours: int) -> None:
            grants, polled = len(granted(sync)), len(sync.calls("offers"))
            sync.query("UPDATE access_tokens SET expires_at = expires_at + make_interval(hours => %s)", [hours])
            await sync.until(lambda: len(sync.calls("offers")) > polled + 60)
            await sync.until(lambda: len(granted(sync)) > grants)

        await renewed_after_a_step_of(1)
        await renewed_after_a_step_of(-1)
        assert {call["status"] for call in sync.calls("offers")} == {200}


def granted(sync: "Sync") -> list[dict[str, object]]:
    return [call for call in sync.calls("auth") if call["status"] == 201]
