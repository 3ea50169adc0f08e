"""What Meta wants of buttons. Pure."""

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final
from urllib.parse import urlsplit

from services.sender.templates.lint.rules import Broken, Said, broken, error, warning
from services.sender.templates.lint.texts import BRACES, EMOJI, FORMATTING
from services.sender.templates.seen import kind, text, texts

RULES: Final = {
    "too_many_buttons": error(
        Said("There are {count} buttons, {limit} at most.", "Take some out."),
        Said("{count} düğme var; en çok {limit}.", "Bazılarını çıkarın."),
    ),
    "too_many_of_kind": error(
        Said("There are {count} buttons of kind {kind}, {limit} at most.", "Take some out."),
        Said("{kind} türünden {count} düğme var; en çok {limit}.", "Bazılarını çıkarın."),
    ),
    "quick_replies_apart": error(
        Said(
            "Quick replies stand together, and other buttons before or behind all of them.",
            "Put the quick replies side by side.",
        ),
        Said(
            "Hızlı yanıtlar yan yana durur; öteki düğmeler hepsinin önünde ya da arkasında.",
            "Hızlı yanıtları yan yana koyun.",
        ),
    ),
    "desktop_hidden": warning(
        Said(
            "WhatsApp on a computer shows no template with four buttons or more, or with quick "
            "replies beside others.",
            "Take three buttons of one sort, if people read it at a computer.",
        ),
        Said(
            "Bilgisayardaki WhatsApp, dört ve daha çok düğmeli ya da hızlı yanıtları başka "
            "düğmelerle karışık şablonları göstermez.",
            "Bilgisayarda da okunacaksa tek türden en çok üç düğme koyun.",
        ),
    ),
    "button_alone": warning(
        Said(
            "A button of kind {kind} stands alone in what Meta approves.",
            "Take the other buttons out.",
        ),
        Said("{kind} düğmesi genellikle tek başına onaylanır.", "Öteki düğmeleri çıkarın."),
    ),
    "button_text_missing": error(
        Said("The button has no text.", "Write it: at most 25 characters."),
        Said("Düğmenin metni yok.", "En çok 25 karakterle yazın."),
    ),
    "button_text_too_long": error(
        Said("The text of the button has {length} characters, {limit} at most.", "Shorten it."),
        Said("Düğme metni {length} karakter; en çok {limit}.", "Kısaltın."),
    ),
    "button_text_formatting": error(
        Said(
            "Texts of buttons have no variables, line breaks, emojis or formatting.",
            "Take these out.",
        ),
        Said(
            "Düğme metninde değişken, satır sonu, emoji ve biçimlendirme olmaz.",
            "Bunları çıkarın.",
        ),
    ),
    "button_text_repeated": error(
        Said("Two buttons say {text}.", "Give each a text of its own."),
        Said("İki düğmede de {text} yazıyor.", "Her birine ayrı metin verin."),
    ),
    "url_invalid": error(
        Said(
            "The address is missing, or is none with https:// and a host.",
            "Write the whole address, such as https://shop.example/orders.",
        ),
        Said(
            "Adres yok ya da https:// ve alan adı içermiyor.",
            "https://magaza.example/siparis gibi tam adres yazın.",
        ),
    ),
    "url_insecure": warning(
        Said("The address begins with http://, which people see as unsafe.", "Take https://."),
        Said("Adres http:// ile başlıyor; güvensiz görünür.", "https:// kullanın."),
    ),
    "url_too_long": error(
        Said("The address has {length} characters, {limit} at most.", "Shorten it."),
        Said("Adres {length} karakter; en çok {limit}.", "Kısaltın."),
    ),
    "url_variable": error(
        Said(
            "An address has one variable, {{{{1}}}}, at its end and nowhere else.",
            "Put what changes at the end.",
        ),
        Said(
            "Adreste tek değişken olur: {{{{1}}}}, yalnız sonda.",
            "Değişen bölümü sona alın.",
        ),
    ),
    "url_host_variable": warning(
        Said(
            "The variable stands at the name of the site: whoever fills it says where people go.",
            "Put a slash before it, such as https://shop.example/{{{{1}}}}.",
        ),
        Said(
            "Değişken site adının parçası: dolduran kişi, nereye gidileceğini de seçer.",
            "Önüne eğik çizgi koyun: https://magaza.example/{{{{1}}}}.",
        ),
    ),
    "url_example_missing": error(
        Said("The address has a variable and no example.", "Give the whole address as an example."),
        Said("Adreste değişken var, örnek yok.", "Örnek olarak tam adres verin."),
    ),
    "url_shortened": error(
        Said("{host} shortens addresses, and Meta refuses that.", "Write where it leads."),
        Said("{host} adres kısaltıyor; Meta bunu geri çevirir.", "Gittiği adresi yazın."),
    ),
    "url_whatsapp": error(
        Said("The address leads back to WhatsApp.", "Take a quick reply or a phone button."),
        Said("Adres WhatsApp'a geri götürüyor.", "Hızlı yanıt ya da telefon düğmesi koyun."),
    ),
    "phone_number_invalid": error(
        Said(
            "A phone number has its country code and at most 20 characters.",
            "Write it like +902121234567.",
        ),
        Said(
            "Telefon numarası ülke kodlu ve en çok 20 karakterdir.",
            "+902121234567 gibi yazın.",
        ),
    ),
    "code_example_missing": error(
        Said("The button that copies a code has no example of it.", "Give one."),
        Said("Kod kopyalayan düğmenin örneği yok.", "Bir örnek verin."),
    ),
    "code_too_long": error(
        Said("The example of the code has {length} characters, {limit} at most.", "Shorten it."),
        Said("Kod örneği {length} karakter; en çok {limit}.", "Kısaltın."),
    ),
    "flow_missing": error(
        Said("The button opens no flow.", "Give flow_id, flow_name or flow_json."),
        Said("Düğme hiçbir akışı açmıyor.", "flow_id, flow_name ya da flow_json verin."),
    ),
    "button_unknown": error(
        Said("Nobody knows what the button does.", "Say what it does."),
        Said("Düğmenin ne yaptığı belli değil.", "Ne yaptığını yazın."),
    ),
}

