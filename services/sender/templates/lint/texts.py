"""What Meta wants of texts, and of the variables in them. Pure."""

import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any, Final

from services.sender.templates.draft import Draft
from services.sender.templates.lint.rules import Broken, Said, broken, error, warning
from services.sender.templates.seen import body_examples, kind, mapping, mappings, text, texts

RULES: Final = {
    "body_missing": error(
        Said("A template has a body with a text.", "Write the text."),
        Said("Şablonun metni olan bir gövdesi olmalı.", "Metni yazın."),
    ),
    "header_text_missing": error(
        Said("A text header has a text.", "Write it, or leave the header out."),
        Said("Metin başlığının metni olmalı.", "Yazın ya da başlığı çıkarın."),
    ),
    "header_too_long": error(
        Said("The header has {length} characters, {limit} at most.", "Shorten it."),
        Said("Başlık {length} karakter; en çok {limit}.", "Kısaltın."),
    ),
    "body_too_long": error(
        Said("The body has {length} characters, here {limit} at most.", "Shorten it."),
        Said("Gövde {length} karakter; burada en çok {limit}.", "Kısaltın."),
    ),
    "footer_too_long": error(
        Said("The footer has {length} characters, {limit} at most.", "Shorten it."),
        Said("Alt bilgi {length} karakter; en çok {limit}.", "Kısaltın."),
    ),
    "footer_missing": error(
        Said("The footer has no text.", "Write it, or leave the footer out."),
        Said("Alt bilginin metni yok.", "Yazın ya da alt bilgiyi çıkarın."),
    ),
    "footer_variable": error(
        Said("Footers have no variables.", "Write the words, or move them to the body."),
        Said("Alt bilgide değişken olmaz.", "Sözcükleri yazın ya da gövdeye taşıyın."),
    ),
    "header_variables": error(
        Said("The header has {count} variables, one at most.", "Move the others to the body."),
        Said("Başlıkta {count} değişken var; en çok bir.", "Ötekileri gövdeye taşıyın."),
    ),
    "header_formatting": error(
        Said(
            "Headers have no line breaks, emojis or formatting (* _ ~ `).",
            "Take these out.",
        ),
        Said(
            "Başlıkta satır sonu, emoji ve biçimlendirme (* _ ~ `) olmaz.",
            "Bunları çıkarın.",
        ),
    ),
    "footer_formatting": warning(
        Said("Meta tends to refuse footers with line breaks or emojis.", "Take these out."),
        Said("Meta, satır sonu ya da emoji olan alt bilgileri geri çevirebilir.", "Çıkarın."),
    ),
    "body_whitespace": warning(
        Said(
            "The body has tabs, more than four spaces or more than two line breaks in a row.",
            "Take one space, or one empty line.",
        ),
        Said(
            "Gövdede sekme, art arda dörtten çok boşluk ya da ikiden çok satır sonu var.",
            "Tek boşluk ya da tek boş satır bırakın.",
        ),
    ),
    "body_emojis": warning(
        Said("The body has {count} emojis; Meta tends to refuse more than ten.", "Take some out."),
        Said("Gövdede {count} emoji var; Meta ondan çoğunu geri çevirebilir.", "Azaltın."),
    ),
    "variable_malformed": error(
        Said(
            "{text} is no variable: these are {{{{1}}}} or {{{{first_name}}}}, in lower case.",
            "Write it so, or take the braces out.",
        ),
        Said(
            "{text} bir değişken değil; {{{{1}}}} ya da {{{{first_name}}}} gibi, küçük harfle"
            " yazılır.",
            "Böyle yazın ya da ayraçları çıkarın.",
        ),
    ),
    "variables_mixed": error(
        Said(
            "{text} does not go with parameter_format {format}.",
            "Number all variables, or name all and set parameter_format to NAMED.",
        ),
        Said(
            "{text}, {format} olan parameter_format ile uyuşmuyor.",
            "Bütün değişkenlere numara verin ya da hepsini adlandırıp NAMED seçin.",
        ),
    ),
    "variable_gap": error(
        Said(
            "Numbered variables count from 1 without gaps; there is {text}.",
            "Number them 1, 2, 3 in the order of the text.",
        ),
        Said(
            "Numaralı değişkenler 1'den başlar, boşluksuz sürer; {text} var.",
            "Metindeki sırayla 1, 2, 3 diye numaralayın.",
        ),
    ),
    "variable_at_edge": error(
        Said(
            "A body neither begins nor ends with a variable; {text} does.",
            "Write a word before it or behind it; a full stop will do.",
        ),
        Said(
            "Gövde değişkenle başlamaz ve bitmez; {text} kenarda.",
            "Önüne ya da arkasına bir sözcük yazın; nokta da olur.",
        ),
    ),
    "variables_adjacent": error(
        Said("{text} follows another variable directly.", "Write words between them."),
        Said("{text} başka bir değişkenin hemen ardında.", "Araya sözcük yazın."),
    ),
    "too_many_variables": error(
        Said(
            "{count} variables are too many for {words} words.",
            "Write more words around them, or fewer variables.",
        ),
        Said(
            "{words} sözcüğe {count} değişken çok.",
            "Daha çok sözcük ya da daha az değişken yazın.",
        ),
    ),
    "few_words_for_variables": warning(
        Said(
            "{words} words for {count} variables: Meta tends to want {wanted}.",
            "Write more words around them.",
        ),
        Said(
            "{count} değişkene {words} sözcük: Meta {wanted} sözcük isteyebilir.",
            "Daha çok sözcük yazın.",
        ),
    ),
    "example_missing": error(
        Said("{text} has no example.", "Give one that looks like what will be sent."),
        Said("{text} için örnek yok.", "Gönderilecek olana benzeyen bir örnek verin."),
    ),
    "example_unused": error(
        Said("There is an example for {text}, which the text has not.", "Take it out."),
        Said("Metinde olmayan {text} için örnek var.", "Örneği çıkarın."),
    ),
    "example_whitespace": warning(
        Said(
            "The example of {text} has line breaks, tabs or more than four spaces in a row; no "
            "value may.",
            "Write it in one line.",
        ),
        Said(
            "{text} örneğinde satır sonu, sekme ya da dörtten çok boşluk var; değerlerde olmaz.",
            "Tek satır olarak yazın.",
        ),
    ),
}

