import os
import shutil
from pathlib import Path

import pytest

from devstack import rabbitmq_installation as installation
from devstack.rabbitmq_installation import RabbitMissing, find_server_script, require_server_script


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine without RabbitMQ and without any other program that could install it, as far as PATH tells."""
    monkeypatch.setattr(installation, "USUAL_PLACES", (f"{tmp_path}/lib/rabbitmq_server-*/sbin",))
    monkeypatch.setattr(installation, "POLICY", tmp_path / "policy-rc.d")
    (tmp_path / "bin").mkdir()
    for tool in ("sh", "env", "rm", "chmod", "mkdir", "touch"):
        (tmp_path / "bin" / tool).symlink_to(shutil.which(tool) or tool)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    return tmp_path


def program(machine: Path, name: str, script: str) -> None:
    file = machine / "bin" / name
    file.write_text(f"#!/bin/sh\n{script}\n")
    file.chmod(0o755)


def server(machine: Path, version: str, *, real: bool = True) -> Path:
    folder = machine / "lib" / f"rabbitmq_server-{version}" / "sbin"
    folder.mkdir(parents=True)
    (folder / "rabbitmq-server").touch()
    if real:
        (folder / "rabbitmq-env").touch()
    return folder / "rabbitmq-server"


def test_the_newest_release_is_taken(machine: Path) -> None:
    server(machine, "3.9.30")
    newest = server(machine, "3.10.8")

    assert find_server_script() == newest


def test_a_wrapper_on_path_is_not_taken_for_the_server(machine: Path) -> None:
    program(machine, "rabbitmq-server", "exit 1")

    assert find_server_script() is None


@pytest.mark.skipif(os.geteuid() != 0, reason="installing is root's")
def test_it_is_installed_without_starting_the_machines_own_broker(machine: Path) -> None:
    folder = machine / "lib/rabbitmq_server-4.1.0/sbin"
    policy = machine / "policy-rc.d"
    program(
        machine,
        "apt-get",
        f"[ $1 = install ] || exit 0; {policy}; [ $? = 101 ] || exit 1\n"
        f"mkdir -p {folder}; touch {folder}/rabbitmq-server {folder}/rabbitmq-env",
    )
    said: list[str] = []

    assert require_server_script(said.append) == folder / "rabbitmq-server"
    assert not policy.exists()
    assert "installing" in said[0]


@pytest.mark.skipif(os.geteuid() != 0, reason="installing is root's")
def test_an_installation_that_fails_is_told_with_its_last_lines(machine: Path) -> None:
    program(machine, "apt-get", "echo 'E: no network'; exit 100")

    with pytest.raises(RabbitMissing, match="no network"):
        require_server_script(lambda _: None)
    assert not (machine / "policy-rc.d").exists()


def test_where_nothing_can_install_it_one_message_says_what_to_do(machine: Path) -> None:
    assert machine.exists()

    with pytest.raises(RabbitMissing, match="apt-get install rabbitmq-server"):
        require_server_script(lambda _: None)
