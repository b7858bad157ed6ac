"""What can be wrong with a question about prices."""


class InvalidParameterError(ValueError):
    """A parameter's value makes no sense; `parameter` is its name in the query."""

    def __init__(self, parameter: str, detail: str) -> None:
        super().__init__(f"{parameter}: {detail}")
        self.parameter = parameter
        self.detail = detail


class UnknownProductError(LookupError):
    """No product of this id is known (yet)."""


class DeletedProductError(UnknownProductError):
    """The product was known and is gone for good."""


class UnknownOfferError(LookupError):
    """The product never had an offer of this id, or it ended longer ago than changes are kept."""
