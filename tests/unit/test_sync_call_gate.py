"""When the Offers microservice may be called."""

import pytest

from offers_sync.domain.answers import (
    Answer,
    BadAnswer,
    NotRegistered,
    Registered,
    Throttled,
    TokenRejected,
    Unavailable,
)
from offers_sync.domain.call_gate import CallGate

TOKEN = "token"
DOWN = Unavailable("timeout")


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def gate(clock: Clock) -> CallGate:
    gate = CallGate(clock)
    gate.use_token(TOKEN)
    gate.record(Registered(), TOKEN)
    return gate


def state(gate: CallGate) -> str:
    return gate.state


def record(gate: CallGate, answer: Answer, times: int) -> None:
    for _ in range(times):
        gate.record(answer, TOKEN)


def test_a_few_failures_change_nothing(gate: CallGate) -> None:
    for _ in range(3):
        record(gate, DOWN, 4)
        record(gate, NotRegistered(), 1)
    assert state(gate) == "open"


def test_failures_in_a_row_leave_one_probe_in_five_seconds(gate: CallGate, clock: Clock) -> None:
    record(gate, DOWN, 5)
    assert state(gate) == "unavailable"
    admitted = 0
    for _ in range(240):
        clock.now += 0.25
        if gate.admit():
            admitted += 1
            record(gate, DOWN, 1)
    assert admitted == 12


@pytest.mark.parametrize("answer", [Registered(), NotRegistered(), BadAnswer("status_403")])
def test_any_answer_of_a_living_server_reopens(gate: CallGate, answer: Answer) -> None:
    record(gate, DOWN, 9)
    record(gate, answer, 1)
    assert state(gate) == "open"
    assert all(gate.admit() for _ in range(100))


def test_one_rejection_among_accepted_calls_stops_nothing(gate: CallGate) -> None:
    for _ in range(5):
        record(gate, TokenRejected(), 2)
        record(gate, NotRegistered(), 1)
    assert state(gate) == "open"


def test_rejections_in_a_row_stop_calls_until_another_token_is_used(gate: CallGate, clock: Clock) -> None:
    record(gate, TokenRejected(), 3)
    assert state(gate) == "token_rejected"
    assert gate.rejected_token == TOKEN
    assert not gate.admit()
    clock.now += 5
    assert gate.admit()
    assert not gate.admit()
    gate.use_token(TOKEN)
    assert state(gate) == "token_rejected"
    gate.use_token("another")
    assert state(gate) == "open"
    record(gate, TokenRejected(), 3)
    assert state(gate) == "open", "late answers to the old token say nothing about the new one"


def test_where_calls_are_rare_one_rejection_is_enough(gate: CallGate, clock: Clock) -> None:
    clock.now += 11
    record(gate, TokenRejected(), 1)
    assert state(gate) == "token_rejected"
    record(gate, Registered(), 1)
    assert state(gate) == "open", "the same token works again"


@pytest.mark.parametrize(("seconds", "pause"), [(30.0, 30), (None, 5), (9999.0, 120), (0.0, 0)])
def test_being_throttled_again_and_again_pauses_all_calls(
    gate: CallGate, clock: Clock, seconds: float | None, pause: float
) -> None:
    record(gate, Throttled(seconds), 2)
    assert gate.admit()
    record(gate, Throttled(seconds), 1)
    assert gate.admit() is (pause == 0)
    clock.now += pause - 0.1 if pause else 0
    assert gate.admit() is (pause == 0)
    clock.now += 0.2
    assert gate.admit()
