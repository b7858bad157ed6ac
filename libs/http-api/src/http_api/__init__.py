"""What every HTTP API here has in common: problems (RFC 9457), measures, and a limit on the requests in flight."""

from http_api.middleware import API, Closed, InFlightLimit, Measured, request_histogram
from http_api.problems import (
    MEDIA_TYPE,
    Answer,
    RequestRefusedError,
    add_problem_handlers,
    fixed,
    pointer,
    problem,
    problem_response,
    unavailable,
    validation_errors,
)

__all__ = [
    "API",
    "MEDIA_TYPE",
    "Answer",
    "Closed",
    "InFlightLimit",
    "Measured",
    "RequestRefusedError",
    "add_problem_handlers",
    "fixed",
    "pointer",
    "problem",
    "problem_response",
    "request_histogram",
    "unavailable",
    "validation_errors",
]
