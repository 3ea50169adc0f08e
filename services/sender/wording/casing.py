"""Capital and small letters by the rules of a language, and texts cut short. Pure."""

import re
import unicodedata
from functools import lru_cache
from typing import Final

_DOTTED: Final = frozenset({"tr", "az"})
"""Languages in which i and ı are two letters, in capitals as well: İ and I."""
_LOWER: Final = str.maketrans({"I": "ı", "İ": "i"})
_UPPER: Final = str.maketrans({"i": "İ", "ı": "I"})
_PART: Final = re.compile(r"[^\s\-–/]+")
_APOSTROPHES: Final = "'’"
_JOINED: Final = frozenset({"Mn", "Mc", "Me", "Sk"})
_OF_FLAGS: Final = "".join(map(chr, range(0x1F1E6, 0x1F200)))
_TRAILING: Final = " ,;:.-–—(/&"


def lower(text: str, language: str) -> str:
    """Small letters."""
    if language[:2] in _DOTTED:
        return text.translate(_LOWER).lower()
    return text.replace("İ", "i").lower()  # Python's own answer is two characters


def upper(text: str, language: str) -> str:
    """Capital letters."""
    return text.translate(_UPPER).upper() if language[:2] in _DOTTED else text.upper()


@lru_cache(16_384)
def title(text: str, language: str) -> str:
    """Each word with a capital letter, also behind hyphens and in O'Neill; what has capitals inside
    a word already (McDonald, iPhone) is spelled so on purpose."""
    return _PART.sub(lambda found: _capital(found[0], language), text)


def _capital(word: str, language: str) -> str:
    for sign in _APOSTROPHES:
        head, found, tail = word.partition(sign)
        # One letter before it is a particle (O'Neill, D'Artagnan); else an ending follows.
        if found:
            ending = _capital(tail, language) if len(head) == 1 else lower(tail, language)
            return _capital(head, language) + sign + ending
    shouted = len(word) > 1 and word[1:].isupper()
    rest = lower(word[1:], language) if shouted else word[1:]
    if any(map(str.isupper, rest)):
        return word
    return upper(word[:1], language) + rest


def cut(text: str, most: int) -> str:
    """At most `most` characters: longer ones end at a word, in `…`. 0 is no limit."""
    if not most or len(text) <= most:
        return text
    kept = text[: most - 1]
    if not text[most - 1].isspace() and " " in kept:
        kept = kept[: kept.rindex(" ")]
    else:
        kept = _whole(kept, text[most - 1 :])
    return kept.rstrip(_TRAILING) + "…"


def _whole(kept: str, rest: str) -> str:
    """Without a last character whose marks or joined parts were cut off."""
    while kept and rest and (_joins(rest[0]) or kept[-1] == "\u200d" or _halves_a_flag(kept, rest)):
        kept, rest = kept[:-1], kept[-1] + rest
    return kept


def _joins(letter: str) -> bool:
    return letter in "\u200d\ufe0f" or unicodedata.category(letter) in _JOINED


def _halves_a_flag(kept: str, rest: str) -> bool:
    """Flags are pairs of letters of their own."""
    letters = len(kept) - len(kept.rstrip(_OF_FLAGS))
    return letters % 2 == 1 and rest[0] in _OF_FLAGS
