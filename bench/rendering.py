"""Messages of a campaign written to one person after the other, from what is known of them to the
JSON that Meta gets, beside the same by what lies at hand: the interpreter of an expression, the
template read and CLDR's formats looked up anew for every message."""

import json
import re
import time
from collections.abc import Callable, Sequence
from datetime import datetime
from statistics import median
from typing import Any, Final
from zoneinfo import ZoneInfo

import msgspec
from babel.dates import format_datetime
from babel.numbers import format_currency

from bench.result import Figure
from expressions import Facts, Registry, compile
from services.sender.formats import DateFormat, MoneyFormat, TextFormat
from services.sender.model import Binding, Contact, Template, Variant
from services.sender.wording.turkish import inflect
from services.sender.wording.words import Words

_NOW: Final = 1_790_000_000_000
_PEOPLE: Final = 10_000
_NAIVE: Final = 300
_TURNS: Final = 3
_FIRST: Final = ("AHMET", "ayşe", "Tarık", "ECE", "Işıl", "Mehmet Ali", "Zeynep", "Kemal", "İpek")
_COMPONENTS: Final[list[dict[str, Any]]] = [
    {"type": "HEADER", "format": "IMAGE"},
    {"type": "BODY", "text": "{{1}} sepetindeki {{2}} tutarındaki ürünler {{3}} gününe dek senin."},
    {"type": "FOOTER", "text": "Durdurmak için DUR yaz."},
    {
        "type": "BUTTONS",
        "buttons": [
            {"type": "URL", "text": "Sepete git", "url": "https://shop.example/{{1}}"},
            {"type": "QUICK_REPLY", "text": "Durdur"},
        ],
    },
]
_BINDINGS: Final = [
    Binding("header", '"https://cdn.example/" + profile.city + ".jpg"', "skip"),
    Binding(
        "body.1",
        "profile.first_name",
        "fallback",
        {"*": "Senin"},
        TextFormat("title", "genitive"),
    ),
    Binding("body.2", "traits.cart_total", "skip", {}, MoneyFormat("TRY")),
    Binding("body.3", "traits.cart_expires", "skip", {}, DateFormat("d MMMM EEEE")),
    Binding("button.0", '"sepet?kisi=" + profile.customer_no', "skip"),
]


def rendering() -> list[Figure]:
    """Messages a second on one core; of the naive way fewer are written, since it takes long."""
    people = [_person(number) for number in range(_PEOPLE)]
    template = _template()
    return [
        Figure(
            "renders_per_s",
            median(_rate(_ours(template), people) for _ in range(_TURNS)),
            "1/s",
            median(_rate(_naive(template), people[:_NAIVE]) for _ in range(_TURNS)),
        )
    ]


def _person(number: int) -> Contact:
    first = _FIRST[number % len(_FIRST)]
    return Contact(
        f"con_{number}",
        language="tr",
        zone="Europe/Istanbul",
        consents={"marketing": "granted"},
        attributes={
            "first_name": f"{first}{'abcdeğıuü'[number // 9 % 9]}{number // 81 or ''}",
            "city": f"şehir-{number % 81}",
            "customer_no": f"m{number}",
            "traits.cart_total": 100 + number * 1.37,
            "traits.cart_expires": f"2026-10-{number % 28 + 1:02}T{number % 24:02}:30:00Z",
        },
    )


def _template() -> Template:
    return Template(
        template_id="1",
        waba_id="2",
        name="sepet",
        language="tr",
        category="MARKETING",
        effective_category="MARKETING",
        announced_category="",
        announced_time=0,
        state="APPROVED",
        state_reason="",
        state_detail="",
        named=False,
        components=msgspec.json.encode(_COMPONENTS),
        create_time=_NOW,
        update_time=_NOW,
    )


def _rate(write: Callable[[Contact], bytes], people: Sequence[Contact]) -> float:
    start = time.process_time()
    for one in people:
        write(one)
    return len(people) / (time.process_time() - start)


def _ours(template: Template) -> Callable[[Contact], bytes]:
    words = Words(Variant("a", template.name, 1.0, _BINDINGS), [template])

    def write(contact: Contact) -> bytes:
        form = words.form(contact.language)
        assert form is not None
        filled = words.fill(form, contact, _NOW)
        assert not filled.problem, filled.problem
        return form.body(filled.values)

    write(_person(0))  # what is read once, for all, is not the rate
    return write


def _naive(template: Template) -> Callable[[Contact], bytes]:
    def write(contact: Contact) -> bytes:
        facts = Facts(dict(contact.attributes), zone=contact.zone)
        image, name, total, expires, suffix = [
            compile(one.expression, Registry(open=True)).evaluate(facts, _NOW) for one in _BINDINGS
        ]
        ends = datetime.fromisoformat(expires).astimezone(ZoneInfo(contact.zone))
        texts = [
            inflect.__wrapped__(name.capitalize(), "genitive"),
            format_currency(total, "TRY", locale="tr"),
            format_datetime(ends, "d MMMM EEEE", locale="tr"),
        ]
        components: list[dict[str, Any]] = []
        for component in json.loads(template.components):
            if component["type"] == "HEADER":
                shown = {"type": "image", "image": {"link": image}}
                components.append({"type": "header", "parameters": [shown]})
            elif component["type"] == "BODY":
                count = len(re.findall(r"\{\{\d+\}\}", component["text"]))
                parameters = [{"type": "text", "text": text} for text in texts[:count]]
                components.append({"type": "body", "parameters": parameters})
        address = {"type": "text", "text": suffix}
        button = {"type": "button", "sub_type": "url", "index": "0", "parameters": [address]}
        content = {
            "name": template.name,
            "language": {"code": template.language},
            "components": [*components, button],
        }
        return json.dumps({"type": "template", "template": content}).encode()

    return write
