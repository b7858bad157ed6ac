"""PostgreSQL restarts, loses a backend, freezes, or has no disk left: 503 in bounded time, then recovery (F5, F6)."""

import os
import signal
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from tests.faults.laboratory.laboratory import Laboratory
from tests.faults.laboratory.load import Load
from tests.faults.laboratory.report import Report

from devstack.linux_processes import family, frozen

pytestmark = pytest.mark.thorough

AWAY_SECONDS = 5
FROZEN_SECONDS = 60
RECOVERY_SECONDS = 15
WRITERS = {"catalog-api-serve", "catalog-api-work", "offers-sync-work", "price-history-work"}
ANSWER_SECONDS = 16.0
"""Waiting for a connection takes 3 s at most, a statement 10 s, and 2 s more until we give up on the server ourselves;
the second above is for the machine."""


def ask(laboratory: Laboratory) -> tuple[int, str | None, float]:
    """Status, Retry-After and latency of one read, however long it takes."""
    began = time.monotonic()
    try:
        with urllib.request.urlopen(f"{laboratory.catalog_url}/api/v1/products?limit=1", timeout=60) as answer:  # noqa: S310
            return answer.status, None, time.monotonic() - began
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.headers["Retry-After"], time.monotonic() - began


def refused_meanwhile(laboratory: Laboratory, until: float, report: Report) -> None:
    """All through the fault, reads are answered 503 with Retry-After, in bounded time."""
    slowest, asked = 0.0, 0
    while time.monotonic() < until:
        status, retry_after, seconds = ask(laboratory)
        slowest, asked = max(slowest, seconds), asked + 1
        assert (status, bool(retry_after)) == (503, True)
        assert seconds < ANSWER_SECONDS
    report.note(f"{asked} reads answered 503, slowest {slowest:.1f} s")


def settle(laboratory: Laboratory, load: Load, report: Report, pids: dict[str, int]) -> None:
    report.loaded(load)
    report.balanced(laboratory.drain(load))
    assert load.server_errors == []
    assert pids == {name: laboratory.pid(name) for name in laboratory.ours}, "a process of ours was started again"
    assert all(part.child is not None and part.child.exit_code is None for part in laboratory.ours.values())


@pytest.mark.fault("F5")
@pytest.mark.timeout(300)
def test_the_database_restarts(laboratory: Laboratory, report: Report) -> None:
    pids = {name: laboratory.pid(name) for name in laboratory.ours}
    with laboratory.load(5, rate=10, timeout_seconds=20) as load:
        laboratory.until(lambda: load.count("accepted") > 20, 30, "load")
        laboratory.stack.stop_process("postgresql")
        refused_meanwhile(laboratory, time.monotonic() + AWAY_SECONDS, report)
        laboratory.stack.start_process("postgresql")
        laboratory.part("postgresql").wait_until_ready()
        report.recovered(laboratory.recovery_seconds(within=RECOVERY_SECONDS))
    settle(laboratory, load, report, pids)
    laboratory.clear(load)


@pytest.mark.fault("F5")
@pytest.mark.timeout(300)
def test_a_backend_is_killed(laboratory: Laboratory, report: Report) -> None:
    pids = {name: laboratory.pid(name) for name in laboratory.ours}
    with laboratory.load(5, rate=10, timeout_seconds=20) as load:
        laboratory.until(lambda: load.count("accepted") > 20, 30, "load")
        [(backend,)] = laboratory.books.query(
            "catalog", "SELECT pid FROM pg_stat_activity WHERE application_name = 'catalog-api-serve' LIMIT 1"
        )
        assert backend in family(laboratory.pid("postgresql"))
        os.kill(backend, signal.SIGKILL)
        report.recovered(laboratory.recovery_seconds(within=RECOVERY_SECONDS))
    settle(laboratory, load, report, pids)
    laboratory.clear(load)


@pytest.mark.fault("F5")
@pytest.mark.timeout(300)
def test_the_database_freezes_for_a_minute(laboratory: Laboratory, report: Report) -> None:
    pids = {name: laboratory.pid(name) for name in laboratory.ours}
    with laboratory.load(5, rate=10, timeout_seconds=20) as load:
        laboratory.until(lambda: load.count("accepted") > 20, 30, "load")
        with frozen(laboratory.pid("postgresql")):
            refused_meanwhile(laboratory, time.monotonic() + FROZEN_SECONDS, report)
        report.recovered(laboratory.recovery_seconds(within=RECOVERY_SECONDS))
    settle(laboratory, load, report, pids)
    laboratory.clear(load)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """The folder of a stack whose PostgreSQL has a disk of its own, of 320 MB."""
    disk = tmp_path / "stack" / "postgresql"
    disk.mkdir(parents=True)
    mounted = subprocess.run(
        ["/bin/mount", "-t", "tmpfs", "-o", "size=320m", "tmpfs", str(disk)], check=False, capture_output=True
    )
    if mounted.returncode != 0:
        pytest.skip("a file system of our own can't be mounted here")
    yield disk.parent
    subprocess.run(["/bin/umount", "-l", str(disk)], check=True)


@pytest.mark.fault("F6")
@pytest.mark.timeout(300)
def test_the_disk_under_the_database_is_full(small_disk: Path, report: Report) -> None:
    with ExitStack() as close:
        laboratory = Laboratory(small_disk, close)
        with laboratory.load(6, rate=20, timeout_seconds=20) as load:
            laboratory.until(lambda: load.count("accepted") > 20, 30, "load")
            filler = small_disk / "postgresql" / "filler"

            told: set[str] = set()

            def noticed() -> bool:
                fill(filler)
                told.update(without_room(laboratory))
                return told >= WRITERS

            with ExitStack() as full:
                full.callback(filler.unlink)
                laboratory.until(noticed, 60, "readiness of all that write says so")
                report.note(f"not ready: {', '.join(sorted(told))}")
            postgres = laboratory.part("postgresql").child
            assert postgres is not None
            if not laboratory.postgres_answers(20):
                report.note("PostgreSQL had to be started again")
                laboratory.stack.kill_process("postgresql")
                laboratory.stack.start_process("postgresql")
                laboratory.part("postgresql").wait_until_ready()
            report.recovered(laboratory.recovery_seconds(within=RECOVERY_SECONDS))
        report.loaded(load)
        report.balanced(laboratory.drain(load))
        assert load.server_errors == []


def without_room(laboratory: Laboratory) -> set[str]:
    return {name for name in laboratory.ours if laboratory.readiness(name, "database_disk")}


def fill(filler: Path) -> None:
    """Take every byte that is free by now."""
    with filler.open("ab", buffering=0) as file:
        try:
            while True:
                file.write(bytes(65_536))
        except OSError:
            return
