"""The one place that says which of price-history's errors is which HTTP status."""

from collections.abc import Mapping
from typing import Final

from http_api import Answer, fixed, problem_response, unavailable
from price_history.db.engine import DatabaseUnavailableError
from price_history.domain.errors import InvalidParameterError, UnknownOfferError, UnknownProductError

ANSWERS: Final[Mapping[type[Exception], Answer]] = {
    InvalidParameterError: lambda _, error: problem_response(
        422, "The request is not valid.", [{"pointer": f"/query/{error.parameter}", "detail": error.detail}]
    ),
    UnknownProductError: fixed(404, "There is no such product."),
    UnknownOfferError: fixed(404, "There is no such offer."),
    DatabaseUnavailableError: unavailable("the database"),
}
