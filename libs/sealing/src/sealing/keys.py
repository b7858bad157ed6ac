"""Keys as settings give them."""

from typing import Annotated

from cryptography.fernet import Fernet
from pydantic import AfterValidator, SecretStr


def keys_of(setting: SecretStr | None) -> tuple[str, ...]:
    """The keys in a setting, the newest first."""
    return () if setting is None else tuple(part.strip() for part in setting.get_secret_value().split(","))


def _checked(setting: SecretStr) -> SecretStr:
    for key in keys_of(setting):
        try:
            Fernet(key)
        except ValueError:
            raise ValueError("must be keys of 32 bytes in URL-safe base64, separated by commas") from None
    return setting


SealingKeys = Annotated[SecretStr, AfterValidator(_checked)]
"""Fernet keys (32 bytes in URL-safe base64), separated by commas: the first one seals, each of them opens."""
