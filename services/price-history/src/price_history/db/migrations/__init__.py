"""The tables' versions, run by `price-history migrate`."""
