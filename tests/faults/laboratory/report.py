"""The table at the end: fault, load, what became of the requests, what was lost, how long it took, the verdict."""

from collections.abc import Iterable
from dataclasses import dataclass, field

from tests.faults.laboratory.books import Balance
from tests.faults.laboratory.load import Load

HEADINGS = ("fault", "load", "acc/ref/unk", "lost", "dup", "recovery", "verdict", "figures")
UNNAMED = frozenset({"fault", "verdict", "figures"})


@dataclass
class Report:
    """One line of the table, filled in by the test as it goes; empty cells are what a fault has no use for."""

    fault: str
    load: str = ""
    outcomes: str = ""
    lost: str = ""
    duplicated: str = ""
    recovery: str = ""
    verdict: str = "not finished"
    figures: list[str] = field(default_factory=list)

    def loaded(self, load: Load) -> None:
        """What the load was, and what became of it."""
        self.load = f"{len(load.requests)} in {load.seconds:.0f} s"
        self.outcomes = "/".join(str(load.count(outcome)) for outcome in ("accepted", "refused", "unknown"))

    def balanced(self, balance: Balance) -> None:
        """How the books stand; fails when they do not balance."""
        self.lost, self.duplicated = str(len(balance.lost)), str(len(balance.duplicated))
        if not balance.holds:
            self.note(str(balance).partition("\n")[0])
        assert balance.holds, f"the books do not balance:\n{balance}"

    def recovered(self, seconds: float) -> None:
        """How long after the end of the fault everything worked again."""
        self.recovery = f"{seconds:.1f} s"

    def note(self, figure: str) -> None:
        """A measurement that has no column."""
        self.figures.append(figure)

    def __str__(self) -> str:
        parts = zip(HEADINGS, self.cells, strict=True)
        return ", ".join(cell if heading in UNNAMED else f"{heading} {cell}" for heading, cell in parts if cell)

    @property
    def cells(self) -> tuple[str, ...]:
        """In the order of the headings."""
        figures = ", ".join(self.figures)
        return (
            self.fault,
            self.load,
            self.outcomes,
            self.lost,
            self.duplicated,
            self.recovery,
            self.verdict,
            figures,
        )


def table(reports: Iterable[Report]) -> list[str]:
    """The lines of the table."""
    rows = [HEADINGS, *(report.cells for report in reports)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(HEADINGS))]
    lines = [
        "| " + " | ".join(f"{cell:{width}}" for cell, width in zip(row, widths, strict=True)) + " |" for row in rows
    ]
    lines.insert(1, "|" + "|".join("-" * (width + 2) for width in widths) + "|")
    return lines
