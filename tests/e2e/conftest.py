"""Shows what the processes of a stack logged beside a test that failed on it."""

from collections.abc import Generator

import pytest

from devstack.stack import Stack

LAST_LINES = 30


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    stack = getattr(item, "funcargs", {}).get("stack")
    if report.failed and isinstance(stack, Stack):
        for part in stack.parts.values():
            if part.child is not None and part.health_url is not None:
                report.sections.append((f"log of {part.name}", "\n".join(part.child.last_lines(LAST_LINES))))
    return report
