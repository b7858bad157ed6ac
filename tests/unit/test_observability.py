"""The dashboard asks for metrics that exist, and Prometheus for processes by the names that Compose gives them."""

import importlib
import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client import REGISTRY

ROOT = Path(__file__).parents[2]
GRAFANA = ROOT / "deploy/observability/grafana"
# Whose import makes the metrics.
MODULES = (
    "catalog_api.entrypoints.http.application",
    "catalog_api.entrypoints.worker",
    "offers_sync.entrypoints.worker",
    "offers_sync.metrics",
    "price_history.entrypoints.http.app",
    "price_history.entrypoints.worker",
    "price_history.metrics",
)
# Prometheus's own, and the broker's (shown by tests/compose).
OTHERS = {"up", "rabbitmq_detailed_queue_messages"}
HISTOGRAM = ("_bucket", "_count", "_sum")
NAME = re.compile(r"\b(?:aggregator|process|rabbitmq)_[a-z_]+\b|\bup\b")

Json = dict[str, Any]


@pytest.fixture(scope="module")
def dashboard() -> Json:
    document: Json = json.loads((GRAFANA / "dashboards/aggregator.json").read_text())
    return document


@pytest.fixture(scope="module")
def labels_by_metric() -> dict[str, set[str]]:
    for module in MODULES:
        importlib.import_module(module)
    found: dict[str, set[str]] = {}
    for collector, names in REGISTRY._collector_to_names.items():
        for name in names:
            found[name] = set(getattr(collector, "_labelnames", ()))
    return found


def expressions(dashboard: Json) -> list[str]:
    return [target["expr"] for panel in dashboard["panels"] for target in panel["targets"]]


def test_every_metric_that_a_panel_asks_for_exists(dashboard: Json, labels_by_metric: dict[str, set[str]]) -> None:
    asked = {name for expression in expressions(dashboard) for name in NAME.findall(expression)}

    assert len(asked) > 20
    assert asked - OTHERS - set(labels_by_metric) == set()


def test_every_label_that_a_legend_shows_is_kept_by_its_expression(dashboard: Json) -> None:
    for panel in dashboard["panels"]:
        for target in panel["targets"]:
            shown = set(re.findall(r"{{(\w+)}}", target["legendFormat"]))
            grouping = re.search(r"\bby \(([^)]*)\)", target["expr"])
            if grouping is None:
                assert shown <= {"job", "instance"}, panel["title"]
            else:
                assert shown <= {name.strip() for name in grouping[1].split(",")}, panel["title"]


def test_every_label_that_an_expression_groups_by_is_one_of_its_metric(
    dashboard: Json, labels_by_metric: dict[str, set[str]]
) -> None:
    for expression in expressions(dashboard):
        known = {"job", "instance", "le", "queue"}
        for name in NAME.findall(expression):
            known |= labels_by_metric.get(name, set())
        grouping = re.search(r"\bby \(([^)]*)\)", expression)
        filters = re.findall(r"{(\w+)[=!]", expression)
        used = {*filters, *(name.strip() for name in grouping[1].split(","))} if grouping else set(filters)
        assert used <= known, expression


def test_panels_do_not_overlap_and_have_names_of_their_own(dashboard: Json) -> None:
    taken: set[tuple[int, int]] = set()
    for panel in dashboard["panels"]:
        at = panel["gridPos"]
        cells = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
        assert at["x"] + at["w"] <= 24
        assert not cells & taken, panel["title"]
        taken |= cells
    for attribute in ("id", "title"):
        assert len({panel[attribute] for panel in dashboard["panels"]}) == len(dashboard["panels"])


def test_the_dashboard_reads_from_the_provisioned_prometheus(dashboard: Json) -> None:
    provisioned = yaml.safe_load((GRAFANA / "provisioning/datasources/prometheus.yml").read_text())
    (source,) = provisioned["datasources"]

    assert {panel["datasource"]["uid"] for panel in dashboard["panels"]} == {source["uid"]}


def test_prometheus_scrapes_every_process_that_compose_runs() -> None:
    prometheus = yaml.safe_load((ROOT / "deploy/observability/prometheus.yml").read_text())
    files = (ROOT / "docker-compose.yml", ROOT / "deploy/compose/simulator.yml")
    services = [service for file in files for service in yaml.safe_load(file.read_text())["services"].items()]
    processes = {name for name, service in services if service.get("command") in (["serve"], ["work"])}

    scraped = {
        name: discovery["port"]
        for job in prometheus["scrape_configs"]
        for discovery in job["dns_sd_configs"]
        for name in discovery["names"]
    }

    assert len(processes) == 6
    assert scraped == {**dict.fromkeys(processes, 8000), "rabbitmq": 15692}
