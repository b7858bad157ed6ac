"""Secrets at rest, under keys that change."""

import pytest
from cryptography.fernet import Fernet

from sealing import Sealed, Seals, UnreadableError

OLD, NEW, OTHER = (Fernet.generate_key().decode() for _ in range(3))


def test_what_is_sealed_shows_nothing_and_opens_with_any_of_the_keys() -> None:
    sealed = Seals([OLD]).seal("a secret")
    assert sealed.encrypted
    assert "a secret" not in sealed.value
    assert "a secret" not in repr(Sealed("a secret", encrypted=False))
    assert Seals([NEW, OLD]).open(sealed) == "a secret"
    for keys in ([], [NEW]):
        with pytest.raises(UnreadableError):
            Seals(keys).open(sealed)


def test_without_keys_it_is_kept_as_it_is() -> None:
    sealed = Seals().seal("a secret")
    assert (sealed.value, sealed.encrypted, Seals().encrypting) == ("a secret", False, False)
    assert Seals([NEW]).open(sealed) == "a secret"
    assert Seals().renewed(sealed) is None


@pytest.mark.parametrize("keys", [[], [OLD]])
def test_it_is_sealed_again_under_a_newer_key_and_then_left_alone(keys: list[str]) -> None:
    seals = Seals([NEW, OLD])
    renewed = seals.renewed(Seals(keys).seal("a secret"))
    assert renewed is not None
    assert Seals([NEW]).open(renewed) == "a secret"
    assert seals.renewed(renewed) is None


def test_what_nobody_can_open_is_left_alone() -> None:
    assert Seals([NEW, OLD]).renewed(Seals([OTHER]).seal("a secret")) is None
    assert Seals([NEW, OLD]).renewed(Sealed("no such thing", encrypted=True)) is None
