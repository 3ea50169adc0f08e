"""Whether a send fills its template correctly. Pure.

Raises Refused with Meta's codes: 131008 (missing), 132000 (count), 132005 (too long), 132012
(format), 132018 (text that no parameter may hold).
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from simulator.messages.content import MediaUse, location, media_of
from simulator.refusals import Refused
from simulator.templates.buttons import SUB_TYPES, Button, Tappable
from simulator.templates.definition import Shape, Template
from simulator.templates.texts import without_variables

_UNPRINTABLE = re.compile(r"[\n\t]| {5,}")
_LONGEST_BODY = 32_768
_LONGEST_CODE = 15

Components = list[dict[str, Any]]


class Filled(NamedTuple):
    """A template as a person sees it."""

    tappable: tuple[Tappable, ...]
    media: tuple[MediaUse, ...]


def fill(template: Template, components: Any) -> Filled:
    """Check a send's components against the template."""
    given = _components(components, "template['components']")
    return _fill(template, template.shape, given, "template['components']")


def _fill(template: Template, shape: Shape, components: Components, where: str) -> Filled:
    header = body = offer = carousel = None
    buttons: dict[int, dict[str, Any]] = {}
    for component in components:
        match str(component.get("type", "")).lower():
            case "header":
                header = component
            case "body":
                body = component
            case "button":
                buttons[_index_of(component, shape)] = component
            case "carousel":
                carousel = component
            case "limited_time_offer":
                offer = component
            case other:
                raise Refused(100, f"{where} has a type {other or '(none)'}.")
    media = _fill_header(template, shape, header, where)
    _fill_texts("body", shape.body_variables, body, named=template.named)
    _fill_offer(shape, offer)
    tappable = list(_tappables(shape.buttons, buttons))
    if template.category == "AUTHENTICATION":
        _check_code(body, buttons)
    for filled in _fill_cards(template, shape, carousel):
        tappable += filled.tappable
        media += filled.media
    return Filled(tuple(tappable), media)


def _components(given: Any, where: str) -> Components:
    if given is None:
        return []
    if not isinstance(given, list) or not all(isinstance(c, dict) for c in given):
        raise Refused(100, f"{where} must be a list of objects.")
    return given


def _index_of(component: Mapping[str, Any], shape: Shape) -> int:
    try:
        index = int(component.get("index", ""))
    except (TypeError, ValueError):
        raise Refused(131008, "buttons: index is required.") from None
    if not 0 <= index < len(shape.buttons):
        raise Refused(132012, f"buttons: the template has no button at index {index}.")
    expected = SUB_TYPES.get(shape.buttons[index].type)
    if str(component.get("sub_type", "")).lower() != expected:
        raise Refused(132012, f"buttons: the button at index {index} is not of that sub_type.")
    return index


def _parameters(component: Mapping[str, Any] | None) -> list[dict[str, Any]]:
    if not component:
        return []
    parameters = component.get("parameters", [])
    if not isinstance(parameters, list) or [p for p in parameters if not isinstance(p, dict)]:
        raise Refused(100, "template['components']: parameters must be a list of objects.")
    return parameters


def _fill_header(
    template: Template, shape: Shape, component: Mapping[str, Any] | None, where: str
) -> tuple[MediaUse, ...]:
    expected = shape.header
    if expected is None or expected == "TEXT":
        _fill_texts("header", shape.header_variables, component, named=template.named)
        return ()
    parameters = _parameters(component)
    if not parameters:
        raise Refused(131008, f"header: a parameter of type {expected} is required.")
    received = str(parameters[0].get("type", "")).upper()
    accepted = {"GIF", "IMAGE", "VIDEO"} if expected == "GIF" else {expected}
    kind = received.lower()
    value = parameters[0].get(kind)
    if received not in accepted or not isinstance(value, dict):
        raise Refused(
            132012,
            f"header: Format mismatch, expected {expected}, received {received or 'UNKNOWN'}",
        )
    if kind == "location":
        location(value, f"{where}['header']['location']")
    if kind in {"location", "product"}:
        return ()
    # What is shown like a GIF is a short film
    shown = "video" if kind == "gif" else kind
    return (media_of(shown, f"{where}['header']['{kind}']", value),)


