"""Helm and Kubernetes' schemas, from `deploy/helm/tools.sh`; `make test` has them."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
CHART = ROOT / "deploy/helm/product-aggregator"
TOOLS = ROOT / ".venv/chart-tools"
GIVEN = ("image.registry=registry.example/aggregator", "offersBaseUrl=https://offers.example/api/v1")

Manifest = dict[str, Any]
Render = Callable[..., list[Manifest]]


class RefusedError(Exception):
    """Helm would not render; holds what it said."""


@pytest.fixture(scope="session")
def helm() -> str:
    """The Helm that runs here."""
    for candidate in (TOOLS / "helm", shutil.which("helm")):
        if candidate is not None and _runs(str(candidate)):
            return str(candidate)
    pytest.skip("no Helm that runs here: the one of deploy/helm/tools.sh is for Linux on x86-64; put another on PATH")


@pytest.fixture(scope="session")
def render(helm: str, tmp_path_factory: pytest.TempPathFactory) -> Render:
    """`render(values, "path=value", …, release=)` returns the manifests; raises RefusedError."""

    def render(values: Manifest | None = None, *settings: str, release: str = "shop") -> list[Manifest]:
        file = tmp_path_factory.mktemp("values") / "values.yaml"
        file.write_text(yaml.safe_dump(values or {}))
        chosen = [word for setting in (*GIVEN, *settings) for word in ("--set", setting)]
        command = [helm, "template", release, str(CHART), "--namespace", "here", "--values", str(file), *chosen]
        rendered = subprocess.run(command, capture_output=True, text=True, check=False)
        if rendered.returncode != 0:
            raise RefusedError(rendered.stderr)
        return [manifest for manifest in yaml.safe_load_all(rendered.stdout) if manifest]

    return render


def kubernetes_says(manifests: list[Manifest], version: str) -> list[str]:
    """What the strict schemas of that version of Kubernetes say, one line for each manifest."""
    checked = subprocess.run(
        [sys.executable, "-m", "kubernetes_validate", "--strict", "-k", version, "-"],
        input=yaml.safe_dump_all(manifests),
        env={**os.environ, "PYTHONPATH": str(TOOLS / "packages")},
        capture_output=True,
        text=True,
        check=False,
    )
    return (checked.stdout + checked.stderr).splitlines()


def _runs(helm: str) -> bool:
    try:
        return subprocess.run([helm, "version"], capture_output=True, check=False).returncode == 0
    except OSError:
        return False
