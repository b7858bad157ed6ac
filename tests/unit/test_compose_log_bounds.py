"""Compose's script of secrets takes the bounds of the log that the services' own code takes, and refuses the others."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from aggregator_contracts.log import LogBounds

ROOT = Path(__file__).parents[2]
SERVICES = ("catalog-api", "offers-sync", "price-history")
VOLUMES = (
    *SERVICES, "catalog-api-worker", "price-history-worker", *(f"{service}-migrate" for service in SERVICES),
    "postgres", "rabbitmq", "grafana",
)  # fmt: skip


def run(folder: Path, environment: dict[str, str]) -> "subprocess.CompletedProcess[str]":
    """The script, with its two absolute paths below `folder`."""
    for volume in VOLUMES:
        (folder / volume).mkdir()
    script = (ROOT / "deploy/compose/secrets.py").read_text()
    for inside, here in (("/secrets", folder), ("/definitions.json", ROOT / "deploy/rabbitmq/definitions.json")):
        assert script.count(f'Path("{inside}")') == 1
        script = script.replace(f'Path("{inside}")', f"Path({str(here)!r})")
    return subprocess.run(
        [sys.executable, "-I", "-"],
        input=script,
        env={"PATH": os.environ["PATH"], **environment},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize(
    "environment",
    [
        {},
        {"EVENT_LOG_MAX_AGE": "", "EVENT_LOG_MAX_BYTES": ""},
        {"EVENT_LOG_MAX_AGE": "12h", "EVENT_LOG_MAX_BYTES": "33554432"},
    ],
)
def test_the_broker_is_told_what_the_log_keeps(environment: dict[str, str], tmp_path: Path) -> None:
    done = run(tmp_path, environment)
    assert (done.returncode, done.stderr) == (0, "")
    policies = json.loads((tmp_path / "rabbitmq/definitions.json").read_text())["policies"]
    [policy] = [policy for policy in policies if policy["name"] == "log"]
    assert policy["definition"] == LogBounds.from_environment(environment).policy


@pytest.mark.parametrize(
    "environment",
    [
        {"EVENT_LOG_MAX_AGE": "7d"},
        {"EVENT_LOG_MAX_AGE": "0D"},
        {"EVENT_LOG_MAX_AGE": "a week"},
        {"EVENT_LOG_MAX_BYTES": "2GB"},
        {"EVENT_LOG_MAX_BYTES": "33554431"},
        {"EVENT_LOG_MAX_BYTES": "-1"},
    ],
)
def test_what_the_broker_could_not_use_is_an_error_of_one_line_and_nothing_is_written(
    environment: dict[str, str], tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match="EVENT_LOG") as refused:
        LogBounds.from_environment(environment)
    done = run(tmp_path, environment)
    assert (done.returncode, done.stderr) == (1, f"{refused.value}\n")
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []
