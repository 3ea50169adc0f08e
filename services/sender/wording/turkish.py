"""Turkish endings: Ahmet'in, Tarık'a, Ece'ye, Uludağ'dan, 5'te, PTT'ye, kitabı. Pure.

The rules are those of every grammar (Turkish Language Association, "Yazım Kuralları"; Göksel and
Kerslake, "Turkish: A Comprehensive Grammar", 2005, chapters 2 and 3): vowel harmony, hardening
after voiceless consonants, `y`, `n` or `s` between vowels, and, for words that are no names, the
consonants that soften and the vowels that fall out. Of what nobody can tell how it is spoken there
is no form at all: better none than a wrong one.
"""

import re
import unicodedata
from functools import lru_cache
from typing import Final

from services.sender.formats import Suffix
from services.sender.wording.casing import lower, upper
from services.sender.wording.spoken import SPOKEN

_VOWELS: Final = "aıoueiöü"
_LETTERS: Final = frozenset("abcçdefgğhıijklmnoöprsştuüvyz")
_HARD: Final = "fstkçşhp"
_NARROW: Final = dict(zip("aıoueiöü", "ııuuiiüü", strict=True))
# Spoken with a light l or t, so that the next vowel is a front one: Kemal'in, saati.
_LIGHT: Final = frozenset(
    {
        *("kemal", "cemal", "celal", "bilal", "hilal", "nihal", "iclal", "ikbal", "zuhal", "meral"),
        *("zülal", "şevval", "visal"),
        *("melahat", "nebahat", "sebahat", "sabahat", "resul", "seul", "nepal", "senegal", "tefal"),
        *("saat", "dikkat", "hakikat", "şefkat", "sıhhat", "itaat", "cemaat", "kanaat", "seyahat"),
        *(
            "menfaat",
            "tabiat",
            "ziraat",
            "harf",
            "kalp",
            "harp",
            "hal",
            "ihtimal",
            "helal",
            "ihmal",
        ),
        *(
            "misal",
            "emsal",
            "iptal",
            "istiklal",
            "ithal",
            "işgal",
            "vebal",
            "sual",
            "hayal",
            "ohal",
        ),
        *(
            "gol",
            "rol",
            "alkol",
            "petrol",
            "kontrol",
            "protokol",
            "sembol",
            "ampul",
            "kabul",
            "usul",
        ),
        *("mahsul", "meşgul", "makul", "festival", "final", "ideal", "metal", "moral", "normal"),
        *("general", "oramiral", "santral", "sinyal", "terminal", "karnaval"),
    }
)
_FRONT: Final = str.maketrans("aıou", "eiöü")
# Of a compound whose last part belongs to the first: Beyoğlu'nda, Kuşadası'na, Bağdat Caddesi'nde.
_OWNED: Final = re.compile(
    r"(?:oğlu|burnu|önü|boğazı|boğaziçi|hisarı|adası|sokağı|meydanı|bulvarı|merkezi|pazarı|parkı)$"
)
_OWNED_WORDS: Final = re.compile(
    r"\s(?:\S*(?:[aı]sı|[ei]si|[ou]su|[öü]sü)|sarayı|günü|bayramı|(?:hava)?limanı|dağı|gölü|köyü|yolu"
    r"|oteli|marketi|evi|konağı|salonu|stadyumu|stadı|(?:oto)?garı|festivali|indirimi|kartı|geçidi)$"
)
_NUMBER: Final = re.compile(r"\d{1,3}(?:\.\d{3})+$|\d+$")
_FULL_HOUR: Final = re.compile(r"(?<![\d.,:])(\d{1,2})[.:]00$")
_ROMAN: Final = re.compile(r"(?:X{0,2})(?:IX|IV|V?I{0,3})")
_ROMAN_ONES: Final = ("", "I", "II", "III", "IV", "V", "VI", "VII", "VIII", "IX")
_ONES: Final = ("sıfır", "bir", "iki", "üç", "dört", "beş", "altı", "yedi", "sekiz", "dokuz")
_TENS: Final = ("", "on", "yirmi", "otuz", "kırk", "elli", "altmış", "yetmiş", "seksen", "doksan")
_ZEROS: Final = {2: "yüz", 3: "bin", 6: "milyon", 9: "milyar", 12: "trilyon"}
# How syllables of Turkish words may end in two consonants; other capitals are spelt out (ABD, AVM).
_CODA: Final = re.compile(
    rf"(?:[{_VOWELS}][^{_VOWELS}]?|[lnr][kptçsşzm]|[lr]f|[sş][kt]|ft|ks|ns|nz|rh)$"
)
# Two vowels that are one sound in the languages that have them, and seldom the written one.
_FOREIGN: Final = re.compile(r"(?:ea|ee|oo|ou|oi|eau|ieu|ew|aw|ow|gh|[^aeıioöuü]ie[^aeıioöuü]+)$")
_SILENT: Final = re.compile(
    r"(?:[wxq]|ch|ph|th|sh|ck|eo|ea).*e$|([bcdfglmnprst])\1e$|rge$|[^aeıioöuü]que$"
)
_ACCENTS: Final = str.maketrans(
    "âîûáàãåéèêëíìïóòôõøúùñýßœæđćčšžłńřť", "aiuaaaaeeeeiiioooööuunysöedççşzlnrt"
)
_ABBREVIATION: Final = 4
_IRREGULAR: Final = {"su": "suy", "akarsu": "akarsuy"}
_OPENING: Final = frozenset({"genitive", "dative", "accusative"})
# What softens before a vowel does so in words of several syllables, but for these …
_SOFT: Final = {"k": "ğ", "p": "b", "ç": "c"}
_KEPT: Final = frozenset(
    {
        *("ahlak", "emlak", "erzak", "evrak", "hukuk", "idrak", "iştirak", "merak", "tebrik"),
        *("otopark", "ekip", "sandviç"),
    }
)
# … and these of one syllable, or in t, which seldom softens.
_SOFTENED: Final = {
    **{"renk": "reng", "denk": "deng", "çok": "çoğ", "gök": "göğ", "uç": "uc", "güç": "güc"},
    **{"taç": "tac", "borç": "borc", "harç": "harc", "genç": "genc", "kap": "kab", "dip": "dib"},
    **{
        "kalp": "kalb",
        "harp": "harb",
        "cep": "ceb",
        "kurt": "kurd",
        "yurt": "yurd",
        "dert": "derd",
    },
    **{"dört": "dörd", "art": "ard", "armut": "armud", "kanat": "kanad"},
    **{"kağıt": "kağıd", "yoğurt": "yoğurd", "umut": "umud", "kilit": "kilid", "tat": "tad"},
    **{"ahenk": "aheng", "mahmut": "mahmud", "geçit": "geçid", "söğüt": "söğüd", "adet": "aded"},
}
# Their last vowel falls out before another.
_SHORTENED: Final = {
    **{
        "ağız": "ağz",
        "akıl": "akl",
        "alın": "aln",
        "asıl": "asl",
        "bağır": "bağr",
        "beyin": "beyn",
    },
    **{"boyun": "boyn", "burun": "burn", "cisim": "cism", "fikir": "fikr", "göğüs": "göğs"},
    **{"hacim": "hacm", "isim": "ism", "izin": "izn", "karın": "karn", "keyif": "keyf"},
    **{"kısım": "kısm", "metin": "metn", "nehir": "nehr", "oğul": "oğl", "omuz": "omz"},
    **{"ömür": "ömr", "resim": "resm", "sabır": "sabr", "şehir": "şehr", "şekil": "şekl"},
    **{"vakit": "vakt", "zihin": "zihn", "nakit": "nakd", "devir": "devr"},
    **{"ilim": "ilm", "kayıt": "kayd", "kayıp": "kayb", "tavır": "tavr"},
}
_DOUBLED: Final = frozenset({"hak", "his", "hat", "zam", "ret", "sır", "tıp", "hac", "zan", "had"})


