"""Faults at random, one after another, under load: all books balance, and nothing grows (F14)."""

import os
import signal
import time
from collections import defaultdict
from collections.abc import Callable
from random import Random

import pytest
from tests.disk_alarm import disk_alarm
from tests.faults.laboratory.laboratory import Laboratory
from tests.faults.laboratory.processes import open_files
from tests.faults.laboratory.report import Report

from devstack.linux_processes import family, frozen, megabytes

pytestmark = pytest.mark.thorough

SOAK_SECONDS = int(os.environ.get("SOAK_SECONDS", "120"))
ROUND_SECONDS = 300
LASTS_SECONDS = 4.0
WARM_SECONDS = 15
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
            self.broker_disk_alarm,
            self.postgres_restarted,
            self.postgres_frozen,
            self.process_stopped,
        ]
        #: Lives all the time, so that what grows slowly has the time to.
        self._spared = random.choice(sorted(laboratory.ours))

        self._drawn: list[Callable[[], None]] = []

    def draw(self) -> Callable[[], None]:
        """One at random, but each kind before any comes again."""
        if not self._drawn:
            self._drawn = self._random.sample(self.kinds, len(self.kinds))
        return self._drawn.pop()

    def _lasting(self) -> None:
        time.sleep(self._random.uniform(0.5, LASTS_SECONDS))

    def _some_process(self) -> str:
        return self._random.choice(sorted(self._laboratory.ours))

    def _some_process_but_the_spared(self) -> str:
        return self._random.choice(sorted(self._laboratory.ours.keys() - {self._spared}))

    def process_killed(self) -> None:
        self._laboratory.restart(self._some_process_but_the_spared())

    def process_stopped(self) -> None:
        name = self._some_process_but_the_spared()
        self._laboratory.stack.stop_process(name)
        child = self._laboratory.part(name).child
        assert child is not None
        assert child.exit_code == 0, f"{name} ended with {child.exit_code}"
        self._laboratory.stack.start_process(name)

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

    def broker_disk_alarm(self) -> None:
        with disk_alarm(self._laboratory.part("rabbitmq")):
            self._lasting()

    def postgres_restarted(self) -> None:
        self._laboratory.stack.stop_process("postgresql")
        self._lasting()
        self._laboratory.stack.start_process("postgresql")
        self._laboratory.part("postgresql").wait_until_ready()

    def postgres_frozen(self) -> None:
        with frozen(self._laboratory.pid("postgresql")):
            self._lasting()


class Sizes:
    """Memory and files of every process of ours over time, each life of a process by itself."""

    def __init__(self, laboratory: Laboratory) -> None:
        self._laboratory = laboratory
        self._born: dict[tuple[str, int], float] = {}
        self._samples: defaultdict[tuple[str, int], list[tuple[float, int]]] = defaultdict(list)

    def sample(self) -> None:
        """Read them now; to be called when all are ready. What is just ready has not opened all that it needs yet."""
        now = time.monotonic()
        for name in self._laboratory.ours:
            life = name, self._laboratory.pid(name)
            if now - self._born.setdefault(life, now) >= WARM_SECONDS:
                self._samples[life].append((megabytes(life[1]), open_files(life[1])))

    def compare(self, report: Report) -> None:
        """Hold the end of each life against its beginning; fails where a process has none that can be compared."""
        compared = {life: samples for life, samples in self._samples.items() if len(samples) > 1}
        assert {name for name, _ in compared} == self._laboratory.ours.keys()
        for (name, _), samples in compared.items():
            (memory, files), (late_memory, late_files) = samples[0], samples[-1]
            assert late_memory < GROWTH * memory, f"{name} {samples}"
            assert late_files < files + MORE_FILES, f"{name} {samples}"
        for name in sorted(self._laboratory.ours):
            _, longest = max((len(samples), samples) for life, samples in compared.items() if life[0] == name)
            (memory, files), (late_memory, late_files) = longest[0], longest[-1]
            report.note(f"{name} {memory:.0f} to {late_memory:.0f} MB, {files} to {late_files} files")


@pytest.mark.fault("F14")
@pytest.mark.timeout(2 * SOAK_SECONDS + 600)
def test_everything_at_random(laboratory: Laboratory, report: Report) -> None:
    seed = int(os.environ.get("SEED", "1"))
    report.note(f"SEED={seed}")
    random = Random(seed)  # noqa: S311 - not a secret
    faults, sizes = Faults(laboratory, random), Sizes(laboratory)
    met: list[str] = []
    rounds, slowest = 0, 0.0
    ends_at = time.monotonic() + SOAK_SECONDS
    while time.monotonic() < ends_at:
        # What a round has made is deleted after it, so that a long soak does not drown in products.
        rounds += 1
        round_ends_at = min(ends_at, time.monotonic() + ROUND_SECONDS)
        with laboratory.load(random.randrange(1_000_000), rate=8) as load:
            laboratory.until(lambda load=load: load.count("accepted") > 20, 30, "load")  # type: ignore[misc]
            poison = laboratory.poison()
            while time.monotonic() < round_ends_at:
                fault = faults.draw()
                met.append(fault.__name__)
                fault()
                laboratory.proxies.restore()
                laboratory.until(lambda: not laboratory.not_ready(), 60, f"ready after {fault.__name__}")
                sizes.sample()
            slowest = max(slowest, laboratory.recovery_seconds(within=60))
        report.recovered(slowest)
        report.loaded(load)
        report.balanced(laboratory.drain(load, seconds=120, poison=poison))
        laboratory.take_poison()
        assert load.server_errors == []
        sizes.sample()
        laboratory.clear(load)
    report.note(f"{len(met)} faults of {len(set(met))} kinds in {SOAK_SECONDS} s; round {rounds} of {rounds} is shown")
    sizes.compare(report)
