"""The kinds of message a business can send, and their limits. Pure."""

from collections.abc import Mapping
from typing import Any, Literal, NamedTuple

from simulator.refusals import Refused, invalid, missing

MEDIA = ("image", "video", "audio", "document", "sticker")
KINDS = (
    "text", *MEDIA, "location", "contacts", "reaction", "interactive", "template",
)  # fmt: skip


class Choice(NamedTuple):
    """Something a person can pick: a template's quick reply, a reply button, a list row."""

    kind: Literal["button", "button_reply", "list_reply"]
    value: str
    """Payload or id that comes back."""
    title: str
    description: str = ""


class Content(NamedTuple):
    """What a message is to the one who gets it."""

    type: str
    category: str = "service"
    """Pricing category: service, marketing, marketing_lite, utility or authentication."""
    template: str = ""
    language: str = ""
    choices: tuple[Choice, ...] = ()
    links: tuple[str, ...] = ()
    media_id: str = ""


def content_of(body: Mapping[str, Any]) -> Content:
    """Check everything but a template.

    Raises Refused: 131008 (a field is missing), 131009 (its value breaks a limit), 100.
    """
    kind = str(body.get("type", "text"))
    if kind not in KINDS:
        raise Refused(100, f"Param type must be one of {{{', '.join(KINDS).upper()}}}.")
    value = body.get(kind)
    if kind == "contacts":
        if not isinstance(value, list) or not 1 <= len(value) <= 257:
            raise invalid("contacts", "1 to 257 contacts are required.")
        return Content(kind)
    if not isinstance(value, dict):
        raise missing(kind)
    match kind:
        case "text":
            text(value, "text['body']", "body", 4096)
        case "location":
            for coordinate, most in (("latitude", 90), ("longitude", 180)):
                _number(value, coordinate, most)
        case "reaction":
            text(value, "reaction['message_id']", "message_id", 128)
            if not isinstance(value.get("emoji"), str):
                raise missing("reaction['emoji']")
        case "interactive":
            return _interactive(value)
        case "template":
            text(value, "template['name']", "name", 512)
        case _:
            return Content(kind, media_id=_media(kind, value))
    return Content(kind)


def text(
    holder: Mapping[str, Any], field: str, key: str, most: int, *, required: bool = True
) -> str:
    """The text at `key`, of at most `most` characters."""
    value = holder.get(key)
    if value is None or value == "":
        if required:
            raise missing(field)
        return ""
    if not isinstance(value, str):
        raise invalid(field, "must be text.")
    if len(value) > most:
        raise invalid(field, f"length is {len(value)}, at most {most} characters are allowed.")
    return value


def _number(holder: Mapping[str, Any], key: str, most: int) -> None:
    try:
        value = float(holder[key])
    except KeyError:
        raise missing(f"location['{key}']") from None
    except (TypeError, ValueError):
        raise invalid(f"location['{key}']", "must be a number.") from None
    if not -most <= value <= most:
        raise invalid(f"location['{key}']", f"must lie between -{most} and {most}.")


def _media(kind: str, value: Mapping[str, Any]) -> str:
    media_id = text(value, f"{kind}['id']", "id", 128, required=False)
    link = text(value, f"{kind}['link']", "link", 2048, required=False)
    if bool(media_id) == bool(link):
        raise invalid(kind, "exactly one of id and link is required.")
    if link and not link.startswith(("https://", "http://")):
        raise invalid(f"{kind}['link']", "must be a web address.")
    if "caption" in value and kind in {"audio", "sticker"}:
        raise invalid(f"{kind}['caption']", "is not allowed for this type.")
    text(value, f"{kind}['caption']", "caption", 1024, required=False)
    return media_id