@lru_cache(16_384)
def inflect(text: str, suffix: Suffix) -> str:
    """The text with an ending; empty when nobody can tell which is right.

    What has a capital letter or a digit is a name and keeps its spelling, before an apostrophe.
    """
    name = any(letter.isupper() or letter.isdigit() for letter in text)
    if not name:
        return _common(text, suffix)
    ending = _ending(text, suffix)
    if not ending:
        return ""
    # In capitals throughout, but not what may be an abbreviation: AHMET'İN, TBMM'nin, NATO'nun; nor
    # what only stands with a number: 50 TL'ye.
    if text.isupper() and len(text) > _ABBREVIATION and not any(map(str.isdigit, text)):
        ending = upper(ending, "tr")
    return f"{text}'{ending}"


def _ending(text: str, suffix: Suffix) -> str:
    sound = _sound(text)
    if not sound:
        return ""
    ending = _after(_tail(sound), suffix)
    small = lower(text, "tr")
    if sound[-1] in _VOWELS and (_OWNED.search(small) or _OWNED_WORDS.search(small)):
        return ending if suffix == "instrumental" else "n" + ending.lstrip("yn")
    return ending


def _common(text: str, suffix: Suffix) -> str:
    """A word that is no name: its last consonant may soften, its last vowel may go."""
    *before, word = text.split() or [""]
    ending = _ending(text, suffix)
    if not ending or not set(word) <= _LETTERS:
        return ""
    if word in _IRREGULAR and suffix in _OPENING:
        form = _IRREGULAR[word] + ending.lstrip("yn")
    elif ending[0] not in _VOWELS:
        form = word + ending
    elif word in _DOUBLED:
        form = word + word[-1] + ending
    else:
        form = _softened(word) + ending
    return " ".join([*before, form])


