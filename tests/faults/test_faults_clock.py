"""The time of day is set an hour forth and back under a running system: of our processes, of the database (F11)."""

import time
import urllib.request
from collections import defaultdict
from contextlib import ExitStack
from email.utils import parsedate_to_datetime
from itertools import pairwise
from pathlib import Path

import pytest
from tests.faults.laboratory.clock import SteppedClock, faketime_library
from tests.faults.laboratory.laboratory import LEASE_SECONDS, Laboratory
from tests.faults.laboratory.report import Report

from devstack.postgresql import PostgresServer
from devstack.service_process import ServiceProcess

pytestmark = pytest.mark.thorough

INTERVAL_SECONDS = 4
HOUR_SECONDS = 3601
"""No whole number of intervals, so that the slots of a clock that was stepped are other ones."""
STEPS = (HOUR_SECONDS, 0, -HOUR_SECONDS, 0)
WATCHED_SECONDS = 2.5 * INTERVAL_SECONDS
RECOVERY_SECONDS = 30
EARLY_SECONDS = 0.5
"""A bucket that is claimed late skips a slot that would follow within half an interval (ADR 4). Some more is the time
from the claim to the call on a busy machine."""
LEAST_GAP_SECONDS = INTERVAL_SECONDS / 2 - EARLY_SECONDS
LONGEST_GAP_SECONDS = 2 * INTERVAL_SECONDS + LEASE_SECONDS
TRUE_CLOCK = "offers-sync-work.2"
"""Keeps the machine's clock, so that two workers who share all work disagree about the time."""


@pytest.fixture
def laboratory(tmp_path: Path) -> Laboratory:
    """Not the one that other tests share."""
    raise NotImplementedError


@pytest.mark.fault("F11")
@pytest.mark.timeout(420)
@pytest.mark.parametrize("whose", ["our processes", "PostgreSQL"])
def test_the_clock_is_stepped_an_hour(tmp_path: Path, report: Report, whose: str) -> None:
    library = faketime_library()
    if library is None:
        pytest.skip("libfaketime is not installed (Debian and Ubuntu: apt-get install libfaketime)")