def _interactive(value: Mapping[str, Any]) -> Content:
    kind = text(value, "interactive['type']", "type", 64).lower()
    action = value.get("action")
    if not isinstance(action, dict):
        raise missing("interactive['action']")
    bodiless = {"product", "call_permission_request"}
    body = value.get("body") or {}
    if not isinstance(body, dict):
        raise invalid("interactive['body']", "must be an object.")
    longest = 4096 if kind == "list" else 1024
    text(body, "interactive['body']['text']", "text", longest, required=kind not in bodiless)
    footer = value.get("footer") or {}
    if isinstance(footer, dict):
        text(footer, "interactive['footer']['text']", "text", 60, required=False)
    media_id = _header(value.get("header"), kind)
    choices: tuple[Choice, ...] = ()
    links: tuple[str, ...] = ()
    match kind:
        case "button":
            choices = _reply_buttons(action)
        case "list":
            choices = _list_rows(action)
        case "cta_url":
            links = (_cta_url(action),)
        case (
            "location_request_message" | "address_message" | "product" | "product_list"
            | "catalog_message" | "carousel" | "flow" | "call_permission_request" | "voice_call"
            | "request_contact_info" | "order_details" | "order_status"
        ):  # fmt: skip
            pass
        case _:
            raise invalid("interactive['type']", "is not a known type.")
    return Content("interactive", choices=choices, links=links, media_id=media_id)


def _header(header: Any, kind: str) -> str:
    if header is None:
        return ""
    if not isinstance(header, dict):
        raise invalid("interactive['header']", "must be an object.")
    given = str(header.get("type", ""))
    if given == "text":
        text(header, "interactive['header']['text']", "text", 60)
        return ""
    if kind == "list" or given not in {"image", "video", "document"}:
        raise invalid("interactive['header']['type']", f"{given or '(none)'} is not allowed here.")
    value = header.get(given)
    if not isinstance(value, dict):
        raise missing(f"interactive['header']['{given}']")
    return _media(given, value)


def _reply_buttons(action: Mapping[str, Any]) -> tuple[Choice, ...]:
    buttons = action.get("buttons")
    if not isinstance(buttons, list) or not 1 <= len(buttons) <= 3:
        raise invalid("interactive['action']['buttons']", "1 to 3 buttons are required.")
    choices = []
    for index, button in enumerate(buttons):
        where = f"interactive['action']['buttons'][{index}]['reply']"
        reply = button.get("reply") if isinstance(button, dict) else None
        if not isinstance(reply, dict):
            raise missing(where)
        choices.append(
            Choice(
                "button_reply",
                text(reply, f"{where}['id']", "id", 256),
                text(reply, f"{where}['title']", "title", 20),
            )
        )
    _check_unique(choices, "buttons")
    return tuple(choices)


def _list_rows(action: Mapping[str, Any]) -> tuple[Choice, ...]:
    text(action, "interactive['action']['button']", "button", 20)
    sections = action.get("sections")
    if not isinstance(sections, list) or not 1 <= len(sections) <= 10:
        raise invalid("interactive['action']['sections']", "1 to 10 sections are required.")
    choices = []
    for number, section in enumerate(sections):
        where = f"interactive['action']['sections'][{number}]"
        if not isinstance(section, dict) or not isinstance(section.get("rows"), list):
            raise missing(f"{where}['rows']")
        text(section, f"{where}['title']", "title", 24, required=len(sections) > 1)
        for row in section["rows"]:
            if not isinstance(row, dict):
                raise invalid(f"{where}['rows']", "each row must be an object.")
            choices.append(
                Choice(
                    "list_reply",
                    text(row, f"{where}['rows']['id']", "id", 200),
                    text(row, f"{where}['rows']['title']", "title", 24),
                    text(row, f"{where}['rows']['description']", "description", 72, required=False),
                )
            )
    if not 1 <= len(choices) <= 10:
        raise invalid("interactive['action']['sections']", "1 to 10 rows in total are required.")
    _check_unique(choices, "rows")
    return tuple(choices)


def _check_unique(choices: list[Choice], what: str) -> None:
    if len({c.value for c in choices}) != len(choices):
        raise invalid(f"interactive['action'] {what}", "ids must be unique.")


def _cta_url(action: Mapping[str, Any]) -> str:
    parameters = action.get("parameters")
    if not isinstance(parameters, dict):
        raise missing("interactive['action']['parameters']")
    where = "interactive['action']['parameters']"
    text(parameters, f"{where}['display_text']", "display_text", 20)
    url = text(parameters, f"{where}['url']", "url", 2000)
    if not url.startswith(("https://", "http://")):
        raise invalid(f"{where}['url']", "must be a web address.")
    return url
