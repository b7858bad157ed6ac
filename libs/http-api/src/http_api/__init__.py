"""What every HTTP API here has in common: problems (RFC 9457), access, limits, measures, security headers."""

from http_api.access import AccessGate, CannotTellError, Credentials, Grant, Limits, NeededScope, still_granted
from http_api.middleware import API, EVENT_STREAM, HeadAsGet, InFlightLimit, Measured, is_for_api, request_histogram
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
from http_api.rate_limit import AddressLimit, RateLimit
from http_api.security_headers import EVENT_DOCUMENTATION, SecurityHeaders
from http_api.straight import straight_route

__all__ = [
    "API",
    "EVENT_DOCUMENTATION",
    "EVENT_STREAM",
    "MEDIA_TYPE",
    "AccessGate",
    "AddressLimit",
    "Answer",
    "CannotTellError",
    "Credentials",
    "Grant",
    "HeadAsGet",
    "InFlightLimit",
    "Limits",
    "Measured",
    "NeededScope",
    "RateLimit",
    "RequestRefusedError",
    "SecurityHeaders",
    "add_problem_handlers",
    "fixed",
    "is_for_api",
    "pointer",
    "problem",
    "problem_response",
    "request_histogram",
    "still_granted",
    "straight_route",
    "unavailable",
    "validation_errors",
]
