"""What counts as a value, and how it stands in a sentence. Pure."""

import re
import unicodedata
from typing import Final

_SPACE: Final = re.compile(r"\s+")
# Controls, and marks that turn the direction of what follows them; joiners and tags stay: emoji and
# some scripts are written with them.
_UNSEEN: Final = re.compile(
    r"[\x00-\x08\x0e-\x1b\x7f-\x84\x86-\x9f\xad\u034f\u061c\u180e\u200b\u200e\u200f"
    r"\u202a-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\ud800-\udfff]"
)
# Letters and signs by Unicode, of which nothing is seen: people without a name write it with these.
_EMPTY: Final = re.compile(r"[\u115f\u1160\u2800\u3164\uffa0\ufffc]")
_BLANK: Final = frozenset(
    {"null", "(null)", "<null>", "none", "(none)", "nil", "undefined", "n/a", "#n/a"}
)
# What a merge that failed leaves behind in a longer text.
_LEFT: Final = re.compile(
    r"\{\{|\}\}|\{\w+\}|\$\{|%[a-z_]+%|<%|\*\|"
    r"|\b(?:None|null|undefined|NaN)\b|\[object Object\]|\ufffd"
)


def tidy(text: str) -> str:
    """On one line, without what nobody sees, each character in its usual form."""
    if not text.isprintable():
        text = _UNSEEN.sub("", text)
    if not text.isascii():
        text = _EMPTY.sub(" ", unicodedata.normalize("NFC", text))
    if text.isprintable() and "  " not in text and text[:1] != " " and text[-1:] != " ":
        return text  # a space is the only white space that can be printed
    return _SPACE.sub(" ", text).strip()


def is_value(text: str) -> bool:
    """Whether a tidy text says something: it is no hole (`-`, `...`), no placeholder (`{{1}}`,
    `N/A`), and holds nothing that a failed merge or decoding leaves behind (`Sayın None`)."""
    if not any(map(str.isalnum, text)):
        # Emoji say something; dashes, dots and brackets do not.
        return any(unicodedata.category(letter) == "So" for letter in text)
    return text.casefold() not in _BLANK and _LEFT.search(text) is None
