"""Which faults run, with which seeds, on which stack; and the table at the end.

FAULTS=F1,F7 chooses faults, SEEDS=20 the number of seeds of those that take one, SEED=7 a single seed. A fault marked
`thorough` runs only where FAULTS is set, as `make faults` does: `FAULTS=all` runs every one, but for those of another
group, which `FAULTS=cluster` names (C1 and so on), as `make faults-cluster` does.
"""

import os
import shutil
from collections.abc import Generator, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from tests.faults.laboratory.laboratory import Laboratory
from tests.faults.laboratory.report import Report, table

QUICK_SEEDS = 3
THOROUGH_SEEDS = 20
LAST_LINES = 30
REPORTS = pytest.StashKey[list[Report]]()
PASSED = pytest.StashKey[bool]()
LINE = pytest.StashKey[Report]()


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "fault(name, group): what a test is about; the group is `all` or another")
    config.addinivalue_line("markers", "thorough: only where FAULTS asks for it; takes long")
    config.stash[REPORTS] = []


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "seed" in metafunc.fixturenames:
        metafunc.parametrize("seed", seeds())


def seeds() -> list[int]:
    if one := os.environ.get("SEED"):
        return [int(one)]
    default = THOROUGH_SEEDS if chosen() else QUICK_SEEDS
    return list(range(1, int(os.environ.get("SEEDS") or default) + 1))


def chosen() -> set[str]:
    return {name.strip() for name in os.environ.get("FAULTS", "").split(",") if name.strip()}


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    kept: list[pytest.Item] = []
    left_out: list[pytest.Item] = []
    for item in items:
        fault = item.get_closest_marker("fault")
        if fault is None:
            kept.append(item)
        elif chosen():
            (kept if {fault.args[0], fault.kwargs.get("group", "all")} & chosen() else left_out).append(item)
        else:
            (left_out if item.get_closest_marker("thorough") else kept).append(item)
    items[:] = kept
    config.hook.pytest_deselected(items=left_out)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    outcome = yield
    if outcome.when == "call":
        item.stash[PASSED] = outcome.passed
    if outcome.failed and outcome.when == "call":
        laboratory = getattr(item, "funcargs", {}).get("laboratory")
        for part in laboratory.ours.values() if isinstance(laboratory, Laboratory) else ():
            if part.child is not None:
                outcome.sections.append((f"log of {part.name}", "\n".join(part.child.last_lines(LAST_LINES))))
    return outcome


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """Show each line as its test ends, to whoever watches a run that takes long."""
    handled = yield
    terminal: pytest.TerminalReporter | None = item.config.pluginmanager.get_plugin("terminalreporter")
    if terminal is not None and LINE in item.stash:
        terminal.write_line(f" {item.stash[LINE]}")
    return handled


@pytest.fixture
def report(request: pytest.FixtureRequest) -> Iterator[Report]:
    """This test's line in the table."""
    marker = request.node.get_closest_marker("fault")
    line = Report(f"{marker.args[0]} {request.node.name.removeprefix('test_').replace('_', ' ')}")
    request.config.stash[REPORTS].append(line)
    request.node.stash[LINE] = line
    yield line
    line.verdict = "holds" if request.node.stash.get(PASSED, False) else "FAILED"


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    if reports := config.stash.get(REPORTS, []):
        terminalreporter.section("faults")
        for line in table(reports):
            terminalreporter.write_line(line)


class Keeper:
    """Keeps one laboratory for the tests of a run, and replaces it after a test that failed on it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._close = ExitStack()
        self._current: Laboratory | None = None
        self._made = 0

    def laboratory(self) -> Laboratory:
        if self._current is None:
            self._made += 1
            folder = self._folder / str(self._made)
            self._close.callback(shutil.rmtree, folder, ignore_errors=True)
            self._current = Laboratory(folder, self._close)
        return self._current

    def replace(self) -> None:
        self._current = None
        self._close.close()


@pytest.fixture(scope="session")
def keeper(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Keeper]:
    keeper = Keeper(tmp_path_factory.mktemp("faults"))
    yield keeper
    keeper.replace()


@pytest.fixture
def laboratory(keeper: Keeper, request: pytest.FixtureRequest) -> Iterator[Laboratory]:
    """A whole stack in good order."""
    yield keeper.laboratory()
    if not request.node.stash.get(PASSED, False):
        keeper.replace()
