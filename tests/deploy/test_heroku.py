"""What Heroku reads: the Procfile's lines are run as a dyno runs them, on databases that take TLS only."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psycopg2
import pytest
import yaml
from tests.deploy.tls_front import tls_front

from devstack import loopback_http
from devstack.conditions import wait_until
from devstack.ports import free_port
from offers_simulator.launch import launched

ROOT = Path(__file__).parents[2]
SCRIPTS = Path(sys.executable).parent
SERVICES = ("catalog-api", "offers-sync", "price-history")
DATABASES = ("CATALOG_DATABASE_URL", "OFFERS_SYNC_DATABASE_URL", "PRICE_HISTORY_DATABASE_URL")
DRAIN_SECONDS = 12.0
READY_SECONDS = 60.0
ADMIN_TOKEN = re.compile(r"agg_\w+")


def procfile() -> dict[str, str]:
    """Process types and their commands, as https://devcenter.heroku.com/articles/procfile has the format."""
    lines = (ROOT / "Procfile").read_text().splitlines()
    return {kind: command.strip() for kind, _, command in (line.partition(":") for line in lines if line)}


@pytest.fixture
def tls_port(postgres_dsn: str, tmp_path: Path) -> Iterator[int]:
    with tls_front(tmp_path, urlsplit(postgres_dsn).port or 5432) as port:
        yield port


@pytest.fixture
def heroku_url(tls_port: int, make_database: Callable[..., str]) -> Callable[[], str]:
    """The URL of a fresh database in Heroku's form, to be reached by TLS only."""

    def make() -> str:
        parts = urlsplit(make_database())
        return f"postgres://{parts.username}:{parts.password}@127.0.0.1:{tls_port}{parts.path}"

    return make


@dataclass
class Dyno:
    """One line of the Procfile that runs; what it starts is of its process group."""

    process: subprocess.Popen[bytes]
    log: Path

    def signal_all(self, number: int) -> None:
        """What the dyno manager does: https://devcenter.heroku.com/articles/dyno-shutdown-behavior."""
        os.killpg(self.process.pid, number)

    def left(self) -> bool:
        """Whether a process of it lives."""
        try:
            self.signal_all(0)
        except ProcessLookupError:
            return False
        return True

    def ended(self, within: float = DRAIN_SECONDS) -> int:
        """The exit code, and nothing left behind."""
        code = self.process.wait(within)
        assert wait_until(lambda: not self.left(), seconds=1), self.log.read_text()
        return code


