"""`devstack run` as `make run` has it: a process of its own, watched from outside."""

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg2
import pytest

from devstack import loopback_http
from devstack.conditions import wait_until

START_SECONDS = 100.0
pytestmark = pytest.mark.timeout(300)
FREE_PORTS = dict.fromkeys(("CATALOG_PORT", "PRICE_HISTORY_PORT", "SIMULATOR_PORT", "RABBITMQ_PORT"), "0")


class Run:
    """One `devstack run`, with what it printed."""

    def __init__(self, folder: Path, **environment: str) -> None:
        self.folder = folder
        self._output = folder.with_name(f"{folder.name}.output")
        with self._output.open("ab") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "devstack", "run"],
                env={"PATH": os.environ["PATH"], "STACK_DIR": str(folder), **FREE_PORTS, **environment},
                stdout=output,
                stderr=subprocess.STDOUT,
            )

    @property
    def output(self) -> str:
        return self._output.read_text()

    def described(self) -> dict[str, Any]:
        described: dict[str, Any] = json.loads((self.folder / "stack.json").read_text())
        return described

    def wait_until_ready(self) -> None:
        ready = re.compile(r"^READY http://127\.0\.0\.1:\d+$", re.MULTILINE)
        printed = self.output.count("READY")

        def says_so() -> bool:
            return len(ready.findall(self.output)) > printed or self.process.poll() is not None

        assert wait_until(says_so, seconds=START_SECONDS), self.output
        assert self.process.poll() is None, self.output

    def pid(self, name: str) -> int:
        return int(self.described()["processes"][name]["pid"])

    def end(self, signal_number: signal.Signals) -> int:
        self.process.send_signal(signal_number)
        return self.process.wait(timeout=60)


def processes_of(folder: Path) -> list[str]:
    """The command lines of all processes that were started from this folder, whoever started them."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            told = (process / "cmdline").read_bytes() + (process / "environ").read_bytes()
            if str(folder).encode() in told and process.name != str(os.getpid()):
                found.append((process / "cmdline").read_text().replace("\0", " "))
        except OSError:
            continue
    return found


def nothing_is_left_of(folder: Path) -> bool:
    """What served the broker's machine ends when it notices that that is gone."""
    assert wait_until(lambda: not processes_of(folder), seconds=30), processes_of(folder)
    return True


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Run]:
    """A run with the demo, two copies of a worker, and RESTART; the last test here ends it."""
    run = Run(tmp_path_factory.mktemp("first") / "stack", RESTART="1", SCALE="offers-sync-work=2", DEMO="1")
    try:
        run.wait_until_ready()
        yield run
    finally:
        run.end(signal.SIGTERM)


def test_stack_json_tells_how_to_reach_everything(run: Run) -> None:
    described = run.described()

    assert f"READY {described['catalog_url']}\n" in run.output
    assert set(described["processes"]) == {
        "catalog-api-serve",
        "catalog-api-work",
        "offers-sync-work",
        "offers-sync-work.2",
        "price-history-serve",
        "price-history-work",
        "offers-simulator",
        "postgresql",
        "rabbitmq",
    }
    for name, process in described["processes"].items():
        os.kill(process["pid"], 0)
        if name not in ("postgresql", "rabbitmq"):
            readyz = f"{process['health_url']}/readyz"
            assert wait_until(lambda url=readyz: loopback_http.failure(url) is None, seconds=30), name  # type: ignore[misc]
    assert set(described["databases"]) == {"catalog", "offers_sync", "price_history"}
    for dsn in described["databases"].values():
        connection = psycopg2.connect(dsn)
        cursor = connection.cursor()
        cursor.execute("SELECT usesuper FROM pg_user WHERE usename = current_user")
        assert cursor.fetchall() == [(True,)]
        connection.close()
    assert described["rabbitmq_url"].startswith("amqp://")


def test_no_service_has_the_rights_of_an_administrator(run: Run) -> None:
    connection = psycopg2.connect(run.described()["databases"]["catalog"])
    cursor = connection.cursor()
    cursor.execute(
        "SELECT DISTINCT usename, usesuper FROM pg_stat_activity JOIN pg_user USING (usename) "
        "WHERE application_name LIKE 'catalog-api%' OR application_name LIKE 'price-history%'"
    )
    accounts = dict(cursor.fetchall())
    connection.close()

    assert accounts == {"catalog": False, "price_history": False}


