import json
from pathlib import Path

import pytest

from devstack import log_follower
from devstack.log_follower import LogFollower


def line(level: str, event: str, **values: object) -> str:
    return json.dumps({"level": level, "event": event, "timestamp": "2026-01-01T00:00:00Z", **values}) + "\n"


def test_errors_are_told_in_short_and_nothing_else_is(tmp_path: Path) -> None:
    said: list[str] = []
    log = tmp_path / "log"
    follower = LogFollower("offers-sync-work", log, said.append)
    follower.look()
    log.write_text(line("info", "poll_done") + "Traceback\n" + line("error", "loop_failed", loop="poller"))

    follower.look()
    follower.look()

    assert said == ["offers-sync-work: loop_failed loop=poller"]


def test_a_line_that_is_still_being_written_is_told_when_it_is_whole(tmp_path: Path) -> None:
    said: list[str] = []
    log = tmp_path / "log"
    whole = line("critical", "out_of_memory")
    follower = LogFollower("x", log, said.append)

    log.write_text(whole[:20])
    follower.look()
    assert said == []

    log.write_text(whole)
    follower.look()
    assert said == ["x: out_of_memory"]


def test_a_process_that_fails_in_a_loop_does_not_drown_the_terminal(tmp_path: Path) -> None:
    said: list[str] = []
    log = tmp_path / "log"
    log.write_text(line("error", "failed") * 100)

    LogFollower("x", log, said.append).look()

    assert len(said) == 4
    assert "97 more" in said[-1]


def test_a_log_that_has_grown_too_large_begins_anew_while_it_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log_follower, "MOST_BYTES", 1_000)
    log = tmp_path / "log"
    with log.open("a") as writer:
        writer.write("x" * 2_000)
        writer.flush()
        follower = LogFollower("x", log, lambda _: None)
        follower.look()
        writer.write("y")

    assert log.read_text() == "y"
    assert log.with_name("log.1").read_text() == "x" * 2_000
