"""Faults at random, one after another, under load: all books balance, and nothing grows (F14)."""

import os
import signal
import time
from collections.abc import Callable
from random import Random

import pytest
from tests.faults.laboratory.laboratory import Laboratory
from tests.faults.laboratory.processes import open_files
from tests.faults.laboratory.report import Report

from devstack.linux_processes import family, frozen, megabytes

pytestmark = pytest.mark.thorough

SOAK_SECONDS = int(os.environ.get("SOAK_SECONDS", "120"))
LASTS_SECONDS = 4.0
GROWTH = 1.3
MORE_FILES = 20


class Faults:
    """Every fault that ends by itself."""

    def __init__(self, laboratory: Laboratory, random: Random) -> None:
        self._laboratory, self._random = laboratory, random
        self.kinds: list[Callable[[], None]] = [
            self.process_killed,
            self.process_frozen,
            self.way_black_holed,
            self.way_cut,
            self.way_slow,
            self.backend_killed,
            self.offers_ms_fails,
            self.broker_killed,
        ]

    def _lasting(self) -> None:
        time.sleep(self._random.uniform(0.5, LASTS_SECONDS))

    def _some_process(self) -> str:
        return self._random.choice(sorted(self._laboratory.ours))

    def process_killed(self) -> None:
        self._laboratory.restart(self._some_process())

    def process_frozen(self) -> None:
        with frozen(self._laboratory.pid(self._some_process())):
            self._lasting()

    def way_black_holed(self) -> None:
        self._random.choice(self._laboratory.proxies.links).black_hole()
        self._lasting()

    def way_cut(self) -> None:
        self._random.choice(self._laboratory.proxies.links).cut_after(self._random.randrange(20_000))
        self._lasting()

    def way_slow(self) -> None:
        self._random.choice(self._laboratory.proxies.links).delay(self._random.uniform(0.01, 0.3))
        self._lasting()

    def backend_killed(self) -> None:
        backends = self._laboratory.books.query(
            "catalog", "SELECT pid FROM pg_stat_activity WHERE datname IN ('catalog', 'offers_sync', 'price_history')"
        )
        [backend] = self._random.choice(backends)
        if backend in family(self._laboratory.pid("postgresql")):
            os.kill(backend, signal.SIGKILL)

    def offers_ms_fails(self) -> None:
        self._laboratory.offers_ms.fault("status", "*", status=self._random.choice([429, 500, 503]))
        self._lasting()
        self._laboratory.offers_ms.behave()

    def broker_killed(self) -> None:
        self._laboratory.stack.kill_process("rabbitmq")
        self._lasting()
        self._laboratory.stack.start_process("rabbitmq")
        self._laboratory.part("rabbitmq").wait_until_ready()


@pytest.mark.fault("F14")
@pytest.mark.timeout(SOAK_SECONDS + 300)
def test_everything_at_random(laboratory: Laboratory, report: Report) -> None:
    seed = int(os.environ.get("SEED", "1"))
    report.note(f"SEED={seed}")
    random = Random(seed)  # noqa: S311 - not a secret
    faults = Faults(laboratory, random)
    met: list[str] = []
    with laboratory.load(seed, rate=8) as load:
        laboratory.until(lambda: load.count("accepted") > 20, 30, "load")
        poison = laboratory.poison()
        early = sizes(laboratory)
        began = time.monotonic()
        while time.monotonic() - began < SOAK_SECONDS:
            fault = random.choice(faults.kinds)
            met.append(fault.__name__)
            fault()
            laboratory.proxies.restore()
            laboratory.until(lambda: not laboratory.not_ready(), 60, f"ready after {fault.__name__}")
        report.recovered(laboratory.recovery_seconds(within=60))
    report.loaded(load)
    report.note(f"{len(met)} faults of {len(set(met))} kinds in {SOAK_SECONDS} s")
    report.balanced(laboratory.drain(load, seconds=120, poison=poison))
    laboratory.take_poison()
    assert load.server_errors == []
    late = sizes(laboratory)
    for name, (pid, memory, files) in early.items():
        if late[name][0] == pid:
            report.note(f"{name} {memory:.0f} to {late[name][1]:.0f} MB, {files} to {late[name][2]} files")
            assert late[name][1] < GROWTH * memory
            assert late[name][2] < files + MORE_FILES
    laboratory.clear(load)


def sizes(laboratory: Laboratory) -> dict[str, tuple[int, float, int]]:
    """Process id, resident megabytes and open files of each process of ours."""
    pids = {name: laboratory.pid(name) for name in laboratory.ours}
    return {name: (pid, megabytes(pid), open_files(pid)) for name, pid in pids.items()}