_MOST: Final = {"QUICK_REPLY": 10, "URL": 2}
"""Of each other kind there is one at most."""
_BUTTONS: Final = 10
_TEXT: Final = 25
_URL: Final = 2_000
_CODE: Final = 20
_ON_DESKTOP: Final = 3
_WORDED: Final = frozenset({"QUICK_REPLY", "URL", "PHONE_NUMBER", "FLOW", "VOICE_CALL"})
_ALONE: Final = frozenset({"FLOW", "CATALOG", "MPM", "SPM", "OTP"})
_PHONE: Final = re.compile(r"\+?[\d ()-]{5,20}")
_SHORTENERS: Final = frozenset(
    {
        *("bit.ly", "bl.ink", "buff.ly", "cutt.ly", "goo.gl", "is.gd", "lnkd.in", "ow.ly"),
        *("rb.gy", "rebrand.ly", "s.id", "shorturl.at", "t.co", "t.ly", "tiny.cc", "tinyurl.com"),
        *("urlz.fr", "v.gd"),
    }
)
_WHATSAPP: Final = ("wa.me", "whatsapp.com")
_HOST_VARIABLE: Final = re.compile(r"https?://[^/?#]*\{\{", re.IGNORECASE)


def check(buttons: Sequence[Mapping[str, Any]], where: str) -> Iterator[Broken]:
    """Of the buttons of a message or of a card; `where` they stand."""
    field, kinds = f"{where}.buttons", [kind(one) for one in buttons]
    if len(buttons) > _BUTTONS:
        yield broken("too_many_buttons", field, count=len(buttons), limit=_BUTTONS)
    yield from check_count(buttons, field)
    for what in dict.fromkeys(kinds):
        if what in _ALONE and set(kinds) != {what}:
            yield broken("button_alone", field, kind=what)
    replies = [place for place, what in enumerate(kinds) if what == "QUICK_REPLY"]
    if replies and replies[-1] - replies[0] >= len(replies):
        yield broken("quick_replies_apart", field)
    if len(buttons) > _ON_DESKTOP or 0 < len(replies) < len(buttons):
        yield broken("desktop_hidden", field)
    said: set[str] = set()
    for place, one in enumerate(buttons):
        yield from _button(one, f"{field}[{place}]", said)


