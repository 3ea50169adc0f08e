"""Whether values fit a template, before Meta is asked."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple

from merhaba.sender.v1 import (
    TemplateButtonParameter,
    TemplateHeaderParameter,
    TemplateMessage,
    TemplateParameter,
)
from services.sender.failures import ParametersInvalid
from services.sender.model import Template
from services.sender.wording.form import components_of
from services.sender.wording.parts import VARIABLE
from services.sender.wording.taking import CODE

_HEADERS: Final = {
    "IMAGE": frozenset({"image"}),
    "VIDEO": frozenset({"video"}),
    "GIF": frozenset({"gif"}),
    "DOCUMENT": frozenset({"document"}),
    "LOCATION": frozenset({"location"}),
    "PRODUCT": frozenset({"product"}),
}
_TEXT: Final = frozenset({"text"})
_VALUES: Final = frozenset({"text", "currency", "date_time"})
_BUTTONS: Final = {
    "QUICK_REPLY": "quick_reply_payload",
    "URL": "url_suffix",
    "OTP": "url_suffix",
    "COPY_CODE": "coupon_code",
    "FLOW": "flow",
    "CATALOG": "catalog",
    "MPM": "products",
    "ORDER_DETAILS": "order_details_json",
    "VOICE_CALL": "voice_call",
}
_NEEDED: Final = frozenset({"OTP", "COPY_CODE", "MPM", "ORDER_DETAILS"})


class _Wanted(NamedTuple):
    """What a variable may be filled with."""

    kinds: frozenset[str]
    required: bool


def fit(template: Template, message: TemplateMessage) -> None:
    """Raises ParametersInvalid, naming the variable, when the values do not fit."""

    def unfit(variable: str, problem: str) -> ParametersInvalid:
        return ParametersInvalid(
            f"{variable}: {problem}",
            template_name=template.name,
            language=template.language,
            variable=variable,
            problem=problem,
        )

    wanted = dict(_wanted(components_of(template), template.category, ""))
    given = dict(_given(message))
    for variable, want in wanted.items():
        if want.required and variable not in given:
            raise unfit(variable, f"missing; give {' or '.join(sorted(want.kinds))}")
    for variable, kind in given.items():
        if variable not in wanted:
            raise unfit(variable, "the template has no such variable")
        if kind not in wanted[variable].kinds:
            kinds = " or ".join(sorted(wanted[variable].kinds))
            raise unfit(variable, f"is {kind}; the template takes {kinds}")
    if message.header.HasField("text") and template.named != bool(message.header.text.name):
        problem = "give its name" if template.named else "has no name in this template"
        raise unfit("header", problem)
    if template.category.upper() == "AUTHENTICATION":
        for parameter in message.body:
            if len(parameter.text) > CODE:
                raise unfit("body.1", f"a code has at most {CODE} characters")


def _wanted(
    components: Sequence[Mapping[str, Any]], category: str, prefix: str
) -> Iterator[tuple[str, _Wanted]]:
    for component in components:
        text = component.get("text") or ""
        match str(component.get("type", "")).upper():
            case "HEADER":
                kind = str(component.get("format", "TEXT")).upper()
                if kinds := _HEADERS.get(kind):
                    yield f"{prefix}header", _Wanted(kinds, True)
                elif VARIABLE.search(text):
                    yield f"{prefix}header", _Wanted(_TEXT, True)
            case "BODY" if category.upper() == "AUTHENTICATION":
                yield f"{prefix}body.1", _Wanted(_TEXT, True)
            case "BODY":
                for name in VARIABLE.findall(text):
                    yield f"{prefix}body.{name}", _Wanted(_VALUES, True)
            case "BUTTONS":
                for index, button in enumerate(component.get("buttons", ())):
                    if found := _button(button):
                        yield f"{prefix}button.{index}", found
            case "LIMITED_TIME_OFFER":
                offer = component.get("limited_time_offer") or {}
                ends = bool(offer.get("has_expiration"))
                yield "offer_expire_time", _Wanted(frozenset({"time"}), ends)
            case "CAROUSEL":
                for index, card in enumerate(component.get("cards", ())):
                    parts = card.get("components", ())
                    yield from _wanted(parts, category, f"card.{index}.")


def _button(button: Mapping[str, Any]) -> _Wanted | None:
    kind = str(button.get("type", "")).upper()
    if kind not in _BUTTONS or (kind == "URL" and "{{" not in button.get("url", "")):
        return None
    return _Wanted(frozenset({_BUTTONS[kind]}), kind in _NEEDED or kind == "URL")


def _given(message: TemplateMessage) -> Iterator[tuple[str, str]]:
    yield from _parts(message.header, message.body, message.buttons, "")
    for card in message.cards:
        yield from _parts(card.header, card.body, card.buttons, f"card.{card.card_index}.")
    if message.HasField("offer_expire_time"):
        yield "offer_expire_time", "time"


def _parts(
    header: TemplateHeaderParameter,
    body: Sequence[TemplateParameter],
    buttons: Sequence[TemplateButtonParameter],
    prefix: str,
) -> Iterator[tuple[str, str]]:
    if kind := header.WhichOneof("value"):
        yield f"{prefix}header", kind
    for place, parameter in enumerate(body, 1):
        name = parameter.name or str(place)
        yield f"{prefix}body.{name}", parameter.WhichOneof("value") or "nothing"
    for button in buttons:
        yield f"{prefix}button.{button.index}", button.WhichOneof("value") or "nothing"
