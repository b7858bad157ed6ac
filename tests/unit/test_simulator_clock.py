"""The market's clock: it runs with the wall clock, stands, and is moved."""

import pytest

from offers_simulator.market import clock as clock_module
from offers_simulator.market.clock import MarketClock


class Wall:
    now = 1_000_000.0


@pytest.fixture
def wall(monkeypatch: pytest.MonkeyPatch) -> Wall:
    wall = Wall()
    monkeypatch.setattr(clock_module, "time", type("time", (), {"time": staticmethod(lambda: wall.now)}))
    return wall


def test_it_counts_ticks_since_1970(wall: Wall) -> None:
    clock = MarketClock(60)
    assert clock.tick() == 16_666
    wall.now += 60
    assert clock.tick() == 16_667
    assert clock.next_tick_at == 16_668 * 60


def test_frozen_it_stands_and_resumed_it_goes_on_from_there(wall: Wall) -> None:
    clock = MarketClock(0.5)
    start = clock.tick()
    clock.freeze()
    wall.now += 100
    assert clock.tick() == start
    assert clock.frozen
    assert clock.next_tick_at is None
    clock.resume()
    assert clock.tick() == start
    wall.now += 1
    assert clock.tick() == start + 2


@pytest.mark.parametrize("frozen", [True, False])
def test_it_is_moved_while_it_stands_and_while_it_runs(wall: Wall, *, frozen: bool) -> None:
    clock = MarketClock(1)
    if frozen:
        clock.freeze()
    clock.move_to(5)
    assert clock.tick() == 5
    wall.now += 1
    assert clock.tick() == (5 if frozen else 6)
    clock.reset()
    assert clock.tick() == 1_000_001