def is_for_writing(process: Path, fd: Path) -> bool:
    """Whether it was opened so: proc(5), the flags of open(2) in octal. Modules are loaded, and closed, at any time."""
    try:
        flags = re.search(r"^flags:\s*([0-7]+)$", (process / "fdinfo" / fd.name).read_text(), re.MULTILINE)
    except FileNotFoundError:
        return False
    return flags is not None and int(flags[1], 8) & os.O_ACCMODE != os.O_RDONLY


def test_the_private_broker_writes_nothing_into_the_machines_own_folders(run: Run) -> None:
    assert (run.folder / "rabbitmq/feature_flags").exists()
    assert (run.folder / "rabbitmq/home/.erlang.cookie").exists()
    process = Path(f"/proc/{run.pid('rabbitmq')}")
    written = {
        path for fd in (process / "fd").iterdir() if is_for_writing(process, fd) and (path := fd.resolve()).is_file()
    }
    assert written
    assert all(path.is_relative_to(run.folder) for path in written)


def test_a_newcomer_sees_a_sample_catalog_and_how_to_look_at_it(run: Run) -> None:
    catalog = f"{run.described()['catalog_url']}/api/v1/products"

    assert len(loopback_http.call("GET", catalog)["items"]) == 12
    shown = re.findall(r"^  curl .*'(http\S+/trend\?period=\S+)'$", run.output, re.MULTILINE)
    assert len(shown) == 1
    assert loopback_http.failure(shown[0]) is None


def test_a_second_run_in_the_same_folder_is_refused(run: Run) -> None:
    second = Run(run.folder, CATALOG_PORT="0")

    assert second.process.wait(timeout=30) == 1
    assert f"another stack runs from {run.folder} (process {run.process.pid})" in run.output
    assert "stopped" not in run.output, "the first one runs on"


def test_a_process_that_was_killed_is_started_again(run: Run) -> None:
    killed = run.pid("price-history-work")
    os.kill(killed, signal.SIGKILL)

    def ready_again() -> bool:
        process = run.described()["processes"]["price-history-work"]
        return process["pid"] != killed and loopback_http.failure(f"{process['health_url']}/readyz") is None

    assert wait_until(ready_again, seconds=60), run.output
    assert "price-history-work died (signal 9)" in run.output


def the_demo_works_behind_tokens(run: Run) -> None:
    described = run.described()
    token = described["api_token"]
    shown = {"Authorization": f"Bearer {token}"}
    products = f"{described['catalog_url']}/api/v1/products"

    items = loopback_http.call("GET", products, headers=shown)["items"]
    assert len(items) == 12
    assert loopback_http.failure(f"{products}/{items[0]['id']}/trend", headers=shown) is None
    assert "401" in (loopback_http.failure(products) or "")
    assert "401" in (loopback_http.failure(f"{described['price_history_url']}/api/v1/products", headers=shown) or "")
    assert run.output.count(token) == 1, "it is shown once"
    secret = token.split("_")[2]
    assert not [log for log in (run.folder / "logs").iterdir() if secret in log.read_text()]


def test_a_stack_beside_another_stops_alone_and_leaves_nothing(run: Run, tmp_path: Path) -> None:
    beside = Run(tmp_path / "beside", DEMO="1", API_AUTH="required")
    beside.wait_until_ready()
    assert beside.described()["catalog_url"] != run.described()["catalog_url"]
    the_demo_works_behind_tokens(beside)

    assert beside.end(signal.SIGTERM) == 0

    assert nothing_is_left_of(tmp_path / "beside")
    assert not (tmp_path / "beside/stack.json").exists()
    assert loopback_http.failure(f"{run.described()['catalog_url']}/readyz") is None


def test_after_a_kill_the_next_run_goes_on_with_the_data_and_a_death_ends_it(run: Run) -> None:
    catalog = f"{run.described()['catalog_url']}/api/v1/products"
    kept = loopback_http.call("POST", catalog, {"name": "Kept", "description": ""})["id"]
    run.end(signal.SIGKILL)

    after = Run(run.folder, DEMO="0")
    after.wait_until_ready()
    catalog = f"{after.described()['catalog_url']}/api/v1/products"
    assert loopback_http.call("GET", f"{catalog}/{kept}")["name"] == "Kept"
    assert "offers-sync-work.2" not in after.described()["processes"]

    os.kill(after.pid("offers-sync-work"), signal.SIGKILL)

    assert after.process.wait(timeout=60) == 1
    assert re.search(
        r"^devstack: offers-sync-work died \(signal 9\); the end of \S+:\n  \{", after.output, re.MULTILINE
    )
    assert nothing_is_left_of(run.folder)
