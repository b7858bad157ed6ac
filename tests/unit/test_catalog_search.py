"""The words by which products are found."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from catalog_api.domain.search import WORD_MAX, words


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", []),
        (" - !? ", []),
        ("Benzinová sekačka, SEKAČKA!", ["benzinova", "sekacka"]),
        ("iphone-15 Pro_Max", ["15", "iphone", "pro_max"]),
        ("straße STRASSE", ["strasse"]),
        ("İstanbul", ["istanbul"]),
        ("\u210cello \ufb01n \u2460", ["1", "fin", "hello"]),
        ("日本語 テスト", ["テスト", "日本語"]),
        ("e\u0301 é", ["e"]),
    ],
)
def test_words_are_canonical(text: str, expected: list[str]) -> None:
    assert words(text) == expected


@given(st.text(max_size=400))
def test_words_of_words_are_the_same_words(text: str) -> None:
    assert words(" ".join(words(text))) == words(text)


@given(st.text())
def test_words_are_safe_in_a_tsquery(text: str) -> None:
    for word in words(text):
        assert word
        assert not set(word) & set("'\\ :*&|!()<>\x00")
        assert len(word.encode()) < 2046


def test_long_words_count_to_their_limit() -> None:
    assert words("x" * 10_000) == ["x" * WORD_MAX]
