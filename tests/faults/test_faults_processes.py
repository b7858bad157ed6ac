"""Processes of ours that are killed, again and again and at any moment, and processes that are asked to stop."""

import time
from random import Random

import pytest
from laboratory.laboratory import Laboratory
from laboratory.report import Report

pytestmark = pytest.mark.xdist_group("faults")

KILLS = 5
CONSUMERS = ("catalog-api-work", "offers-sync-work", "price-history-work")


@pytest.mark.fault("F7")
@pytest.mark.timeout(180)
def test_killed_at_random_moments_under_load(laboratory: Laboratory, report: Report, seed: int) -> None:
    random = Random(seed)  # noqa: S311 - not a secret
    report.note(f"SEED={seed}")
    with laboratory.load(seed) as load:
        for _ in range(KILLS):
            time.sleep(random.uniform(0.5, 2.5))
            victim = random.choice(sorted(laboratory.ours))
            laboratory.stack.kill_process(victim)
            time.sleep(random.uniform(0.0, 0.5))
            laboratory.stack.start_process(victim)
        report.recovered(laboratory.recovery_seconds(within=30))
    report.loaded(load)
    report.balanced(laboratory.drain(load))
    assert load.server_errors == []
    laboratory.clear(load)
