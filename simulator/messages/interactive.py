"""Interactive messages, and their limits. Pure."""

from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from simulator.messages.content import (
    Choice,
    Content,
    MediaUse,
    an_object,
    media_of,
    objects,
    optional_object,
    text,
    web_address,
)
from simulator.refusals import invalid, missing

_ACTION = "interactive['action']"
_PARAMETERS = f"{_ACTION}['parameters']"
# Longest body; 0: a body is not required.
_LONGEST_LIST_BODY, _LONGEST_BODY = 4096, 1024
_NO_BODY = frozenset({"product", "call_permission_request"})
_TEXT_HEADER_ONLY = frozenset({"list", "product_list"})
_NO_HEADER = frozenset(
    {"location_request_message", "catalog_message", "product", "carousel", "request_contact_info"}
)


def interactive(value: Mapping[str, Any]) -> Content:
    """Check it; what can be picked and opened in it.

    Raises Refused: 131008 (a field is missing), 131009 (its value breaks a limit).
    """
    kind = text(value, "interactive['type']", "type", 64).lower()
    check = _KINDS.get(kind)
    if check is None:
        raise invalid("interactive['type']", f"{kind} is none of {', '.join(sorted(_KINDS))}.")
    body = optional_object(value, "interactive['body']", "body")
    longest = _LONGEST_LIST_BODY if kind == "list" else _LONGEST_BODY
    text(body, "interactive['body']['text']", "text", longest, required=kind not in _NO_BODY)
    footer = optional_object(value, "interactive['footer']", "footer")
    text(footer, "interactive['footer']['text']", "text", 60, required=False)
    media = _header(value.get("header"), kind)
    content = check(an_object(value, _ACTION, "action"))
    return msgspec.structs.replace(content, media=media)


def _header(header: Any, kind: str) -> tuple[MediaUse, ...]:
    where = "interactive['header']"
    if header is None:
        if kind == "product_list":
            raise missing(where)
        return ()
    if not isinstance(header, dict):
        raise invalid(where, "must be an object.")
    if kind in _NO_HEADER:
        raise invalid(where, f"is not allowed in a message of type {kind}.")
    given = str(header.get("type", ""))
    if given == "text":
        text(header, f"{where}['text']", "text", 60)
        return ()
    if kind in _TEXT_HEADER_ONLY or given not in {"image", "video", "document"}:
        raise invalid(f"{where}['type']", f"{given or '(none)'} is not allowed here.")
    place = f"{where}['{given}']"
    return (media_of(given, place, an_object(header, place, given)),)


def _reply_buttons(action: Mapping[str, Any]) -> Content:
    return Content("interactive", choices=_replies(action, _ACTION))


def _replies(action: Mapping[str, Any], where: str) -> tuple[Choice, ...]:
    choices = []
    for index, button in enumerate(objects(action, f"{where}['buttons']", "buttons", 1, 3)):
        place = f"{where}['buttons'][{index}]['reply']"
        if str(button.get("type", "")).lower() != "reply":
            raise invalid(f"{where}['buttons'][{index}]['type']", "must be reply.")
        reply = an_object(button, place, "reply")
        choices.append(
            Choice(
                "button_reply",
                text(reply, f"{place}['id']", "id", 256),
                text(reply, f"{place}['title']", "title", 20),
            )
        )
    _check_unique(choices, where)
    return tuple(choices)


def _list(action: Mapping[str, Any]) -> Content:
    text(action, f"{_ACTION}['button']", "button", 20)
    sections = objects(action, f"{_ACTION}['sections']", "sections", 1, 10)
    choices = []
    for number, section in enumerate(sections):
        where = f"{_ACTION}['sections'][{number}]"
        text(section, f"{where}['title']", "title", 24, required=len(sections) > 1)
        for row in objects(section, f"{where}['rows']", "rows", 1, 10):
            choices.append(
                Choice(
                    "list_reply",
                    text(row, f"{where}['rows']['id']", "id", 200),
                    text(row, f"{where}['rows']['title']", "title", 24),
                    text(row, f"{where}['rows']['description']", "description", 72, required=False),
                )
            )
    if len(choices) > 10:
        raise invalid(f"{_ACTION}['sections']", "at most 10 rows in total are allowed.")
    _check_unique(choices, _ACTION)
    return Content("interactive", choices=tuple(choices))


def _check_unique(choices: list[Choice], where: str) -> None:
    if len({c.value for c in choices}) != len(choices):
        raise invalid(where, "ids must be unique.")


def _cta_url(action: Mapping[str, Any]) -> Content:
    _named(action, "cta_url")
    return Content("interactive", links=(_link(action, _PARAMETERS),))


def _link(action: Mapping[str, Any], where: str) -> str:
    parameters = an_object(action, where, "parameters")
    text(parameters, f"{where}['display_text']", "display_text", 20)
    return web_address(parameters, f"{where}['url']", "url")


def _named(action: Mapping[str, Any], name: str) -> None:
    if action.get("name") != name:
        raise invalid(f"{_ACTION}['name']", f"must be {name}.")


def _only_named(name: str) -> Callable[[Mapping[str, Any]], Content]:
    def check(action: Mapping[str, Any]) -> Content:
        _named(action, name)
        return Content("interactive")

    return check


