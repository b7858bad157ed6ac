"""Secrets that have to be stored so that they can be read again: encrypted, under keys that can be changed."""

from sealing.keys import SealingKeys, keys_of
from sealing.seals import Sealed, Seals, UnreadableError

__all__ = ["Sealed", "SealingKeys", "Seals", "UnreadableError", "keys_of"]
