"""The console script: migrations, imports, and processes that start, drain and stop."""

import csv
import io
import os
import signal
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import psycopg2
import pytest
import sqlalchemy as sa
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from typer.testing import CliRunner, Result

from catalog_api.db.migrate import MIGRATIONS, migrate
from catalog_api.db.models import metadata
from catalog_api.entrypoints.cli import app
from catalog_api.use_cases import import_products
from devstack.conditions import wait_until
from devstack.ports import free_port
from devstack.postgresql import PostgresServer
from schema_migration import alembic_config

SCRIPT = Path(sys.executable).with_name("catalog-api")


def query(dsn: str, statement: str) -> list[tuple[Any, ...]]:
    with closing(psycopg2.connect(dsn)) as connection, connection, connection.cursor() as cursor:
        cursor.execute(statement)
        return cursor.fetchall()


@contextmanager
def connected(dsn: str) -> Iterator[sa.Connection]:
    engine = sa.create_engine(
        "postgresql+psycopg2://", creator=lambda: psycopg2.connect(dsn), poolclass=sa.pool.NullPool
    )
    with engine.connect() as connection:
        yield connection


def but_for_json(_item: Any, name: str | None, kind: str, *_: Any) -> bool:
    """Leaves out the column whose default Alembic can't compare: PostgreSQL has no `=` for JSON."""
    return (kind, name) != ("column", "offers")


def test_the_migrations_make_what_the_models_say(migrated_dsn: str) -> None:
    with connected(migrated_dsn) as connection:
        context = MigrationContext.configure(
            connection, opts={"compare_server_default": True, "include_object": but_for_json}
        )
        assert compare_metadata(context, metadata) == []
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []
    collations = query(migrated_dsn, "SELECT collname FROM pg_attribute a JOIN pg_collation c ON c.oid = attcollation "
                       "WHERE attrelid = 'products'::regclass AND attname = 'name'")  # fmt: skip
    assert collations == [("C",)]


def test_migrations_can_be_taken_back(make_database: Callable[[], str]) -> None:
    dsn = make_database()
    migrate(dsn)
    with connected(dsn) as connection:
        config = alembic_config(MIGRATIONS)
        config.attributes["connection"] = connection
        command.downgrade(config, "base")
        connection.commit()
    assert query(dsn, "SELECT tablename FROM pg_tables WHERE schemaname = 'public'") == [("alembic_version",)]
    migrate(dsn)