def _address(action: Mapping[str, Any]) -> Content:
    _named(action, "address_message")
    parameters = an_object(action, _PARAMETERS, "parameters")
    if parameters.get("country") not in ("IN", "SG"):
        raise invalid(f"{_PARAMETERS}['country']", "must be IN or SG.")
    return Content("interactive")


def _flow(action: Mapping[str, Any]) -> Content:
    _named(action, "flow")
    parameters = an_object(action, _PARAMETERS, "parameters")
    if str(parameters.get("flow_message_version")) != "3":
        raise invalid(f"{_PARAMETERS}['flow_message_version']", "must be 3.")
    if not (parameters.get("flow_id") or parameters.get("flow_name")):
        raise missing(f"{_PARAMETERS}['flow_id']")
    text(parameters, f"{_PARAMETERS}['flow_cta']", "flow_cta", 30)
    if parameters.get("flow_action", "navigate") not in ("navigate", "data_exchange"):
        raise invalid(f"{_PARAMETERS}['flow_action']", "must be navigate or data_exchange.")
    if parameters.get("mode", "published") not in ("draft", "published"):
        raise invalid(f"{_PARAMETERS}['mode']", "must be draft or published.")
    return Content("interactive")


def _product(action: Mapping[str, Any]) -> Content:
    text(action, f"{_ACTION}['catalog_id']", "catalog_id", 128)
    text(action, f"{_ACTION}['product_retailer_id']", "product_retailer_id", 256)
    return Content("interactive")


def _products(action: Mapping[str, Any]) -> Content:
    text(action, f"{_ACTION}['catalog_id']", "catalog_id", 128)
    sections, total = objects(action, f"{_ACTION}['sections']", "sections", 1, 10), 0
    for number, section in enumerate(sections):
        where = f"{_ACTION}['sections'][{number}]"
        text(section, f"{where}['title']", "title", 24, required=len(sections) > 1)
        total += len(objects(section, f"{where}['product_items']", "product_items", 1, 30))
    if total > 30:
        raise invalid(f"{_ACTION}['sections']", "at most 30 products are allowed.")
    return Content("interactive")


def _carousel(action: Mapping[str, Any]) -> Content:
    cards = objects(action, f"{_ACTION}['cards']", "cards", 2, 10)
    choices: list[Choice] = []
    links: list[str] = []
    layouts = set()
    for index, card in enumerate(cards):
        where = f"{_ACTION}['cards'][{index}]"
        kind = text(card, f"{where}['type']", "type", 64)
        inner = an_object(card, f"{where}['action']", "action")
        layouts.add((kind, str(inner.get("name"))))
        if kind == "product":
            text(inner, f"{where}['action']['product_retailer_id']", "product_retailer_id", 256)
            continue
        header = an_object(card, f"{where}['header']", "header")
        if header.get("type") not in ("image", "video"):
            raise invalid(f"{where}['header']['type']", "must be image or video.")
        body = optional_object(card, f"{where}['body']", "body")
        text(body, f"{where}['body']['text']", "text", 160, required=False)
        if "buttons" in inner:
            choices += _quick_replies(inner, f"{where}['action']")
        else:
            links.append(_link(inner, f"{where}['action']['parameters']"))
    if len(layouts) > 1:
        raise invalid(f"{_ACTION}['cards']", "all cards must have the same kind of button.")
    return Content("interactive", choices=tuple(choices), links=tuple(links))


def _quick_replies(action: Mapping[str, Any], where: str) -> list[Choice]:
    found = []
    for index, button in enumerate(objects(action, f"{where}['buttons']", "buttons", 1, 2)):
        place = f"{where}['buttons'][{index}]['quick_reply']"
        reply = an_object(button, place, "quick_reply")
        found.append(
            Choice(
                "button_reply",
                text(reply, f"{place}['id']", "id", 256),
                text(reply, f"{place}['title']", "title", 20),
            )
        )
    return found


def _voice_call(action: Mapping[str, Any]) -> Content:
    _named(action, "voice_call")
    parameters = optional_object(action, _PARAMETERS, "parameters")
    text(parameters, f"{_PARAMETERS}['display_text']", "display_text", 20, required=False)
    text(parameters, f"{_PARAMETERS}['payload']", "payload", 512, required=False)
    minutes = parameters.get("ttl_minutes", 1)
    if type(minutes) is not int or not 1 <= minutes <= 43_200:
        raise invalid(f"{_PARAMETERS}['ttl_minutes']", "must be 1 to 43200.")
    return Content("interactive")


def _order(name: str) -> Callable[[Mapping[str, Any]], Content]:
    def check(action: Mapping[str, Any]) -> Content:
        _named(action, name)
        parameters = an_object(action, _PARAMETERS, "parameters")
        text(parameters, f"{_PARAMETERS}['reference_id']", "reference_id", 60)
        return Content("interactive")

    return check


_KINDS: dict[str, Callable[[Mapping[str, Any]], Content]] = {
    "button": _reply_buttons,
    "list": _list,
    "cta_url": _cta_url,
    "location_request_message": _only_named("send_location"),
    "address_message": _address,
    "product": _product,
    "product_list": _products,
    "catalog_message": _only_named("catalog_message"),
    "carousel": _carousel,
    "flow": _flow,
    "call_permission_request": _only_named("call_permission_request"),
    "voice_call": _voice_call,
    "request_contact_info": _only_named("request_contact_info"),
    "order_details": _order("review_and_pay"),
    "order_status": _order("review_order"),
}
