"""Components of templates: the blanks of each, and how Meta wants them filled. Pure."""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple

VARIABLE: Final = re.compile(r"\{\{\s*([a-z0-9_]+)\s*\}\}")
"""A variable in a text of a template: its position or its name."""
BODY: Final = 1_024
"""Characters of a body, its variables filled in, at most."""
OFFER_BODY: Final = 600
CARD_BODY: Final = 160
HEADER: Final = 60
_MEDIA: Final = frozenset({"IMAGE", "VIDEO", "GIF", "DOCUMENT"})

Values = Mapping[str, Any]
"""By variable, as they stand in Meta's JSON."""
Make = Callable[[Values], dict[str, Any] | None]
"""A component of a message; None when it has nothing to say."""


class Blank(NamedTuple):
    """A variable of a template."""

    variable: str
    """`header`, `body.1`, `body.first_name`, `button.0`, `card.2.body.1`, `offer_expire_time`."""
    kind: str
    """One of `taking.TAKES`."""
    required: bool = True


class Text(NamedTuple):
    """A text with variables, and how long it may become."""

    variable: str
    fixed: int
    """Characters that are always in it."""
    uses: Mapping[str, int]
    """How often it has each variable."""
    most: int


class Part(NamedTuple):
    """A component of a template."""

    blanks: Sequence[Blank]
    make: Make
    texts: Sequence[Text] = ()


def kind_of(component: Mapping[str, Any]) -> str:
    """`HEADER`, `BODY`, …"""
    return str(component.get("type", "")).upper()


def parts(
    components: Sequence[Mapping[str, Any]], *, code: bool, prefix: str = ""
) -> Iterator[Part]:
    """What of a template is to be filled. `code`: it is one of authentication."""
    most = CARD_BODY if prefix else BODY
    if any(kind_of(component) == "LIMITED_TIME_OFFER" for component in components):
        most = OFFER_BODY
    for component in components:
        match kind_of(component):
            case "HEADER":
                yield from _header(component, f"{prefix}header")
            case "BODY" if code:
                yield _code(f"{prefix}body.1")
            case "BODY":
                yield from _body(component, f"{prefix}body", most)
            case "BUTTONS":
                for index, button in enumerate(component.get("buttons", ())):
                    yield from _button(button, index, prefix)
            case "LIMITED_TIME_OFFER":
                yield _offer(component.get("limited_time_offer") or {})
            case "CAROUSEL":
                yield _carousel(component.get("cards", ()))


def _text(value: str, name: str = "") -> dict[str, str]:
    parameter = {"type": "text", "text": value}
    return {**parameter, "parameter_name": name} if name else parameter


def _name(variable: str) -> str:
    """What Meta calls a parameter; empty when its place says which it is."""
    return "" if variable.isdecimal() else variable


def _length(variable: str, text: str, names: Mapping[str, str], most: int) -> Text:
    uses = [names[found[1]] for found in VARIABLE.finditer(text)]
    return Text(variable, len(VARIABLE.sub("", text)), {n: uses.count(n) for n in uses}, most)


def _header(component: Mapping[str, Any], at: str) -> Iterator[Part]:
    kind = str(component.get("format", "TEXT")).upper()
    text = component.get("text") or ""

    def header(parameter: dict[str, Any]) -> dict[str, Any]:
        return {"type": "header", "parameters": [parameter]}

    if kind in _MEDIA:
        name = kind.lower()
        title = Blank(f"{at}.filename", "filename", required=False)

        def media(values: Values) -> dict[str, Any]:
            shown = values[at]
            if kind == "DOCUMENT" and (filename := values.get(title.variable)):
                shown = {**shown, "filename": filename}
            return header({"type": name, name: shown})

        titled = [title] if kind == "DOCUMENT" else []
        yield Part([Blank(at, "media"), *titled], media)
    elif kind == "LOCATION":
        blanks = [Blank(f"{at}.latitude", "latitude"), Blank(f"{at}.longitude", "longitude")]
        blanks += [Blank(f"{at}.{name}", "label", required=False) for name in ("name", "address")]
        yield _object("location", blanks, header)
    elif kind == "PRODUCT":
        ids = [Blank(f"{at}.{name}", "id") for name in ("catalog_id", "product_retailer_id")]
        yield _object("product", ids, header)
    elif found := VARIABLE.findall(text):
        name = _name(found[0])
        length = _length(at, text, dict.fromkeys(found, at), HEADER)
        yield Part([Blank(at, "text")], lambda values: header(_text(values[at], name)), [length])


