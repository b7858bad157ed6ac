"""Rounding: exact quotients of whole numbers, half-even."""


def hundredths(numerator: int, denominator: int) -> int:
    """The quotient in hundredths; the denominator is above zero."""
    quotient, rest = divmod(100 * numerator, denominator)
    return quotient + (2 * rest > denominator or (2 * rest == denominator and quotient % 2 == 1))