class Formation:
    """Starts lines of the Procfile with an app's config vars, and whatever is left of them ends with the test."""

    def __init__(self, config: Mapping[str, str], folder: Path, close: ExitStack) -> None:
        self.config, self._folder, self._close = config, folder, close
        self.port = free_port()

    def start(self, kind: str) -> Dyno:
        path = f"{SCRIPTS}:{os.environ['PATH']}"
        environment = {"PATH": path, "DYNO": f"{kind}.1", "PORT": str(self.port), **self.config}
        log = self._folder / f"{kind}.log"
        with log.open("ab") as output:
            process = subprocess.Popen(
                ["bash", "-c", procfile()[kind]],
                cwd=ROOT,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        dyno = Dyno(process, log)
        self._close.callback(self._end, dyno)
        return dyno

    def release(self) -> str:
        """Run the release phase; returns its log."""
        dyno = self.start("release")
        assert dyno.ended(READY_SECONDS) == 0, dyno.log.read_text()
        return dyno.log.read_text()

    def web(self) -> Dyno:
        """A web dyno whose public API and price-history answer."""
        dyno = self.start("web")
        urls = [f"http://127.0.0.1:{port}/readyz" for port in (self.port, self.config["PRICE_HISTORY_PORT"])]
        answers = wait_until(lambda: not any(map(loopback_http.failure, urls)), seconds=READY_SECONDS)
        assert answers, dyno.log.read_text()
        return dyno

    @staticmethod
    def _end(dyno: Dyno) -> None:
        with suppress(ProcessLookupError):
            dyno.signal_all(signal.SIGKILL)
        dyno.process.wait()


@pytest.fixture
def formation(heroku_url: Callable[[], str], rabbitmq_url: str, tmp_path: Path) -> Iterator[Formation]:
    with ExitStack() as close:
        simulator = close.enter_context(launched(simulator_tick_seconds=3600))
        config = {
            **{name: heroku_url() for name in DATABASES},
            "CLOUDAMQP_URL": rabbitmq_url,
            "OFFERS_BASE_URL": simulator.base_url,
            "OFFERS_POLL_INTERVAL_SECONDS": "1",
            "PRICE_HISTORY_TOKEN": "0123456789abcdef" * 4,  # as the generator of app.json makes them
            "PRICE_HISTORY_PORT": str(free_port()),
        }
        yield Formation(config, tmp_path, close)


@contextmanager
def unfinished_creation(port: int, token: str) -> Iterator[socket.socket]:
    """A request in flight: of its body all but the last byte has been sent."""
    body = b'{"name": "drained", "description": ""}'
    head = (
        f"POST /api/v1/products HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    )
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        connection.sendall(head.encode() + body[:-1])
        yield connection


def test_the_whole_formation_works_and_drains(formation: Formation) -> None:
    token = ADMIN_TOKEN.search(formation.release())
    assert token
    assert not ADMIN_TOKEN.search(formation.release().removeprefix(token.string))
    headers = {"Authorization": f"Bearer {token[0]}"}
    kinds = [kind for kind in procfile() if kind not in ("web", "release")]
    dynos = [formation.web(), *map(formation.start, kinds)]
    products = f"http://127.0.0.1:{formation.port}/api/v1/products"

    with pytest.raises(OSError, match="401"):
        loopback_http.call("GET", products)
    body = {"name": "mower", "description": ""}
    product = loopback_http.call("POST", products, body, headers=headers)["id"]

    def has_history() -> bool:
        trend = loopback_http.call("GET", f"{products}/{product}/trend?resolution=raw", headers=headers)
        return bool(trend["prices"])

    def state() -> Any:
        return loopback_http.call("GET", f"{products}/{product}", headers=headers)

    assert wait_until(lambda: state()["offers_count"] > 0, seconds=READY_SECONDS), [d.log.read_text() for d in dynos]
    assert wait_until(has_history, seconds=READY_SECONDS), [dyno.log.read_text() for dyno in dynos]

    for dyno in dynos:
        dyno.signal_all(signal.SIGTERM)
    for dyno in dynos:
        assert dyno.ended() == 0, dyno.log.read_text()


def test_a_request_in_flight_is_answered_before_the_web_dyno_ends(formation: Formation) -> None:
    token = ADMIN_TOKEN.search(formation.release())
    assert token
    web = formation.web()
    with unfinished_creation(formation.port, token[0]) as request:
        web.process.send_signal(signal.SIGTERM)
        refused = f"http://127.0.0.1:{formation.config['PRICE_HISTORY_PORT']}/healthz"
        assert wait_until(lambda: loopback_http.failure(refused) is not None, seconds=DRAIN_SECONDS)
        web.signal_all(signal.SIGTERM)
        request.sendall(b"}")
        assert request.recv(100).startswith(b"HTTP/1.1 201 "), web.log.read_text()
    assert web.ended() == 0


def test_a_web_dyno_whose_price_history_died_ends_to_be_started_anew(formation: Formation) -> None:
    formation.release()
    web = formation.web()
    children = Path(f"/proc/{web.process.pid}/task/{web.process.pid}/children").read_text().split()
    history = [pid for pid in children if b"price-history" in Path(f"/proc/{pid}/cmdline").read_bytes()]
    os.kill(int(history[0]), signal.SIGKILL)
    assert web.ended() == 1


def test_a_release_that_cannot_migrate_fails(formation: Formation) -> None:
    formation.config = {**formation.config, "OFFERS_SYNC_DATABASE_URL": ""}
    assert formation.start("release").ended(READY_SECONDS) != 0


def test_the_databases_of_other_services_are_not_in_a_service_s_environment() -> None:
    config = {name: f"postgres://{name}" for name in DATABASES}
    printed = subprocess.run(
        ["bash", "-c", 'exec() { env; }; set -- offers-sync work; source "$0"', ROOT / "deploy/heroku/service.sh"],
        env={"PATH": os.environ["PATH"], "CLOUDAMQP_URL": "amqps://cloud", **config},
        capture_output=True,
        text=True,
        check=True,
    ).stdout.splitlines()
    assert "DATABASE_URL=postgres://OFFERS_SYNC_DATABASE_URL" in printed
    assert "RABBITMQ_URL=amqps://cloud" in printed
    assert "PGSSLMODE=require" in printed
    assert sum("postgres://" in line for line in printed) == 1


@pytest.mark.parametrize("service", SERVICES)
def test_sslmode_of_the_url_holds_for_both_drivers(
    service: str, heroku_url: Callable[[], str], rabbitmq_url: str
) -> None:
    # Of each service, `migrate` uses psycopg2; then asyncpg makes price-history's partitions and catalog-api's token,
    # and `token show` of offers-sync uses it too, and finds none.
    url = heroku_url()
    commands = {"migrate": 0, **({"token show": 1} if service == "offers-sync" else {})}
    for command, code in commands.items():
        ran = _run(service, command, DATABASE_URL=f"{url}?sslmode=require", RABBITMQ_URL=rabbitmq_url)
        assert ran.returncode == code, ran.stdout + ran.stderr
        assert "no token is stored" in ran.stderr or code == 0
    with pytest.raises(psycopg2.OperationalError):
        psycopg2.connect(f"{url}?sslmode=disable")


def test_the_manifests_agree_with_the_procfile() -> None:
    commands = procfile()
    manifest = yaml.safe_load((ROOT / "heroku.yml").read_text())
    described = json.loads((ROOT / "app.json").read_text())
    run = {kind: _command(entry) for kind, entry in manifest["run"].items()}
    assert run | {"release": _command(manifest["release"])} == commands
    assert set(described["formation"]) == set(commands) - {"release"}
    assert all(kind.isalnum() for kind in commands)
    assert [addon for addon in described["addons"]] == manifest["setup"]["addons"]
    assert {f"{addon['as']}_URL" for addon in described["addons"] if "as" in addon} == set(DATABASES)
    assert f'CMD {json.dumps(commands["web"].split())}' in (ROOT / "heroku.Dockerfile").read_text()


def test_the_build_installs_the_locked_installer() -> None:
    lock = (ROOT / "requirements.lock").read_text()
    locked = re.search(r"^uv==.*?(?=^[a-z]|\Z)", lock, re.MULTILINE | re.DOTALL)
    assert locked
    assert (ROOT / "requirements.txt").read_text().split("\n", 1)[1] == locked[0]


def test_the_container_build_gets_what_it_copies() -> None:
    ignored = ROOT / ".dockerignore"
    if not ignored.exists():
        return
    let_through = {line[1:] for line in ignored.read_text().splitlines() if line.startswith("!")}
    copied = [line.split()[1:-1] for line in (ROOT / "heroku.Dockerfile").read_text().splitlines() if "COPY" in line]
    assert {source for sources in copied for source in sources} <= let_through


def _command(entry: Any) -> Any:
    return entry if isinstance(entry, str) else entry["command"][0]


def _run(service: str, command: str, **environment: str) -> subprocess.CompletedProcess[str]:
    argv = [SCRIPTS / service, *command.split()]
    environment = {"PATH": os.environ["PATH"], **environment}
    return subprocess.run(argv, env=environment, capture_output=True, text=True, check=False, timeout=READY_SECONDS)
