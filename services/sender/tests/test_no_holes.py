"""Whatever the template, the values and the bindings: a message is whole, or there is none."""

import re
from collections.abc import Mapping
from typing import Any

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from services.sender.formats import (
    DateFormat,
    Format,
    MoneyFormat,
    NumberFormat,
    PluralFormat,
    TextFormat,
)
from services.sender.model import Binding, Contact, Template, Variant
from services.sender.tests.test_words import NOW, template
from services.sender.wording.parts import BODY, HEADER, VARIABLE
from services.sender.wording.words import Words
from simulator.templates import definition, filling

LANGUAGES = ("tr", "en_US", "ar", "de", "fr", "ru", "hi", "zh_CN")
NASTY = st.sampled_from(
    [
        *(None, "", " ", "null", "None", "undefined", "{{1}}", "N/A", "-", "a{{1}}b", "Bay None"),
        *("\n", "a\nb", "a\tb", "a      b", "\u200b", "\x00x", "\ud83d", "x" * 3_000, "söz " * 900),
        *(float("nan"), float("inf"), -0.0, 10**30, True, False, [], {}, [1], {"a": 1}),
        *("Ayşe", "IŞIL", "https://a.example/ç d", "file_1", "{}", "}}{{", "%s", "${x}", "\u202e"),
    ]
)
RAW = NASTY | st.text(max_size=40) | st.integers() | st.floats() | st.booleans() | st.none()
FORMATS: st.SearchStrategy[Format | None] = st.sampled_from(
    [
        *(None, None, TextFormat("title", "genitive"), TextFormat("upper", max_characters=12)),
        *(MoneyFormat("TRY"), MoneyFormat("EUR", micros=True), NumberFormat(1, percent=True)),
        *(DateFormat("d MMMM"), DateFormat("full"), PluralFormat({"other": "{} ürün"})),
    ]
)
WORDS = st.sampled_from(
    [
        "Merhaba, sana güzel bir haber",
        "ürünün fiyatı bugün",
        "🎉 kampanya başladı, acele et",
        "x" * 200,
    ]
)  # Meta wants more words than variables


def hole(name: object) -> str:
    return "{{" + str(name) + "}}"


@st.composite
def templates(draw: st.DrawFn) -> Template:
    count = draw(st.integers(0, 4))
    text = " ".join(
        part
        for n in range(1, count + 1)
        for part in (draw(WORDS), hole(draw(st.integers(1, n))), draw(WORDS))
    )
    # As Meta wants them: numbered from 1 without a gap.
    seen = {name: str(n) for n, name in enumerate(dict.fromkeys(VARIABLE.findall(text)), 1)}
    text = VARIABLE.sub(lambda found: hole(seen[found[1]]), text)
    examples = [["örnek"] * len(seen)]
    components: list[dict[str, Any]] = [
        {
            "type": "BODY",
            "text": f"Bugün yeni bir haberimiz var: {text} sonra görüşürüz, sevgiler.",
            "example": {"body_text": examples},
        }
    ]
    headers = [
        {"format": "TEXT", "text": "Selam {{1}}", "example": {"header_text": ["x"]}},
        {"format": "TEXT", "text": "Selam"},
        {"format": "IMAGE", "example": {"header_handle": ["h"]}},
        {"format": "LOCATION"},
    ]
    if draw(st.booleans()):
        components.insert(0, {"type": "HEADER", **draw(st.sampled_from(headers))})
    kinds: list[dict[str, Any]] = [
        {"type": "QUICK_REPLY", "text": "Dur"},
        {"type": "URL", "text": "Aç", "url": "https://a.example/{{1}}", "example": ["x"]},
        {"type": "COPY_CODE", "example": "X"},
    ]
    if chosen := draw(st.lists(st.sampled_from(kinds), unique_by=str, max_size=3)):
        components.append({"type": "BUTTONS", "buttons": chosen})
    return template(*components, language=draw(st.sampled_from(LANGUAGES)))


@st.composite
def bindings(draw: st.DrawFn, variables: list[str]) -> list[Binding]:
    return [
        Binding(
            variable,
            f"row.v{index}",
            draw(st.sampled_from(["fallback"] * 4 + ["skip", "fail"])),
            draw(st.sampled_from([{"*": "dostum"}] * 8 + [{}, {"tr": "-"}, {"*": "None"}])),
            draw(FORMATS) if not variable.startswith(("header.", "button.")) else None,
        )
        for index, variable in enumerate(variables)
        if draw(st.integers(0, 39))  # now and then one is forgotten
    ]


def texts(found: Any) -> list[str]:
    if isinstance(found, str):
        return [found]
    inner = found.values() if isinstance(found, Mapping) else found
    return [t for one in inner for t in texts(one)] if isinstance(found, list | Mapping) else []


@settings(deadline=None, max_examples=300)  # a language is read from disk when it is first met
@given(st.data())
def test_a_message_is_whole_or_there_is_none(data: st.DataObject) -> None:
    one = data.draw(templates())
    (form,) = Words(Variant("a", one.name, 1.0), [one]).forms
    bound = data.draw(bindings(list(form.blanks)))
    words = Words(Variant("a", one.name, 1.0, bound), [one])
    (form,) = words.forms
    row = {f"v{index}": data.draw(RAW) for index in range(len(form.blanks))}
    filled = words.fill(form, Contact("c", zone="Europe/Istanbul"), NOW, row=row)

    refusing = {lack.missing for lack in filled.lacks} - {"fallback"}
    assert filled.problem or not refusing
    assert bool(filled.failed) <= bool(filled.problem)
    if filled.problem:
        return
    message = msgspec.json.decode(form.body({**filled.values, **dict.fromkeys(filled.links, "T")}))
    given_texts = texts([c["parameters"] for c in message["template"].get("components", ())])
    for text in given_texts:
        assert text.strip()
        assert not re.search(r"\{\{|\}\}|\bNone\b|\bundefined\b|[\n\t\r]| {5}|\x00", text)
        assert text not in {"null", "N/A", "-", "nan", "NaN", "inf"}
    for component, most in (("BODY", BODY), ("HEADER", HEADER)):
        assert length(form.components, component, filled.values) <= most
    # And as Meta reads it.
    created = definition.define(
        "1", "2", {**msgspec.to_builtins(one), "components": form.components}, lambda _: True
    )
    filling.fill(created, message["template"].get("components"))


def length(components: list[dict[str, Any]], kind: str, values: Mapping[str, Any]) -> int:
    text = next((c.get("text", "") for c in components if c["type"] == kind), "")

    def value(found: re.Match[str]) -> str:
        return str(values["header" if kind == "HEADER" else f"body.{found[1]}"])

    return len(VARIABLE.sub(value, text))
