"""What a benchmark found: figures of several rounds next to their baselines, judged against their targets."""

from statistics import median
from typing import Literal

import msgspec

Verdict = Literal["met", "missed", "no target"]


class Target(msgspec.Struct, frozen=True):
    """A bound on a figure's median, or on its ratio to the baseline."""

    of: Literal["figure", "ratio"]
    bound: Literal["at most", "at least", "under"]
    value: float

    def is_met_by(self, value: float) -> bool:
        """Whether a value is within the bound."""
        match self.bound:
            case "at most":
                return value <= self.value
            case "under":
                return value < self.value
            case "at least":
                return value >= self.value


class Figure(msgspec.Struct, frozen=True):
    """One thing measured once or more; a round's value in `rounds` and in `baseline` were measured side by side."""

    name: str
    unit: str
    rounds: list[float]
    baseline: list[float] = []
    baseline_name: str = ""
    target: Target | None = None
    #: What an average hides, such as the CPU of each process; in the figure's unit.
    parts: dict[str, float] = {}

    @property
    def median(self) -> float:
        """Of the rounds."""
        return median(self.rounds)

    @property
    def baseline_median(self) -> float | None:
        """Of the baseline's rounds."""
        return median(self.baseline) if self.baseline else None

    @property
    def ratios(self) -> list[float]:
        """Ours to the baseline, round by round: what slows down a whole round falls out of them."""
        return [ours / bare for ours, bare in zip(self.rounds, self.baseline, strict=True)] if self.baseline else []

    @property
    def ratio(self) -> float | None:
        """The median of the ratios."""
        return median(self.ratios) if self.baseline else None

    @property
    def judged(self) -> list[float]:
        """The values whose median is held against the target."""
        is_ratio = self.target.of == "ratio" if self.target else bool(self.baseline)
        return self.ratios if is_ratio else self.rounds

    @property
    def spread(self) -> tuple[float, float]:
        """The least and the greatest of what is judged."""
        return min(self.judged), max(self.judged)

    @property
    def verdict(self) -> Verdict:
        """Whether the target is met."""
        if self.target is None:
            return "no target"
        return "met" if self.target.is_met_by(median(self.judged)) else "missed"


class Outcome(msgspec.Struct, frozen=True):
    """All that a benchmark found. `notes` say what a reader has to know, such as a size that was cut."""

    benchmark: str
    title: str
    figures: list[Figure]
    notes: list[str] = []


class Circumstances(msgspec.Struct, frozen=True):
    """Where and when it was found."""

    at: str
    commit: str
    processor: str
    cores: int
    python: str
    #: Processes that wanted a core, on average over the minute before it began: above 0.5, others were at work.
    load_before: float
    sizes: dict[str, int]


class Record(msgspec.Struct, frozen=True):
    """One file of `bench/results`."""

    outcome: Outcome
    circumstances: Circumstances
