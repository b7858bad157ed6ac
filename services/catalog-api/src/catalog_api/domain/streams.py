"""What a client that follows the events is told besides them, and why its stream may end."""

from dataclasses import dataclass
from enum import StrEnum


class StreamEnd(StrEnum):
    """Why a stream ended; whoever still wants it comes again with the last id that it saw."""

    LEFT = "left"
    """The client went, or was disconnected as it read nothing."""
    BEHIND = "behind"
    """It read, but more slowly than events came, until the latest ones in memory had passed it."""
    BROKER = "broker"
    DRAINING = "draining"
    ACCESS = "access"
    """Its token is not good any more."""


class StreamEndedError(Exception):
    """There is no more to come."""

    def __init__(self, reason: StreamEnd) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Gap:
    """Events that the client should have seen are not in the log any more.

    Attributes:
        missed_from: offset of the first one; None where the log was made anew and nobody can tell.
        missed_to: offset of the last one, or None likewise.
        position: offset at which the stream goes on.
    """

    missed_from: int | None
    missed_to: int | None
    position: int
