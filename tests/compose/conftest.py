"""The Compose stack for real, as `make test-compose` asks for: on whatever Docker engine answers, with whatever images
it has or can pull (POSTGRES_IMAGE, RABBITMQ_IMAGE and PYTHON_IMAGE name others). Without being asked, and without an
engine, these tests are skipped."""

import os
import shutil
import subprocess
from collections.abc import Generator, Iterator
from pathlib import Path

import pytest
from tests.compose.composition import ROOT, Composition

from devstack.ports import free_port

ASKED = "TEST_COMPOSE"
ANSWER_SECONDS = 10
LAST_LINES = "60"


def why_not() -> str | None:
    """Why there is nothing to run on; None when there is."""
    if not os.environ.get(ASKED):
        return "make test-compose runs these"
    if shutil.which("docker") is None:
        return "there is no docker command"
    for command, missing in (
        (["docker", "version"], "no Docker engine answers"),
        (["docker", "compose", "version"], "there is no Docker Compose v2"),
    ):
        try:
            asked = subprocess.run(command, capture_output=True, timeout=ANSWER_SECONDS, check=False)
        except subprocess.TimeoutExpired:
            return missing
        if asked.returncode != 0:
            return missing
    return None


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = [item for item in items if Path(__file__).parent in item.path.parents]
    if here and (reason := why_not()) is not None:
        for item in here:
            item.add_marker(pytest.mark.skip(reason=reason))


@pytest.fixture(scope="module")
def composition(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Iterator[Composition]:
    """A project of its own from a fresh copy of the repository, with ports of its own; nothing of it runs yet."""
    folder = tmp_path_factory.mktemp("clone") / "aggregator"
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"],  # noqa: S607 - on PATH
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    for name in filter(None, listed.split("\0")):
        if (ROOT / name).exists():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name)
    ports = {
        name: str(free_port())
        for name in (
            "CATALOG_PORT",
            "PRICE_HISTORY_PORT",
            "SIMULATOR_PORT",
            "RABBITMQ_PORT",
            "RABBITMQ_MANAGEMENT_PORT",
        )
    }
    composition = Composition(
        folder, f"aggregator-test-{os.getpid()}-{request.module.__name__.rpartition('_')[2]}", ports
    )
    try:
        yield composition
    finally:
        composition.compose("--profile", "*", "down", "--volumes", "--remove-orphans", "--timeout", "20")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    composition = getattr(item, "funcargs", {}).get("composition")
    if report.failed and isinstance(composition, Composition):
        report.sections.append(("containers", composition.compose("ps", "--all")))
        report.sections.append(("logs", composition.compose("logs", "--tail", LAST_LINES, "--no-color")))
    return report
