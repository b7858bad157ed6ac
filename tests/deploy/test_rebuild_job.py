"""The Job that docs/deploy-kubernetes.md makes of a worker's Deployment."""

import json
import re
import shutil
import subprocess
from typing import Any

import pytest
from tests.deploy.conftest import ROOT, Manifest, Render, kubernetes_says

PAGE = (ROOT / "docs/deploy-kubernetes.md").read_text()


def job_of(deployment: Manifest) -> Manifest:
    """What the page pipes into `kubectl create`."""
    jq = shutil.which("jq")
    if jq is None:
        pytest.skip("no jq here")
    found = re.search(r"\| jq --argjson command '(?P<command>[^']*)' '(?P<program>[^']*)'", PAGE)
    assert found is not None
    made = subprocess.run(
        [jq, "--argjson", "command", found["command"], found["program"]],
        input=json.dumps(deployment),
        capture_output=True,
        text=True,
        check=True,
    )
    job: Manifest = json.loads(made.stdout)
    return job


def test_a_rebuild_runs_as_its_worker_does_and_may_call_what_that_may(render: Render) -> None:
    manifests = render()
    name = "shop-product-aggregator-price-history-work"
    assert f"work={name}\n" in PAGE
    [deployment] = [m for m in manifests if m["kind"] == "Deployment" and m["metadata"]["name"] == name]
    [policy] = [m for m in manifests if m["kind"] == "NetworkPolicy" and m["metadata"]["name"] == name]
    job = job_of(deployment)
    named: dict[str, Any] = {**job, "metadata": {"name": "rebuild-x"}}  # what the server makes of generateName
    [said] = kubernetes_says([named], "1.30")
    assert said.startswith("INFO")
    assert " passed " in said

    pod, worker = job["spec"]["template"], deployment["spec"]["template"]
    assert policy["spec"]["podSelector"]["matchLabels"].items() <= pod["metadata"]["labels"].items()
    [container], [works] = pod["spec"]["containers"], worker["spec"]["containers"]
    assert container["command"] == ["price-history", "rebuild", "--from-log"]
    assert [container[key] for key in ("image", "env", "securityContext")] == [
        works[key] for key in ("image", "env", "securityContext")
    ]
    assert not [key for key in container if key.endswith("Probe")]
    assert pod["spec"]["restartPolicy"] == "Never"
    assert pod["spec"]["securityContext"] == worker["spec"]["securityContext"]
