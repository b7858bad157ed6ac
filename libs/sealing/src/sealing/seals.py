"""Sealing and opening."""

from collections.abc import Sequence
from dataclasses import dataclass

from cryptography.fernet import Fernet, InvalidToken, MultiFernet


class UnreadableError(Exception):
    """It is encrypted, and no key at hand opens it."""


@dataclass(frozen=True, slots=True, repr=False)
class Sealed:
    """A secret as it is stored: by Fernet, or as it is where there was no key."""

    value: str
    encrypted: bool


class Seals:
    """Seals with the first of its keys, opens with each of them. Without keys secrets are stored as they are.

    Args:
        keys: Fernet keys (32 bytes in URL-safe base64).
    """

    def __init__(self, keys: Sequence[str] = ()) -> None:
        self._newest = Fernet(keys[0]) if keys else None
        self._all = MultiFernet([Fernet(key) for key in keys]) if keys else None

    @property
    def encrypting(self) -> bool:
        """Whether there are keys."""
        return self._newest is not None

    def seal(self, plain: str) -> Sealed:
        """The secret as it is to be stored."""
        if self._newest is None:
            return Sealed(plain, encrypted=False)
        return Sealed(self._newest.encrypt(plain.encode()).decode(), encrypted=True)

    def open(self, sealed: Sealed) -> str:
        """The secret.

        Raises:
            UnreadableError: see there.
        """
        if not sealed.encrypted:
            return sealed.value
        if self._all is None:
            raise UnreadableError
        try:
            return self._all.decrypt(sealed.value.encode()).decode()
        except InvalidToken:
            raise UnreadableError from None

    def renewed(self, sealed: Sealed) -> Sealed | None:
        """The same under the newest key; None where it is that already, or where no key at hand opens it."""
        if self._newest is None or (sealed.encrypted and _opens(self._newest, sealed)):
            return None
        try:
            return self.seal(self.open(sealed))
        except UnreadableError:
            return None


def _opens(key: Fernet, sealed: Sealed) -> bool:
    try:
        key.extract_timestamp(sealed.value.encode())  # once it has checked the signature
    except InvalidToken:
        return False
    return True
