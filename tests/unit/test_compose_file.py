"""What can be held against the Compose files without a Docker engine; tests/compose runs them."""

import re
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


@pytest.mark.parametrize("name", sorted(SERVICES.keys() - ENDING))
def test_a_service_that_stays_comes_back_and_is_bounded(name: str) -> None:
    assert SERVICES[name]["restart"] == "unless-stopped"
    assert set(SERVICES[name]["deploy"]["resources"]["limits"]) == {"cpus", "memory", "pids"}


@pytest.mark.parametrize("name", sorted(ENDING))
def test_a_service_that_ends_is_not_started_again(name: str) -> None:
    assert SERVICES[name]["restart"] == "no"


def test_every_password_and_token_comes_from_the_environment_without_a_default() -> None:
    for file in FILES:
        for variable, default in re.findall(r"\$\{(\w+)(:?-[^}]*)\}", (ROOT / file).read_text()):
            if re.search("PASSWORD|TOKEN", variable):
                assert default == ":-", variable


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