def _object(kind: str, blanks: Sequence[Blank], header: Callable[[Any], dict[str, Any]]) -> Part:
    fields = {blank.variable: blank.variable.rpartition(".")[2] for blank in blanks}

    def make(values: Values) -> dict[str, Any]:
        filled = {field: values[name] for name, field in fields.items() if name in values}
        return header({"type": kind, kind: filled})

    return Part(blanks, make)


def _code(variable: str) -> Part:
    return Part(
        [Blank(variable, "code")],
        lambda values: {"type": "body", "parameters": [_text(values[variable])]},
    )


def _body(component: Mapping[str, Any], at: str, most: int) -> Iterator[Part]:
    text = component.get("text") or ""
    names = list(dict.fromkeys(VARIABLE.findall(text)))
    if not names:
        return
    if all(map(str.isdecimal, names)):
        names.sort(key=int)
    variables = [(f"{at}.{name}", _name(name)) for name in names]

    def make(values: Values) -> dict[str, Any]:
        return {
            "type": "body",
            "parameters": [_text(values[variable], name) for variable, name in variables],
        }

    length = _length(at, text, {name: f"{at}.{name}" for name in names}, most)
    yield Part([Blank(variable, "text") for variable, _ in variables], make, [length])


def _button(button: Mapping[str, Any], index: int, prefix: str) -> Iterator[Part]:
    at = f"{prefix}button.{index}"

    def filled(sub_type: str, parameter: dict[str, Any]) -> dict[str, Any]:
        return {
            "type": "button",
            "sub_type": sub_type,
            "index": str(index),
            "parameters": [parameter],
        }

    def one(kind: str, sub_type: str, of: Callable[[Any], dict[str, Any]], need: bool) -> Part:
        return Part(
            [Blank(at, kind, need)],
            lambda values: filled(sub_type, of(values[at])) if at in values else None,
        )

    def action(sub_type: str, fields: Mapping[str, Blank]) -> Part:
        def make(values: Values) -> dict[str, Any] | None:
            said = {n: values[b.variable] for n, b in fields.items() if b.variable in values}
            return filled(sub_type, {"type": "action", "action": said}) if said else None

        return Part([*fields.values()], make)

    match kind_of(button):
        case "QUICK_REPLY":
            yield one("payload", "quick_reply", lambda v: {"type": "payload", "payload": v}, False)
        case "URL" if "{{" in button.get("url", ""):
            yield one("suffix", "url", _text, True)
        case "OTP":  # the code once more, unless it is given by itself
            yield Part(
                [Blank(at, "code", required=False)],
                lambda values: (
                    filled("url", _text(code))
                    if (code := values.get(at) or values.get("body.1"))
                    else None
                ),
            )
        case "COPY_CODE":
            yield one(
                "coupon", "copy_code", lambda v: {"type": "coupon_code", "coupon_code": v}, True
            )
        case "FLOW":
            token, data = Blank(at, "token", False), Blank(f"{at}.data", "record", False)
            yield action("flow", {"flow_token": token, "flow_action_data": data})
        case "CATALOG":
            yield action("catalog", {"thumbnail_product_retailer_id": Blank(at, "id", False)})
        case "MPM":
            thumbnail, shown = Blank(at, "id"), Blank(f"{at}.sections", "sections")
            fields = {"thumbnail_product_retailer_id": thumbnail, "sections": shown}
            yield action("mpm", fields)
        case "ORDER_DETAILS":
            yield action("order_details", {"order_details": Blank(at, "record")})


def _offer(offer: Mapping[str, Any]) -> Part:
    at = "offer_expire_time"

    def make(values: Values) -> dict[str, Any] | None:
        if at not in values:
            return None
        ends = {"expiration_time_ms": values[at]}
        parameter = {"type": "limited_time_offer", "limited_time_offer": ends}
        return {"type": "limited_time_offer", "parameters": [parameter]}

    return Part([Blank(at, "time", bool(offer.get("has_expiration")))], make)


def _carousel(cards: Sequence[Mapping[str, Any]]) -> Part:
    inner = [
        [*parts(card.get("components", ()), code=False, prefix=f"card.{index}.")]
        for index, card in enumerate(cards)
    ]

    def make(values: Values) -> dict[str, Any]:
        return {
            "type": "carousel",
            "cards": [
                {
                    "card_index": index,
                    "components": [made for part in card if (made := part.make(values))],
                }
                for index, card in enumerate(inner)
            ],
        }

    filled = [part for card in inner for part in card]
    return Part(
        [blank for part in filled for blank in part.blanks],
        make,
        [text for part in filled for text in part.texts],
    )