def test_several_migrate_at_once(make_database: Callable[[], str]) -> None:
    dsn = make_database()
    failures: list[Exception] = []

    def try_it() -> None:
        try:
            migrate(dsn)
        except Exception as error:  # noqa: BLE001 - whatever it is, the test fails with it
            failures.append(error)

    threads = [threading.Thread(target=try_it) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert query(dsn, "SELECT count(*) FROM products") == [(0,)]


def test_migrating_waits_for_the_database(private_postgres: PostgresServer) -> None:
    private_postgres.stop()
    migrating = threading.Thread(target=migrate, args=(private_postgres.dsn(),))
    migrating.start()
    private_postgres.start()
    migrating.join()
    assert query(private_postgres.dsn(), "SELECT count(*) FROM products") == [(0,)]


def test_migrating_gives_up_in_the_end() -> None:
    with pytest.raises(psycopg2.OperationalError):
        migrate("postgresql://nobody@127.0.0.1:9/nothing", wait_seconds=0.5)


@pytest.fixture
def run_import(catalog_dsn: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    monkeypatch.setenv("DATABASE_URL", catalog_dsn)
    monkeypatch.setattr(import_products, "BATCH", 3)

    def run(content: bytes, *options: str) -> Result:
        file = tmp_path / "products.csv"
        file.write_bytes(content)
        return CliRunner().invoke(app, ["import", str(file), *options])

    return run


def test_a_good_file_is_imported_whole(run_import: Callable[..., Result], catalog_dsn: str) -> None:
    names = [f"výrobek {number}" for number in range(10)]
    content = "\ufeffname,description\r\n" + "".join(f'{name} ,"a, ""b""\nc"\r\n' for name in names)
    result = run_import(content.encode())
    assert result.exit_code == 0
    assert "10 products created, 0 rows refused" in result.stderr
    assert query(catalog_dsn, "SELECT name, description FROM products ORDER BY id") == [
        (name, 'a, "b"\nc') for name in names
    ]
    assert query(catalog_dsn, "SELECT count(*) FROM outbox WHERE type = 'catalog.product-created.v1'") == [(10,)]
    assert query(catalog_dsn, "SELECT count(*) FROM product_offers") == [(10,)]


def test_bad_rows_are_reported_and_left_out(
    run_import: Callable[..., Result], catalog_dsn: str, tmp_path: Path
) -> None:
    long = "x" * 10_001
    content = f"name,description\ngood,1\n,2\nonly\n{'y' * 201},{long}\nlast,\x00\ngood too,\n".encode() + b"\xff,x\n"
    report = tmp_path / "refused.csv"
    result = run_import(content, "--report", str(report))
    assert result.exit_code == 1
    refusals = list(csv.reader(io.StringIO(report.read_text())))
    assert refusals == [
        ["line", "reason"],
        ["3", "name must have 1 to 200 characters after trimming"],
        ["4", "has 1 fields, not 2"],
        [
            "5",
            "name must have 1 to 200 characters after trimming; description must have at most 10000 characters",
        ],
        ["6", "description must not contain NUL"],
        ["8", "is not UTF-8"],
    ]
    for line, reason in refusals[1:]:
        assert f"line {line}: {reason}" in result.stderr
    assert "2 products created, 5 rows refused" in result.stderr
    assert query(catalog_dsn, "SELECT name FROM products ORDER BY id") == [("good",), ("good too",)]


def test_a_file_of_something_else_is_refused(run_import: Callable[..., Result]) -> None:
    result = run_import(b"\x89PNG\r\n\x1a\n")
    assert result.exit_code == 2
    assert "the first line must name the columns" in result.stderr


def test_an_import_that_stopped_says_where_to_go_on(
    run_import: Callable[..., Result], catalog_dsn: str, as_administrator: Callable[[str], str]
) -> None:
    content = "name,description\n" + "".join(f"{number},\n" for number in range(10))
    failing = """
        CREATE FUNCTION refuse() RETURNS trigger AS $$ BEGIN RAISE disk_full; END $$ LANGUAGE plpgsql;
        CREATE TRIGGER full_disk BEFORE INSERT ON products FOR EACH ROW WHEN (NEW.name = '7') EXECUTE FUNCTION refuse();
        SELECT 1
    """
    query(as_administrator(catalog_dsn), failing)
    try:
        stopped = run_import(content.encode())
    finally:
        query(as_administrator(catalog_dsn), "DROP TRIGGER full_disk ON products; DROP FUNCTION refuse; SELECT 1")
    assert stopped.exit_code == 3
    assert "stopped after 6 products" in stopped.stderr
    assert "--from-line 8" in stopped.stderr
    assert run_import(content.encode(), "--from-line", "8").exit_code == 0
    assert query(catalog_dsn, "SELECT name FROM products ORDER BY id") == [(str(number),) for number in range(10)]


def environment(dsn: str, **others: str) -> dict[str, str]:
    return {
        "PATH": os.environ["PATH"],
        "DATABASE_URL": dsn,
        "RABBITMQ_URL": "amqp://guest:guest@127.0.0.1:9/",
        "PRICE_HISTORY_URL": "http://127.0.0.1:9",
        **others,
    }


def status_of(url: str) -> int:
    try:
        with urllib.request.urlopen(url, timeout=5) as response:  # noqa: S310 - our own loopback URL
            return int(response.status)
    except urllib.error.HTTPError as error:
        with error:
            return int(error.code)
    except OSError:
        return 0


@pytest.mark.parametrize(("process", "ready"), [("serve", 200), ("work", 503)])
def test_a_process_starts_tells_its_health_and_stops_with_code_0(catalog_dsn: str, process: str, ready: int) -> None:
    port = str(free_port())
    running = subprocess.Popen(
        [str(SCRIPT), process], env=environment(catalog_dsn, PORT=port, HEALTH_PORT=port), stdout=subprocess.PIPE
    )
    try:
        assert wait_until(lambda: status_of(f"http://127.0.0.1:{port}/healthz") == 200, seconds=40)
        # The worker has no broker here.
        assert wait_until(lambda: status_of(f"http://127.0.0.1:{port}/readyz") == ready, seconds=40)
        assert status_of(f"http://127.0.0.1:{port}/metrics") == 200
        running.send_signal(signal.SIGTERM)
        running.communicate(timeout=10)
        assert running.returncode == 0
    finally:
        running.kill()
        running.communicate()


def test_a_missing_setting_stops_the_process_with_code_2(catalog_dsn: str) -> None:
    without = environment(catalog_dsn)
    del without["PRICE_HISTORY_URL"]
    stopped = subprocess.run(
        [str(SCRIPT), "serve"], env=without, capture_output=True, text=True, timeout=60, check=False
    )
    assert stopped.returncode == 2
    assert stopped.stderr.strip().splitlines() == ["settings: PRICE_HISTORY_URL: Field required"]