def _fill_texts(
    where: str, variables: tuple[str, ...], component: Mapping[str, Any] | None, *, named: bool
) -> None:
    parameters = _parameters(component)
    if len(parameters) != len(variables):
        raise Refused(
            132000,
            f"{where}: number of localizable_params ({len(parameters)}) does not match the "
            f"expected number of params ({len(variables)})",
        )
    if named and {str(p.get("parameter_name")) for p in parameters} != set(variables):
        raise Refused(132012, f"{where}: parameter_name must name each of the variables once.")
    length = 0
    for parameter in parameters:
        kind = parameter.get("type")
        if kind == "text":
            length += _check_text(where, parameter.get("text"))
        elif kind in ("currency", "date_time"):
            value = parameter.get(kind)
            if not isinstance(value, dict) or not isinstance(value.get("fallback_value"), str):
                raise Refused(131008, f"{where}: a {kind} parameter needs fallback_value.")
        else:
            raise Refused(132012, f"{where}: a parameter of type {kind} is not accepted.")
    if length > _LONGEST_BODY:
        raise Refused(132005, f"{where}: the filled text is longer than {_LONGEST_BODY}.")


def _check_text(where: str, text: Any) -> int:
    if not isinstance(text, str) or not text:
        raise Refused(131008, f"{where}: Parameter of type text is missing text value")
    if _UNPRINTABLE.search(text):
        raise Refused(
            132018,
            f"{where}: Param text cannot have new-line/tab characters or more than 4 "
            "consecutive spaces",
        )
    return len(text)


def _fill_offer(shape: Shape, component: Mapping[str, Any] | None) -> None:
    parameters = _parameters(component)
    if parameters and not shape.limited_offer:
        raise Refused(132012, "limited_time_offer: the template has none.")
    if not shape.expires:
        return
    offer = parameters[0].get("limited_time_offer") if parameters else None
    ends = offer.get("expiration_time_ms") if isinstance(offer, dict) else None
    if not isinstance(ends, int):
        raise Refused(131008, "limited_time_offer: expiration_time_ms is required.")


def _check_code(body: Mapping[str, Any] | None, buttons: Mapping[int, Mapping[str, Any]]) -> None:
    code = _parameters(body)[0].get("text")
    again = _parameters(buttons.get(0))[0].get("text")
    if not isinstance(code, str) or len(code) > _LONGEST_CODE:
        raise Refused(132018, f"body: a code has {_LONGEST_CODE} characters at most.")
    if again != code:
        raise Refused(132012, "buttons: the button's text must be the code of the body.")


def _fill_cards(
    template: Template, shape: Shape, carousel: Mapping[str, Any] | None
) -> Iterator[Filled]:
    if not shape.cards:
        if carousel is not None:
            raise Refused(132012, "carousel: the template has none.")
        return
    cards = _components((carousel or {}).get("cards"), "carousel['cards']")
    if len(cards) != len(shape.cards):
        raise Refused(
            132012, f"carousel: {len(shape.cards)} cards are required, {len(cards)} were given."
        )
    for index, (card, inner) in enumerate(zip(cards, shape.cards, strict=True)):
        where = f"carousel['cards'][{index}]['components']"
        yield _fill(template, inner, _components(card.get("components"), where), where)


def _tappables(
    buttons: tuple[Button, ...], given: Mapping[int, dict[str, Any]]
) -> Iterator[Tappable]:
    for index, button in enumerate(buttons):
        parameters = _parameters(given.get(index))
        if button.needs_parameter and not parameters:
            raise Refused(
                131008, f"Button at index {index} of type {button.type.title()} needs a parameter"
            )
        first = parameters[0] if parameters else {}
        match button.type:
            case "QUICK_REPLY":
                payload = first.get("payload", button.text)
                if not isinstance(payload, str) or not 1 <= len(payload) <= 256:
                    raise Refused(
                        131009, f"Button at index {index}: payload has 1 to 256 characters."
                    )
                yield Tappable("quick_reply", button.text, payload)
            case "URL":
                yield Tappable("url", button.text, _link(index, button, first))
            case "COPY_CODE":
                code = first.get("coupon_code")
                if not isinstance(code, str) or not 1 <= len(code) <= 20:
                    raise Refused(131009, f"Button at index {index}: coupon_code has 1 to 20.")
            case "FLOW" | "CATALOG" | "MPM" | "SPM" | "ORDER_DETAILS" if parameters:
                if not isinstance(first.get("action"), dict):
                    raise Refused(131008, f"Button at index {index}: action is missing.")


def _link(index: int, button: Button, parameter: Mapping[str, Any]) -> str:
    if not button.variable:
        return button.url
    suffix = parameter.get("text")
    if not isinstance(suffix, str) or not suffix:
        raise Refused(131008, f"Button at index {index}: text is missing.")
    # The variable ends the address.
    return without_variables(button.url) + suffix
