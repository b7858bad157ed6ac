"""A service that is given another's database by mistake leaves it alone."""

import itertools
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

SERVICES = ("catalog-api", "offers-sync", "price-history")


def migrate(service: str, dsn: str) -> subprocess.CompletedProcess[str]:
    command = [str(Path(sys.executable).parent / service), "migrate"]
    environment = {"DATABASE_URL": dsn, "API_AUTH": "off"}
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.parametrize(("owner", "other"), list(itertools.permutations(SERVICES, 2)))
def test_no_service_migrates_the_database_of_another(make_database: Callable[..., str], owner: str, other: str) -> None:
    dsn = make_database()
    assert migrate(owner, dsn).returncode == 0

    refused = migrate(other, dsn)

    told = refused.stdout + refused.stderr
    assert refused.returncode == 1
    assert f"is that of {owner.replace('-', '_')}, not of {other.replace('-', '_')}" in told
    assert "Traceback" not in told
    assert migrate(owner, dsn).returncode == 0, "it was left as it was"
