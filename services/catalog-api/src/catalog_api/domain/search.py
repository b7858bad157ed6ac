"""The words by which products are found.

Made here and not by PostgreSQL's parser, whose folding of case depends on the locale that the database was created with
(under `C`, "Šroub" and "šroub" differ) and which reads "iphone-15" as "iphone" and the number -15.
"""

import re
import unicodedata
from typing import Final

WORD_MAX: Final = 200
"""Characters of a word that count; PostgreSQL refuses lexemes of 2 KiB."""

_word = re.compile(r"\w+")
_accent = re.compile("[\u0300-\u036f]")


def words(text: str) -> list[str]:
    """The different words of a text in canonical form: runs of letters, digits and underscores, sorted.

    Case, compatibility forms and accents do not count: "SEKAČKA" and "sekacka" are the same word.
    """
    # Twice, as decomposing can bring out capitals (of letterlike symbols) and folding can bring out marks ("İ").
    decomposed = unicodedata.normalize("NFKD", unicodedata.normalize("NFKD", text).casefold())
    return sorted({word[:WORD_MAX] for word in _word.findall(_accent.sub("", decomposed))})