_ONE: Final = (
    "[\U0001f300-\U0001faff\u2600-\u27bf\u2b50\u2b55\u231a\u231b\u23e9-\u23fa]\ufe0f?"
    "[\U0001f3fb-\U0001f3ff]?"
)
EMOJI: Final = re.compile(
    f"[\U0001f1e6-\U0001f1ff]{{1,2}}|[#*0-9]\ufe0f?\u20e3|{_ONE}(?:\u200d{_ONE})*"
)
"""As people count them: a flag, a family, a hand with its colour are one."""
FORMATTING: Final = re.compile(r"[*`\n\r]|(?<!\w)_[^_\n]+_(?!\w)|(?<!\w)~[^~\n]+~(?!\w)")
# Bounded: of a text full of braces that never close, each would be followed to the end.
BRACES: Final = re.compile(r"\{\{(.{0,128}?)\}\}", re.DOTALL)
_NAME: Final = re.compile(r"[a-z0-9_]+")
_WORD: Final = re.compile(r"\w+")
_UNEVEN: Final = re.compile(r"\t| {5}|\n{3}")
_UNEVEN_VALUE: Final = re.compile(r"[\n\r\t]| {5}")
_HEADER: Final = 60
_BODY: Final = 1024
_BODY_OF_OFFER: Final = 600
_BODY_OF_CARD: Final = 160
_FOOTER: Final = 60
_EMOJIS: Final = 10
_READ: Final = 8_192
"""Characters that are looked at: what is longer is too long, whatever else stands in it."""


def check(draft: Draft) -> Iterator[Broken]:
    """Of a message and of its cards; of authentication templates Meta writes the texts itself."""
    if draft.category == "AUTHENTICATION" or draft.library_name:
        return
    parts = mappings(list(draft.components))
    kinds = {kind(part) for part in parts}
    if "BODY" not in kinds:
        yield broken("body_missing", "components.body.text")
    limit = _BODY_OF_OFFER if "LIMITED_TIME_OFFER" in kinds else _BODY
    yield from _texts(parts, "components", limit, named=bool(draft.named))
    for part in parts:
        if kind(part) == "CAROUSEL":
            for place, card in enumerate(mappings(part.get("cards"))):
                inner, where = mappings(card.get("components")), f"components.cards[{place}]"
                yield from _texts(inner, where, _BODY_OF_CARD, named=bool(draft.named))


def _texts(
    parts: Sequence[Mapping[str, Any]], where: str, limit: int, *, named: bool
) -> Iterator[Broken]:
    for part in parts:
        match kind(part):
            case "HEADER" if kind(part, "format") in {"", "TEXT"}:
                yield from _header(part, f"{where}.header.text", named=named)
            case "BODY":
                yield from _body(part, f"{where}.body.text", limit, named=named)
            case "FOOTER":
                yield from _footer(text(part, "text"), f"{where}.footer.text")


