from pathlib import Path

import pytest

from devstack import private_broker as choice
from devstack.private_broker import Broker, private_broker
from devstack.rabbitmq import RabbitNode
from devstack.rabbitmq_container import RabbitContainer, docker_engine_answers
from devstack.rabbitmq_installation import RabbitMissing


@pytest.fixture
def docker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A docker command that writes down how it was called; `engine-down` beside it makes it fail."""
    program = tmp_path / "bin/docker"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\necho "$@" >> {tmp_path}/calls\n[ ! -e {tmp_path}/engine-down ]\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:/usr/bin:/bin")
    return tmp_path


def missing(_: object) -> Path:
    raise RabbitMissing("install it")


def broker(folder: Path) -> Broker:
    return private_broker(folder, log=folder / "log", port=5673, password="secret", say=lambda _: None)


def test_without_rabbitmq_a_container_is_run_where_an_engine_answers(
    docker: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(choice, "require_server_script", missing)

    assert isinstance(broker(docker), RabbitContainer)


def test_without_rabbitmq_and_without_an_engine_the_message_is_what_to_install(
    docker: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(choice, "require_server_script", missing)
    (docker / "engine-down").touch()

    assert not docker_engine_answers()
    with pytest.raises(RabbitMissing, match="install it"):
        broker(docker)


def test_rabbitmq_of_the_machine_comes_before_a_container(docker: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(choice, "require_server_script", lambda _: docker / "rabbitmq-server")

    assert isinstance(broker(docker), RabbitNode)


def test_a_container_is_on_loopback_keeps_its_data_and_shows_no_password_in_its_command_line(docker: Path) -> None:
    container = RabbitContainer(docker, log=docker / "log", port=5673, password="secret")

    command = container.command()

    line = " ".join(command.argv)
    assert "127.0.0.1:5673:5672" in line
    assert "--hostname aggregator --volume aggregator-" in line
    assert "secret" not in line
    assert command.env["RABBITMQ_DEFAULT_PASS"] == "secret"


def test_what_a_killed_run_left_is_removed_before_the_container_of_the_same_folder_starts(docker: Path) -> None:
    first = RabbitContainer(docker, log=docker / "log", port=1, password="a").command().argv
    second = RabbitContainer(docker, log=docker / "log", port=2, password="b").command().argv

    name = first[first.index("--name") + 1]
    assert name == second[second.index("--name") + 1]
    assert (docker / "calls").read_text() == f"rm --force {name}\n" * 2
