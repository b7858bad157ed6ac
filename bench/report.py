"""What was found, for people: a table on the terminal, and a Markdown page with a plot of each benchmark."""

from collections.abc import Sequence
from itertools import groupby
from typing import Final

from bench.outcome import Circumstances, Figure, Record
from bench.plot import plot
from bench.results import FOLDER

HEADINGS: Final = ("figure", "ours", "baseline", "ratio", "target", "spread", "verdict")


def table(records: Sequence[Record]) -> str:
    """For the terminal, without the baselines' names; a missed target is shown as MISSED."""
    rows = [
        (f"{record.outcome.benchmark}: {name}", ours, baseline.partition(" ")[0], *others)
        for record in records
        for name, ours, baseline, *others in map(_cells, record.outcome.figures)
    ]
    widths = [max(len(row[column]) for row in [HEADINGS, *rows]) for column in range(len(HEADINGS))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in [HEADINGS, *rows]]
    return "\n".join([lines[0], "  ".join("-" * width for width in widths), *lines[1:]]) + "\n"


def write_page(records: Sequence[Record]) -> None:
    """Write `bench/results/README.md` and the plots beside it."""
    FOLDER.mkdir(exist_ok=True)
    lines = [
        "# Results",
        "",
        "Written by `make bench`; what the figures mean and how they are measured stands in [bench](../README.md).",
        "A figure is the median of its rounds; the spread is that of the ratio where there is a baseline, else of the",
        "figure. Ratios and CPU time hold on a noisy machine; wall-clock figures do only next to their baseline.",
        "",
        *_summary(records),
    ]
    for record in records:
        outcome = record.outcome
        (FOLDER / f"{outcome.benchmark}.svg").write_text(plot(outcome))
        lines += ["", f"## {outcome.title}", "", *_markdown([_cells(figure) for figure in outcome.figures])]
        for figure in outcome.figures:
            if figure.parts:
                parts = sorted(figure.parts.items(), key=lambda part: -part[1])
                lines += ["", f"{figure.name}, {figure.unit}, by part:", ""]
                lines += [f"- {name}: {number(value)}" for name, value in parts]
        lines += ["", *[f"{note}." for note in outcome.notes]]
        lines += ["", f"![{outcome.title}]({outcome.benchmark}.svg)"]
    lines += ["", "## Runs", ""]
    for circumstances, of_run in groupby(records, key=lambda record: record.circumstances):
        names = ", ".join(record.outcome.benchmark for record in of_run)
        lines.append(f"- {names}: {_about(circumstances)}")
    (FOLDER / "README.md").write_text("\n".join(lines) + "\n")


def number(value: float) -> str:
    """Three significant digits, in full."""
    if value == 0:
        return "0"
    digits = max(0, 2 - _magnitude(value))
    return f"{value:,.{digits}f}"


def _magnitude(value: float) -> int:
    return int(f"{abs(value):e}".partition("e")[2])


def _summary(records: Sequence[Record]) -> list[str]:
    verdicts = [figure.verdict for record in records for figure in record.outcome.figures]
    missed = [
        f"{record.outcome.title}, {figure.name} ({figure.unit})"
        for record in records
        for figure in record.outcome.figures
        if figure.verdict == "missed"
    ]
    total = len(verdicts) - verdicts.count("no target")
    line = f"**{verdicts.count('met')} of {total} targets are met.**"
    return [line, "", "Missed: " + "; ".join(missed) + "."] if missed else [line]


def _cells(figure: Figure) -> tuple[str, ...]:
    baseline, ratio, target = figure.baseline_median, figure.ratio, figure.target
    low, high = figure.spread
    return (
        f"{figure.name} ({figure.unit})",
        number(figure.median),
        "-" if baseline is None else f"{number(baseline)} ({figure.baseline_name})",
        "-" if ratio is None else f"{number(ratio)}x",
        "-" if target is None else f"{target.bound} {target.value:g}{'x' if target.of == 'ratio' else ''}",
        f"{number(low)} … {number(high)}" if len(figure.judged) > 1 else "one round",
        figure.verdict.upper() if figure.verdict == "missed" else figure.verdict,
    )


def _markdown(rows: Sequence[tuple[str, ...]]) -> list[str]:
    return [
        "| " + " | ".join(HEADINGS) + " |",
        "|" + "---|" * len(HEADINGS),
        *("| " + " | ".join(row).replace("MISSED", "**missed**") + " |" for row in rows),
    ]


def _about(of: Circumstances) -> str:
    return (
        f"{of.at}, commit {of.commit}, {of.cores} cores of {of.processor}, Python {of.python}, "
        f"load before it {of.load_before:g}, {of.sizes['rounds']} rounds"
    )