def _header(part: Mapping[str, Any], field: str, *, named: bool) -> Iterator[Broken]:
    said = text(part, "text")
    if not said.strip():
        yield broken("header_text_missing", field)
    if len(said) > _HEADER:
        yield broken("header_too_long", field, length=len(said), limit=_HEADER)
    said = said[:_READ]
    if EMOJI.search(said) or FORMATTING.search(BRACES.sub("", said)):
        yield broken("header_formatting", field)
    names = _names(said)
    if len(names) > 1:
        yield broken("header_variables", field, count=len(names))
    yield from _variables(said, field, named=named)
    example = mapping(part.get("example"))
    given = _given(texts(example.get("header_text")), example.get("header_text_named_params"))
    yield from _examples(names, given, field.replace(".text", ".examples"))


def _body(part: Mapping[str, Any], field: str, limit: int, *, named: bool) -> Iterator[Broken]:
    said = text(part, "text")
    if not said.strip():
        yield broken("body_missing", field)
        return
    if len(said) > limit:
        yield broken("body_too_long", field, length=len(said), limit=limit)
    said = said[:_READ]
    if _UNEVEN.search(said):
        yield broken("body_whitespace", field)
    if (count := len(EMOJI.findall(said))) > _EMOJIS:
        yield broken("body_emojis", field, count=count)
    yield from _variables(said, field, named=named)
    yield from _places(said, field)
    example = mapping(part.get("example"))
    given = _given(body_examples(part), example.get("body_text_named_params"))
    yield from _examples(_names(said), given, field.replace(".text", ".examples"))


def _footer(said: str, field: str) -> Iterator[Broken]:
    if not said.strip():
        yield broken("footer_missing", field)
    if len(said) > _FOOTER:
        yield broken("footer_too_long", field, length=len(said), limit=_FOOTER)
    if "{{" in said:
        yield broken("footer_variable", field)
    if EMOJI.search(said) or "\n" in said:
        yield broken("footer_formatting", field)


def _variables(said: str, field: str, *, named: bool) -> Iterator[Broken]:
    """How variables are written."""
    for found in BRACES.finditer(said):
        name = found[1].strip()
        if not _NAME.fullmatch(name):
            yield broken("variable_malformed", field, text=_shown(found[0]))
        elif name.isdecimal() == named:
            form = "NAMED" if named else "POSITIONAL"
            yield broken("variables_mixed", field, text=_shown(found[0]), format=form)
    rest = BRACES.sub("", said)
    if stray := next((one for one in ("{{", "}}") if one in rest), ""):
        yield broken("variable_malformed", field, text=stray)
    if named:
        return
    numbers = {int(name) for name in _names(said) if name.isdecimal()}
    if numbers and (odd := numbers - set(range(1, len(numbers) + 1))):
        yield broken("variable_gap", field, text=f"{{{{{max(odd)}}}}}")


def _places(said: str, field: str) -> Iterator[Broken]:
    """Where variables stand among words."""
    found = list(BRACES.finditer(said))
    if not found:
        return
    if not said[: found[0].start()].strip():
        yield broken("variable_at_edge", field, text=_shown(found[0][0]))
    if not said[found[-1].end() :].strip():
        yield broken("variable_at_edge", field, text=_shown(found[-1][0]))
    for one, other in pairwise(found):
        if one.end() == other.start():
            yield broken("variables_adjacent", field, text=_shown(other[0]))
    words, count = len(_WORD.findall(BRACES.sub(" ", said))), len(found)
    if words < count:
        yield broken("too_many_variables", field, count=count, words=words)
    elif words < (wanted := 2 * count + 1):
        yield broken("few_words_for_variables", field, count=count, words=words, wanted=wanted)


def _examples(names: Sequence[str], given: Mapping[str, str], field: str) -> Iterator[Broken]:
    for name in names:
        if not given.get(name, "").strip():
            yield broken("example_missing", field, text=f"{{{{{_shown(name)}}}}}")
    known = frozenset(names)
    for name, example in given.items():
        if name not in known:
            yield broken("example_unused", field, text=f"{{{{{_shown(name)}}}}}")
        elif _UNEVEN_VALUE.search(example):
            yield broken("example_whitespace", field, text=f"{{{{{_shown(name)}}}}}")


def _given(numbered: Sequence[str], named: Any) -> dict[str, str]:
    """Examples by the names of their variables."""
    found = {str(place): one for place, one in enumerate(numbered, 1)}
    return found | {text(one, "param_name"): text(one, "example") for one in mappings(named)}


def _names(said: str) -> list[str]:
    """Names of variables that are written as such, each once."""
    inner = (found[1].strip() for found in BRACES.finditer(said))
    return list(dict.fromkeys(name for name in inner if _NAME.fullmatch(name)))


def _shown(what: str) -> str:
    """Of something that may be long."""
    return what if len(what) <= 40 else f"{what[:40]}…"