def check_count(buttons: Sequence[Mapping[str, Any]], field: str) -> Iterator[Broken]:
    """Whether there are more of a kind than Meta takes."""
    for what, count in Counter(kind(one) for one in buttons).items():
        if what and count > (limit := _MOST.get(what, 1)):
            yield broken("too_many_of_kind", field, kind=what, count=count, limit=limit)


def _button(button: Mapping[str, Any], field: str, said: set[str]) -> Iterator[Broken]:
    what, label = kind(button), text(button, "text").strip()
    if not label and what in _WORDED:
        yield broken("button_text_missing", f"{field}.text")
    if len(label) > _TEXT:
        yield broken("button_text_too_long", f"{field}.text", length=len(label), limit=_TEXT)
    if any(one.search(label) for one in (BRACES, EMOJI, FORMATTING)):
        yield broken("button_text_formatting", f"{field}.text")
    if label and label.casefold() in said:
        yield broken("button_text_repeated", f"{field}.text", text=label[:_TEXT])
    said.add(label.casefold())
    match what:
        case "":
            yield broken("button_unknown", field)
        case "URL":
            yield from _url(button, f"{field}.url")
        case "PHONE_NUMBER" if not _PHONE.fullmatch(text(button, "phone_number")):
            yield broken("phone_number_invalid", f"{field}.phone_number")
        case "COPY_CODE":
            yield from _code(button, f"{field}.copy_code_example")
        case "FLOW" if not button.keys() & {"flow_id", "flow_name", "flow_json"}:
            yield broken("flow_missing", f"{field}.flow")


def _url(button: Mapping[str, Any], field: str) -> Iterator[Broken]:
    url = text(button, "url")
    host = _host(url)
    if not host:
        yield broken("url_invalid", f"{field}.url")
    elif _HOST_VARIABLE.match(url):
        yield broken("url_host_variable", f"{field}.url")
    if url.startswith("http://"):
        yield broken("url_insecure", f"{field}.url")
    if len(url) > _URL:
        yield broken("url_too_long", f"{field}.url", length=len(url), limit=_URL)
    if host in _SHORTENERS:
        yield broken("url_shortened", f"{field}.url", host=host)
    if any(host == one or host.endswith(f".{one}") for one in _WHATSAPP):
        yield broken("url_whatsapp", f"{field}.url")
    url = url[:_URL]
    variables = BRACES.findall(url)
    if "{{" not in url and "}}" not in url:
        return
    if len(variables) != 1 or not url.endswith("}}") or "{{" in BRACES.sub("", url):
        yield broken("url_variable", f"{field}.url")
    if not "".join(texts(button.get("example"))).strip():
        yield broken("url_example_missing", f"{field}.example")


def _host(url: str) -> str:
    """Empty when it is no address of the web."""
    try:
        parts = urlsplit(BRACES.sub("x", url))
        host = parts.hostname or ""
    except ValueError:
        return ""
    whole = parts.scheme in {"http", "https"} and not re.search(r"\s", url)
    return host.removeprefix("www.") if whole else ""


def _code(button: Mapping[str, Any], field: str) -> Iterator[Broken]:
    example = "".join(texts(button.get("example"))).strip()
    if not example:
        yield broken("code_example_missing", field)
    if len(example) > _CODE:
        yield broken("code_too_long", field, length=len(example), limit=_CODE)
