"""The arithmetic of the benchmarks: medians, ratios, verdicts, sizes, and what is shown of them."""

import subprocess
import sys
from xml.etree import ElementTree as ET

import msgspec
import pytest

from bench.__main__ import BENCHMARKS, chosen
from bench.outcome import Circumstances, Figure, Outcome, Record, Target
from bench.plot import plot
from bench.report import number, table
from bench.sizes import Sizes
from devstack.linux_processes import cpu_seconds


def figure(target: Target | None = None, baseline: list[float] | None = None) -> Figure:
    return Figure("polled", "µs", [10.0, 30.0, 12.0], baseline or [], "bare loop", target)


def record(*figures: Figure) -> Record:
    circumstances = Circumstances("2026-11-23T00:00:00Z", "abc", "a processor", 2, "3.11", 0.1, {"rounds": 3})
    return Record(Outcome("poll", "Polling", list(figures), ["a note"]), circumstances)


def test_a_figure_is_the_median_of_its_rounds() -> None:
    assert figure().median == 12.0
    assert figure().ratio is None
    assert figure().baseline_median is None


def test_a_ratio_is_the_median_of_ratios_of_rounds_and_not_the_ratio_of_medians() -> None:
    # The machine was slow in the second round, for both.
    measured = figure(baseline=[5.0, 15.0, 4.0])
    assert measured.ratios == [2.0, 2.0, 3.0]
    assert measured.ratio == 2.0
    assert measured.spread == (2.0, 3.0)


@pytest.mark.parametrize(
    ("target", "verdict"),
    [
        (Target("ratio", "at most", 2.0), "met"),
        (Target("ratio", "under", 2.0), "missed"),
        (Target("ratio", "at least", 2.0), "met"),
        (Target("ratio", "at least", 2.1), "missed"),
        (Target("figure", "at most", 12.0), "met"),
        (Target("figure", "at most", 11.9), "missed"),
        (None, "no target"),
    ],
)
def test_a_verdict_holds_the_median_against_the_target(target: Target | None, verdict: str) -> None:
    assert figure(target, [5.0, 15.0, 6.0]).verdict == verdict


def test_the_spread_is_that_of_what_is_judged() -> None:
    assert figure(Target("figure", "at most", 1), [5.0, 15.0, 6.0]).spread == (10.0, 30.0)


def test_a_ratio_is_not_made_of_rounds_without_a_partner() -> None:
    with pytest.raises(ValueError, match="zip"):
        _ = figure(baseline=[5.0]).ratio


def test_a_missed_target_is_shown_as_missed() -> None:
    shown = table([record(figure(Target("figure", "at most", 1)), figure())])
    assert "MISSED" in shown
    assert "at most 1 " in shown
    assert "10.0 … 30.0" in shown


def test_a_result_is_read_as_it_was_written() -> None:
    written = record(figure(Target("ratio", "at most", 2.0), [5.0, 15.0, 4.0]))
    assert msgspec.json.decode(msgspec.json.encode(written), type=Record) == written


def test_a_plot_shows_each_round_of_each_figure() -> None:
    outcome = record(figure(Target("figure", "at most", 1)), figure()).outcome
    circles = [element for element in ET.fromstring(plot(outcome)).iter() if element.tag.endswith("circle")]  # noqa: S314 - ours
    assert len(circles) == 6


@pytest.mark.parametrize(
    ("value", "shown"),
    [(0, "0"), (0.01234, "0.0123"), (1.5, "1.50"), (12.34, "12.3"), (123.4, "123"), (12345.6, "12,346")],
)
def test_numbers_have_three_digits_that_count(value: float, shown: str) -> None:
    assert number(value) == shown


def test_sizes_come_from_the_environment() -> None:
    assert Sizes.from_environment({"ROUNDS": "3"}).rounds == 3
    assert Sizes.from_environment({"FULL": "1"}).memory_products == 100_000
    assert Sizes.from_environment({"FULL": "1", "MEMORY_PRODUCTS": "7"}).memory_products == 7
    for bad in ("0", "-1", "many"):
        with pytest.raises(ValueError, match="ROUNDS"):
            Sizes.from_environment({"ROUNDS": bad})


def test_only_chooses_benchmarks_and_refuses_unknown_ones() -> None:
    assert chosen("") == list(BENCHMARKS)
    assert chosen("ingest, poll") == ["poll", "ingest"]
    with pytest.raises(ValueError, match="nonsense"):
        chosen("poll,nonsense")


def test_cpu_time_of_a_process_includes_children_that_have_ended() -> None:
    burn = "sum(range(3 * 10**7))"
    code = f"import subprocess, sys; subprocess.run([sys.executable, '-c', '{burn}']); print(flush=True); input()"
    with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        assert cpu_seconds(process.pid) >= 0.1
        process.communicate(b"\n")
