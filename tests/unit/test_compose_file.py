"""What can be held against the Compose files without a Docker engine; tests/compose runs them."""

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

import catalog_api.settings
import offers_sync.settings
import price_history.settings
from lifecycle import ProcessSettings

ROOT = Path(__file__).parents[2]
FILES = ("docker-compose.yml", "deploy/compose/simulator.yml")
WITHOUT_SIMULATOR = "deploy/compose/no-simulator.yml"
SERVICES: dict[str, Any] = {
    name: service for file in FILES for name, service in yaml.safe_load((ROOT / file).read_text())["services"].items()
}
ENDING = {"secrets", "databases", "sample-products", *(name for name in SERVICES if name.endswith("-migrate"))}
PROCESSES: dict[str, type[ProcessSettings]] = {
    "catalog-api": catalog_api.settings.ServeSettings,
    "catalog-api-worker": catalog_api.settings.WorkSettings,
    "offers-sync-worker": offers_sync.settings.WorkSettings,
    "price-history-api": price_history.settings.ServeSettings,
    "price-history-worker": price_history.settings.WorkSettings,
}
DECIDED_BY_THE_IMAGE = {"HOST", "PORT", "HEALTH_HOST", "HEALTH_PORT"}
SECRETS = {"DATABASE_URL", "RABBITMQ_URL", "PRICE_HISTORY_TOKEN"}


@pytest.mark.parametrize("name", PROCESSES)
def test_every_setting_of_a_process_can_be_set(name: str) -> None:
    settings = {field.upper() for field in PROCESSES[name].model_fields}

    assert settings - DECIDED_BY_THE_IMAGE - SECRETS - set(SERVICES[name]["environment"]) == set()


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_may_do_little(name: str) -> None:
    service = SERVICES[name]

    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert "cap_add" not in service
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert all(port.startswith("127.0.0.1:${") for port in service.get("ports", ()))
    assert "container_name" not in service


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_is_bounded(name: str) -> None:
    assert set(SERVICES[name]["deploy"]["resources"]["limits"]) == {"cpus", "memory", "pids"}


@pytest.mark.parametrize("name", sorted(SERVICES.keys() - ENDING))
def test_a_service_that_stays_comes_back(name: str) -> None:
    assert SERVICES[name]["restart"] == "unless-stopped"


@pytest.mark.parametrize("name", sorted(ENDING))
def test_a_service_that_ends_is_not_started_again(name: str) -> None:
    assert SERVICES[name]["restart"] == "no"


def test_an_image_of_ours_is_built_and_never_pulled_unless_that_is_asked_for() -> None:
    """`never` is what builds a missing image without asking a registry for it; `build` would build at each start."""
    parsed = [yaml.safe_load((ROOT / file).read_text())["services"] for file in (*FILES, WITHOUT_SIMULATOR)]
    ours = [service for services in parsed for service in services.values() if "IMAGE_PREFIX" in service["image"]]

    assert len(ours) == 10
    assert {service.get("pull_policy") for service in ours} == {"${PULL_POLICY:-never}"}
    built = {service["image"] for service in ours if "build" in service}
    assert built == {service["image"] for service in ours}


def test_an_image_is_labelled_with_the_version_asked_for_or_that_of_its_packages() -> None:
    built = [service["build"] for service in SERVICES.values() if "build" in service]
    default = re.search(r"^ARG VERSION=(\S+)$", (ROOT / "Dockerfile").read_text(), re.MULTILINE)
    packages = {
        tomllib.loads(file.read_text())["project"]["version"]
        for file in (*ROOT.glob("services/*/pyproject.toml"), ROOT / "tools/offers-simulator/pyproject.toml")
    }

    assert len(built) == 4
    assert all(build["args"]["VERSION"] is None for build in built)  # the environment's where there is one
    assert default is not None
    assert packages == {default[1]}


def test_a_migration_is_told_nothing_of_the_offers_ms() -> None:
    assert not [name for name in SERVICES["offers-sync-migrate"]["environment"] if name.startswith("OFFERS_")]


def test_grafana_takes_its_password_at_each_start() -> None:
    """It reads the administrator's only when it makes its database."""
    grafana = SERVICES["grafana"]

    assert any(mount.startswith("/var/lib/grafana:") for mount in grafana["tmpfs"])
    assert not [volume for volume in grafana["volumes"] if "/var/lib/grafana" in volume]


def test_every_password_and_token_comes_from_the_environment_without_a_default() -> None:
    for file in FILES:
        for variable, default in re.findall(r"\$\{(\w+)(:?-[^}]*)\}", (ROOT / file).read_text()):
            if re.search("PASSWORD|TOKEN", variable):
                assert default == ":-", variable


def test_every_variable_is_told_of() -> None:
    asked = {name for file in FILES for name in re.findall(r"\$\{(\w+)", (ROOT / file).read_text())} | {"VERSION"}
    pages = "".join((ROOT / page).read_text() for page in ("docs/deploy.md", "docs/operations.md"))
    of_accounts = {name for name in asked if name.endswith(("_DB_PASSWORD", "_RABBITMQ_PASSWORD"))}  # .env has them all

    assert len(of_accounts) == 11
    assert {name for name in asked - of_accounts if f"`{name}`" not in pages} == set()


def test_everything_that_is_mounted_exists() -> None:
    mounted = [volume.split(":")[0] for service in SERVICES.values() for volume in service.get("volumes", ())]
    files = [path for path in mounted if path.startswith("./")]

    assert len(files) > 4
    assert [path for path in files if not (ROOT / path).exists()] == []


def test_every_service_has_its_folder_of_secrets_and_no_others() -> None:
    volumes = {name: service.get("volumes", []) for name, service in SERVICES.items() if name != "secrets"}
    secrets = {name: [v for v in mounted if "-secrets:" in v] for name, mounted in volumes.items()}

    assert all(len(mounted) <= 1 for mounted in secrets.values())
    assert all(volume.endswith(":/run/secrets:ro") for mounted in secrets.values() for volume in mounted)
