"""A message as a person sees it: the template's texts with their values. Pure."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from babel.dates import format_timedelta
from msgspec import Struct

from services.sender.wording.form import Form
from services.sender.wording.formatting import locale_of, zone_of
from services.sender.wording.parts import VARIABLE, Values, kind_of

_MEDIA: Final = frozenset({"IMAGE", "VIDEO", "GIF", "DOCUMENT"})
_TURKISH: Final = "tr"
# What WhatsApp writes itself, where the template leaves the words to it.
_OWN: Final = {
    "tr": {
        "code": "*{}* doğrulama kodunuzdur.",
        "security": " Güvenliğiniz için bu kodu paylaşmayın.",
        "expires": "Bu kod {} dakika içinde geçerliliğini yitirir.",
        "OTP": "Kodu kopyala",
        "COPY_CODE": "Teklif kodunu kopyala",
        "CATALOG": "Kataloğu görüntüle",
        "MPM": "Ürünleri görüntüle",
        "SPM": "Görüntüle",
        "ORDER_DETAILS": "İncele ve öde",
        "REQUEST_CONTACT_INFO": "Numaramı paylaş",
        "offer_code": "Kod: {}",
        "offer_ends": "{} sonra bitiyor",
        "offer_over": "Süresi doldu",
        "call": "Arama izni isteniyor",
        "more": "Tüm seçenekleri gör",
    },
    "en": {
        "code": "*{}* is your verification code.",
        "security": " For your security, do not share this code.",
        "expires": "This code expires in {} minutes.",
        "OTP": "Copy code",
        "COPY_CODE": "Copy offer code",
        "CATALOG": "View catalog",
        "MPM": "View items",
        "SPM": "View",
        "ORDER_DETAILS": "Review and pay",
        "REQUEST_CONTACT_INFO": "Share my number",
        "offer_code": "Code: {}",
        "offer_ends": "Ends in {}",
        "offer_over": "Expired",
        "call": "Asks for permission to call",
        "more": "See all options",
    },
}


class Header(Struct):
    """What stands above the body."""

    kind: str
    """`text`, `image`, `video`, `gif`, `document`, `location` or `product`."""
    text: str = ""
    """The heading, the document's name, the place, or the product."""
    detail: str = ""
    """The place's address."""
    source: str = ""
    """Of media: an address, a file's id, or Meta's."""


class Button(Struct):
    """A button, by its kind (`URL`, `QUICK_REPLY`, …)."""

    kind: str
    text: str


class Offer(Struct):
    """An offer that ends."""

    text: str
    ends: str = ""
    """How long that is from now."""
    code: str = ""


class Bubble(Struct):
    """A message, or a card of one."""

    header: Header | None = None
    body: str = ""
    footer: str = ""
    buttons: Sequence[Button] = ()
    offer: Offer | None = None
    cards: Sequence["Bubble"] = ()
    time: str = ""
    """When it is sent, by the person's clock."""
    more: str = ""
    """What WhatsApp calls the list of buttons that it does not show at once."""


def bubble(form: Form, values: Values, now: int, zone: str = "UTC") -> Bubble:
    """What somebody sees; what has no value keeps the name it has in the template."""
    language = form.template.language
    found = _bubble(form.components, values, "", language, now)
    local = datetime.fromtimestamp(now / 1_000, UTC).astimezone(zone_of(zone))
    found.time = local.strftime("%H:%M")
    return found


def lines(shown: Bubble) -> str:
    """The same as text, for those who see no picture."""
    return "\n".join(_lines(shown))


def examples(form: Form) -> dict[str, Any]:
    """The values that the template itself shows for its variables."""
    return dict(_examples(form.components, ""))


def _lines(shown: Bubble) -> Iterator[str]:
    if header := shown.header:
        named = " · ".join(part for part in (header.text, header.detail) if part)
        if header.kind == "text":
            yield header.text
        else:
            yield f"[{header.kind}{': ' + named if named else ''}]"
    if offer := shown.offer:
        yield " · ".join(part for part in (offer.text, offer.ends, offer.code) if part)
    if shown.body:
        yield shown.body
    if shown.footer:
        yield shown.footer
    for button in shown.buttons:
        yield f"[{button.text}]"
    for number, card in enumerate(shown.cards, 1):
        yield f"— {number} —"
        yield from _lines(card)