def _softened(word: str) -> str:
    """What is left of a word that ends in a consonant when a vowel follows."""
    if changed := _SHORTENED.get(word) or _SOFTENED.get(word):
        return changed
    several = sum(letter in _VOWELS for letter in word) > 1
    if not several or word in _KEPT or word[-1] not in _SOFT:
        return word
    last = "g" if word.endswith("nk") else _SOFT[word[-1]]
    return word[:-1] + last


def _sound(text: str) -> str:
    """How the end of a text is spoken, in Turkish letters; empty when nobody can tell."""
    if found := _FULL_HOUR.search(text):
        return _spoken_number(str(int(found[1])))  # 15.00'te: nobody says the zeros
    if found := _NUMBER.search(text):
        return _spoken_number(found[0].replace(".", ""))
    last = text.rsplit(maxsplit=1)[-1] if text.strip() else ""
    if len(last) > 1 and _ROMAN.fullmatch(last):
        return _spoken_number(str(_of_roman(last)))
    if _spelt(last, alone=last == text.strip()) and last not in SPOKEN:
        letter = lower(last[-1], "tr").translate(_ACCENTS)
        return letter if letter in _VOWELS else letter + "e"
    # Of O'Neill and Jean-Pierre the last part; small letters behind an apostrophe are an ending.
    *_, sign, part = re.split(r"(['’\-–])", f"-{last}")
    if sign in "'’" and part[:1].islower():
        return ""
    known = SPOKEN.get(part) or SPOKEN.get(lower(part, "en"))
    return known or _pronounced(lower(part, "tr"))


def _pronounced(word: str) -> str:
    word = unicodedata.normalize("NFC", word).translate(_ACCENTS)
    if _SILENT.search(word) or _FOREIGN.search(word):
        return ""
    if re.search(rf"[^{_VOWELS}]ie$", word):
        word = word[:-2] + "i"  # Marie, Julie
    elif re.search(rf"[^{_VOWELS}]y$", word):
        word = word[:-1] + "i"  # Mary, Emily
    word = word.replace("x", "ks").replace("q", "k").replace("w", "v")
    if not word or not set(word) <= _LETTERS or not any(letter in _VOWELS for letter in word):
        return ""
    if word in _LIGHT:
        at = max(word.rfind(vowel) for vowel in _VOWELS)
        return word[:at] + word[at].translate(_FRONT) + word[at + 1 :]
    return word


def _spelt(word: str, *, alone: bool) -> bool:
    """Whether capitals are read letter by letter: TBMM, ABD, AB; not NATO, nor AHMET."""
    if not word.isalpha() or not word.isupper():
        return False
    small = lower(word, "tr")
    if len(word) == 1 or not any(letter in _VOWELS for letter in small):
        return True
    if len(word) == 2:
        return alone and small[0] in _VOWELS and small[1] not in _VOWELS
    return len(word) <= _ABBREVIATION and _CODA.search(small) is None


def _of_roman(numeral: str) -> int:
    """Up to 29: centuries, kings, parts."""
    ones = numeral.lstrip("X")
    if numeral.endswith("IX"):
        ones = "IX"
    tens = len(numeral) - len(ones)
    return 10 * tens + _ROMAN_ONES.index(ones)


def _spoken_number(digits: str) -> str:
    kept = digits.rstrip("0")
    if not kept:
        return _ONES[0]
    zeros = len(digits) - len(kept)
    if zeros < 2:
        return _TENS[int(kept[-1])] if zeros else _ONES[int(kept[-1])]
    return _ZEROS[max(power for power in _ZEROS if power <= zeros)]


def _tail(sound: str) -> str:
    """What decides about an ending: the last vowel, and the last consonant if one follows."""
    vowel = next(letter for letter in reversed(sound) if letter in _VOWELS)
    return vowel if sound[-1] in _VOWELS else vowel + sound[-1]


@lru_cache(1_024)
def _after(tail: str, suffix: Suffix) -> str:
    vowel, open_ = tail[0], len(tail) == 1
    wide, narrow = "a" if vowel in "aıou" else "e", _NARROW[vowel]
    stop = "t" if tail[-1] in _HARD else "d"
    match suffix:
        case "genitive":
            return ("n" if open_ else "") + narrow + "n"
        case "dative":
            return ("y" if open_ else "") + wide
        case "accusative":
            return ("y" if open_ else "") + narrow
        case "locative":
            return stop + wide
        case "ablative":
            return stop + wide + "n"
        case _:  # instrumental
            return ("y" if open_ else "") + "l" + wide
