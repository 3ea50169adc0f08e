"""How a text sounds: a small lexicon of Turkish and English, and emojis. Pure.

A known word counts for or against; a negation turns it round, an amplifier doubles it. Turkish
words are known by how they begin, since their endings carry the grammar. It knows nothing of irony,
and is right on average only, which is all a trend needs.
"""

import re
from collections.abc import Iterable
from functools import lru_cache
from math import sqrt
from typing import Final

_LONGEST_TEXT: Final = 2_000
_SMOOTHING: Final = 1.5
"""How much weight it takes to be sure: one plain word scores some 0.6."""
_REACH: Final = 3
"""How many words an English negation reaches."""


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_GOOD: Final = _words(
    "good great nice love loved loves lovely liked excellent amazing awesome perfect fantastic"
    " wonderful beautiful best happy glad satisfied fast quick helpful thanks thank thx pleased"
    " recommend super cool fine delighted brilliant iyi iyiydi"
)
_BAD: Final = _words(
    "bad terrible awful horrible worst hate hated poor slow broken late disappointed disappointing"
    " disappointment angry annoyed annoying useless rude refund complaint complain scam fraud fake"
    " damaged defective wrong problem problems unacceptable ridiculous worse unhappy waste missing"
    " geç çöp"
)
_GOOD_STEMS: Final = _words(
    "güzel harika mükemmel süper teşekkür sağol eyvallah memnun beğendi bayıldı sevdi muhteşem"
    " efsane kaliteli hızlı başarılı tavsiye sorunsuz şahane mutlu aferin bravo minnettar kusursuz"
    " olağanüstü"
)
_BAD_STEMS: Final = _words(
    "kötü berbat rezalet rezil iğrenç şikayet mağdur memnuniyetsiz kırık bozuk gecik eksik yanlış"
    " hatalı sorun problem pişman dolandır sahte kalitesiz saçma yavaş ilgisiz kızgın üzgün sinir"
    " bıktım yeter iade maalesef beğenme sevme gelmedi gelmiyor ulaşmadı çalışmıyor açılmıyor utanç"
)
_GOOD_SIGNS: Final = "😀😃😄😁😊🙂😍🥰😘❤♥💕💖💙💚💛🧡💜👍👏🙏🎉🥳😎🤩💯✨🌹"
_BAD_SIGNS: Final = "😠😡🤬😢😭😞😔🙁☹😩😤👎💔🤮😒😣😖😫🤦"
_NEGATIONS: Final = _words(
    "not no never don't dont doesn't doesnt didn't didnt isn't isnt wasn't wasnt won't wont can't"
    " cant couldn't couldnt without hardly nor"
)
_AFTER: Final = ("değil", "degil", "kalmad", "olmad", "etmed", "etmem", "etmiyor", "yok")
"""How Turkish negations begin: they stand behind what they turn round."""
_AMPLIFIERS: Final = _words(
    "very really so too extremely absolutely totally çok cok gerçekten gercekten aşırı asiri"
    " inanılmaz inanilmaz hiç hic tam"
)
_WORDS: Final = re.compile(r"[^\W\d_]+(?:['’][^\W\d_]+)?|[^\w\s]")
_PLAIN: Final = str.maketrans("çğışöüâîû", "cgisouaiu")


def _weights(good: Iterable[str], bad: Iterable[str]) -> dict[str, int]:
    """Weights, also of words as people write them who have no Turkish keyboard."""
    weighed = dict.fromkeys(good, 1) | dict.fromkeys(bad, -1)
    return {word.translate(_PLAIN): weight for word, weight in weighed.items()} | weighed


_WHOLE: Final = _weights(_GOOD, _BAD)
_STEMS: Final = _weights(_GOOD_STEMS, _BAD_STEMS)
_SIGNS: Final = dict.fromkeys(_GOOD_SIGNS, 1) | dict.fromkeys(_BAD_SIGNS, -1)
_LONGEST_STEM: Final = max(map(len, _STEMS))
_SHORTEST_STEM: Final = min(map(len, _STEMS))


def score(text: str) -> float | None:
    """From -1 (bad) to 1 (good), to the thousandth; None of a text without any known word."""
    weights: list[float] = []
    reach, amplifier = 0, 1.0
    for match in _WORDS.finditer(text[:_LONGEST_TEXT]):
        word = _lower(match[0])
        if word.startswith(_AFTER):
            if weights:
                weights[-1] = -weights[-1]
        elif word in _NEGATIONS:
            reach = _REACH
        elif word in _AMPLIFIERS:
            amplifier = 2.0
        else:
            if weight := _SIGNS.get(word) or _weight(word):
                weights.append(weight * amplifier * (-1 if reach > 0 else 1))
            amplifier = 1.0
            reach -= 1
    total = sum(weights)
    return round(total / sqrt(total * total + _SMOOTHING), 3) if weights else None


def _lower(word: str) -> str:
    """In small letters; İ becomes i, where Python would add a dot of its own."""
    return word.replace("’", "'").replace("İ", "i").lower()


@lru_cache(16_384)
def _weight(word: str) -> int:
    """Of a word, or else of the longest stem it begins with."""
    for form in (word, word.translate(_PLAIN)):
        if weight := _WHOLE.get(form):
            return weight
        for length in range(min(len(form), _LONGEST_STEM), _SHORTEST_STEM - 1, -1):
            if weight := _STEMS.get(form[:length]):
                return weight
    return 0