def _bubble(
    components: Sequence[Mapping[str, Any]], values: Values, at: str, language: str, now: int
) -> Bubble:
    own = _OWN["tr" if language[:2] == _TURKISH else "en"]
    found = Bubble(more=own["more"])
    for component in components:
        match kind_of(component):
            case "HEADER":
                found.header = _header(component, values, f"{at}header")
            case "BODY":
                found.body = _body(component, values, f"{at}body", own)
            case "FOOTER":
                minutes = component.get("code_expiration_minutes")
                found.footer = component.get("text") or (
                    own["expires"].format(minutes) if minutes else ""
                )
            case "BUTTONS":
                found.buttons = [
                    Button(kind_of(button), button.get("text") or own.get(kind_of(button), ""))
                    for button in component.get("buttons", ())
                ]
            case "LIMITED_TIME_OFFER":
                offer = component.get("limited_time_offer") or {}
                found.offer = _offer(offer, components, values, own, language, now)
            case "CALL_PERMISSION_REQUEST":
                found.buttons = [*found.buttons, Button("VOICE_CALL", own["call"])]
            case "CAROUSEL":
                found.cards = [
                    _bubble(card.get("components", ()), values, f"{at}card.{i}.", language, now)
                    for i, card in enumerate(component.get("cards", ()))
                ]
    return found


def _header(component: Mapping[str, Any], values: Values, at: str) -> Header:
    kind = str(component.get("format", "TEXT")).upper()
    if kind in _MEDIA:
        media = values.get(at) or {}
        source = media.get("link") or media.get("id") or ""
        name = values.get(f"{at}.filename", "") if kind == "DOCUMENT" else ""
        return Header(kind.lower(), name, source=source)
    if kind == "LOCATION":
        place = [str(values.get(f"{at}.{field}", "")) for field in ("name", "address")]
        spot = [values.get(f"{at}.{field}") for field in ("latitude", "longitude")]
        where = ", ".join(f"{one:.4f}" for one in spot if isinstance(one, float))
        return Header("location", place[0] or where, place[1])
    if kind == "PRODUCT":
        return Header("product", str(values.get(f"{at}.product_retailer_id", "")))
    text = VARIABLE.sub(lambda found: str(values.get(at, found[0])), component.get("text") or "")
    return Header("text", text)


def _body(component: Mapping[str, Any], values: Values, at: str, own: Mapping[str, str]) -> str:
    text = component.get("text") or ""
    if not text and "add_security_recommendation" in component:
        text = own["code"].format("{{1}}")
        text += own["security"] if component["add_security_recommendation"] else ""
    return VARIABLE.sub(lambda found: str(values.get(f"{at}.{found[1]}", found[0])), text)


def _offer(
    offer: Mapping[str, Any],
    components: Sequence[Mapping[str, Any]],
    values: Values,
    own: Mapping[str, str],
    language: str,
    now: int,
) -> Offer:
    ends = values.get("offer_expire_time")
    told = ""
    if isinstance(ends, int):
        left = format_timedelta(timedelta(milliseconds=ends - now), locale=locale_of(language))
        told = own["offer_ends"].format(left) if ends > now else own["offer_over"]
    buttons = [b for c in components if kind_of(c) == "BUTTONS" for b in c.get("buttons", ())]
    places = [i for i, button in enumerate(buttons) if kind_of(button) == "COPY_CODE"]
    code = values.get(f"button.{places[0]}") if places else None
    return Offer(offer.get("text", ""), told, own["offer_code"].format(code) if code else "")


def _examples(components: Sequence[Mapping[str, Any]], at: str) -> Iterator[tuple[str, Any]]:
    for component in components:
        example = component.get("example") or {}
        match kind_of(component):
            case "HEADER":
                texts = _named(example.get("header_text_named_params"))
                if said := [*texts.values(), *(example.get("header_text") or ())]:
                    yield f"{at}header", str(said[0])
            case "BODY":
                for name, text in _named(example.get("body_text_named_params")).items():
                    yield f"{at}body.{name}", text
                rows = example.get("body_text") or [[]]
                for place, text in enumerate(rows[0] if isinstance(rows[0], list) else rows, 1):
                    yield f"{at}body.{place}", str(text)
            case "BUTTONS":
                for index, button in enumerate(component.get("buttons", ())):
                    said = button.get("example")
                    first = said[0] if isinstance(said, list) and said else said
                    if first and kind_of(button) in {"URL", "COPY_CODE"}:
                        fixed = str(button.get("url", "")).partition("{{")[0]
                        yield f"{at}button.{index}", str(first).removeprefix(fixed)
            case "CAROUSEL":
                for index, card in enumerate(component.get("cards", ())):
                    inner = card.get("components", ())
                    yield from _examples(inner, f"{at}card.{index}.")


def _named(said: Any) -> dict[str, str]:
    return {str(one["param_name"]): str(one["example"]) for one in said or ()}
