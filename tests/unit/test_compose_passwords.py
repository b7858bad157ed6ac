"""What `make up` makes of `.env`, with a docker command that only writes down what it is asked."""

import os
import re
import shutil
import stat
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DOCKER = """#!/bin/sh
echo "$@" >>"$ASKED"
case "$*" in *"$FAILS_AT"*) exit 1 ;; esac
"""
NOTHING = "no command has this in it"


class Clone:
    """A folder with up.sh in its place."""

    def __init__(self, folder: Path) -> None:
        self.env = folder / ".env"
        self._folder = folder
        self._asked = folder / "asked"
        (folder / "deploy/compose").mkdir(parents=True)
        shutil.copy(ROOT / "deploy/compose/up.sh", folder / "deploy/compose")
        (folder / "bin").mkdir()
        (folder / "bin/docker").write_text(DOCKER)
        (folder / "bin/docker").chmod(0o755)

    def up(self, *, fails_at: str = NOTHING) -> list[str]:
        """Run it; returns what docker was asked."""
        self._asked.unlink(missing_ok=True)
        path = f"{self._folder / 'bin'}:{os.environ['PATH']}"
        done = subprocess.run(
            ["sh", str(self._folder / "deploy/compose/up.sh")],  # noqa: S607 - on PATH
            env={**os.environ, "PATH": path, "ASKED": str(self._asked), "FAILS_AT": fails_at},
            capture_output=True,
            text=True,
            check=False,
        )
        assert (done.returncode == 0) == (fails_at == NOTHING), done.stderr
        return self._asked.read_text().splitlines()

    def values(self) -> dict[str, str]:
        """The last of each name holds, as in Compose."""
        lines = self.env.read_text().splitlines()
        return dict(line.split("=", 1) for line in lines if "=" in line and not line.startswith("#"))


@pytest.fixture
def clone(tmp_path: Path) -> Clone:
    return Clone(tmp_path)


def wanted() -> set[str]:
    """What docker-compose.yml tells the service that makes passwords."""
    compose = (ROOT / "docker-compose.yml").read_text()
    return set(re.findall(r"\$\{(\w+(?:_PASSWORD|HISTORY_TOKEN)):-\}", compose))


def test_without_a_file_there_is_one_with_every_password_that_only_its_owner_reads(clone: Clone) -> None:
    clone.up()

    assert len(wanted()) == 13
    assert clone.values().keys() == wanted()
    assert len(set(clone.values().values())) == 13
    assert all(re.fullmatch("[0-9a-f]{48}", value) for value in clone.values().values())
    assert stat.S_IMODE(clone.env.stat().st_mode) == 0o600


def test_what_was_given_stays_and_only_what_is_missing_is_added(clone: Clone) -> None:
    given = "# mine\nexport GRAFANA_PASSWORD=hunter2\nCATALOG_DB_PASSWORD=\nVERSION=without-a-newline"
    clone.env.write_text(given)
    clone.env.chmod(0o644)
    clone.up()

    assert clone.env.read_text().startswith(f"{given}\n# ")
    added = clone.env.read_text().removeprefix(given)
    assert {line.split("=")[0] for line in added.splitlines() if "=" in line} == wanted() - {
        "GRAFANA_PASSWORD", "CATALOG_DB_PASSWORD",
    }  # fmt: skip
    assert stat.S_IMODE(clone.env.stat().st_mode) == 0o600


def test_a_name_that_a_later_version_needs_is_added_to_those_of_an_earlier_one(clone: Clone) -> None:
    clone.up()
    before = clone.values()
    clone.env.write_text(
        "".join(f"{name}={value}\n" for name, value in before.items() if name != "PRICE_HISTORY_TOKEN")
    )
    clone.up()

    after = clone.values()
    assert after.keys() == before.keys()
    assert {name for name in before if after[name] != before[name]} == {"PRICE_HISTORY_TOKEN"}


def test_a_stack_that_knows_other_passwords_is_taken_down_with_all_its_profiles_and_only_then(clone: Clone) -> None:
    down = "compose --profile * down"
    assert down in clone.up()
    written = clone.env.read_text()
    assert down not in clone.up()
    assert clone.env.read_text() == written


def test_passwords_are_written_at_once_or_not_at_all(clone: Clone) -> None:
    clone.env.write_text("VERSION=1\n")
    clone.up(fails_at="down")
    assert clone.env.read_text() == "VERSION=1\n"
    clone.up()
    assert wanted() < clone.values().keys()
