"""Buttons of templates. Pure."""

import re
from typing import Any, Literal, NamedTuple

from simulator.templates.texts import check_bare, format_fault, too_long, without_variables

# Type: most in one template, and whether it needs text of its own.
_KINDS = {
    "QUICK_REPLY": (10, True),
    "URL": (2, True),
    "PHONE_NUMBER": (1, True),
    "COPY_CODE": (1, False),
    "OTP": (1, False),
    "FLOW": (1, True),
    "CATALOG": (1, False),
    "MPM": (1, False),
    "SPM": (1, False),
    "ORDER_DETAILS": (1, False),
    "VOICE_CALL": (1, True),
    "REQUEST_CONTACT_INFO": (1, False),
}
# What sub_type a send must name for a button of the template; others take no parameters.
SUB_TYPES = {
    "QUICK_REPLY": "quick_reply",
    "URL": "url",
    "OTP": "url",
    "COPY_CODE": "copy_code",
    "FLOW": "flow",
    "CATALOG": "catalog",
    "MPM": "mpm",
    "SPM": "spm",
    "ORDER_DETAILS": "order_details",
    "VOICE_CALL": "voice_call",
}
_OTP_TYPES = ("COPY_CODE", "ONE_TAP", "ZERO_TAP")
_SHORTENERS = frozenset({"bit.ly", "t.co", "tinyurl.com", "goo.gl", "cutt.ly", "is.gd"})
_PHONE = re.compile(r"\+?[\d ()-]{5,20}")


class Button(NamedTuple):
    """A button as the template defines it; `url` holds its variable unfilled."""

    type: str
    text: str
    url: str = ""

    @property
    def variable(self) -> bool:
        return "{{" in self.url

    @property
    def needs_parameter(self) -> bool:
        return self.variable or self.type in {"OTP", "COPY_CODE", "MPM", "ORDER_DETAILS"}


class Tappable(NamedTuple):
    """A button as a person sees it: a quick reply with its payload, or a link."""

    kind: Literal["quick_reply", "url"]
    text: str
    value: str


def buttons_of(given: Any, *, card: bool) -> tuple[Button, ...]:
    """The buttons of a message or of a card. Raises Refused where Meta refuses them."""
    most = 2 if card else 10
    if not isinstance(given, list) or not 1 <= len(given) <= most:
        raise format_fault(f"buttons: 1 to {most} are required.")
    found = tuple(_button(one) for one in given)
    for kind, (limit, _) in _KINDS.items():
        if sum(b.type == kind for b in found) > limit:
            raise format_fault(f"buttons: {limit} of type {kind} at most.")
    texts = [b.text.casefold() for b in found if b.text]
    if len(set(texts)) < len(texts):
        raise format_fault("buttons: each needs a text of its own.")
    replies = [index for index, b in enumerate(found) if b.type == "QUICK_REPLY"]
    if replies and replies[-1] - replies[0] >= len(replies):
        raise format_fault("buttons: quick replies must stand side by side.")
    return found


def _button(given: Any) -> Button:
    if not isinstance(given, dict):
        raise format_fault("buttons: each must be an object.")
    kind, text, url = (str(given.get(key) or "") for key in ("type", "text", "url"))
    kind = kind.upper()
    if kind not in _KINDS:
        raise format_fault(f"buttons: type {kind or '(none)'} is not known.")
    if not text and _KINDS[kind][1]:
        raise format_fault(f"buttons: a {kind} needs text.")
    if len(text) > 25:
        raise too_long("buttons: text", 25)
    if "{{" in text:
        raise format_fault("buttons: text has no variables.")
    check_bare(text, "buttons: text")
    if kind == "URL":
        _check_url(url, given)
    if kind == "PHONE_NUMBER" and not _PHONE.fullmatch(str(given.get("phone_number", ""))):
        raise format_fault("buttons: phone_number has 20 characters at most, with country code.")
    example = given.get("example")
    code = example[0] if isinstance(example, list) and example else example
    if kind == "COPY_CODE" and not 1 <= len(str(code or "")) <= 20:
        raise format_fault("buttons: an example of the code, of 20 at most, is required.")
    if kind == "FLOW" and not given.keys() & {"flow_id", "flow_name", "flow_json"}:
        raise format_fault("buttons: a flow is required.")
    if kind == "OTP":
        _check_otp(given)
    return Button(kind, text, url)


def _check_otp(given: dict[str, Any]) -> None:
    kind = str(given.get("otp_type", "")).upper()
    if kind not in _OTP_TYPES:
        raise format_fault(f"buttons: otp_type must be one of {', '.join(_OTP_TYPES)}.")
    apps = given.get("supported_apps")
    named = given.get("package_name") or (isinstance(apps, list) and 1 <= len(apps) <= 5)
    if kind != "COPY_CODE" and not named:
        raise format_fault("buttons: supported_apps: 1 to 5 are required.")
    if kind == "ZERO_TAP" and given.get("zero_tap_terms_accepted") is not True:
        raise format_fault("buttons: zero_tap_terms_accepted is required.")


def _check_url(url: str, given: dict[str, Any]) -> None:
    fixed = without_variables(url)
    if not url.startswith(("https://", "http://")) or len(url) > 2000:
        raise format_fault("buttons: url must be a web address of at most 2000.")
    if url.count("{{") > 1 or ("{{" in url and not url.endswith("}}")) or "{{" in fixed:
        raise format_fault("buttons: url has one variable at most, at its end.")
    host = url.partition("://")[2].partition("/")[0].lower()
    if host == "wa.me" or host.endswith("whatsapp.com"):
        raise format_fault("buttons: url may not lead back to WhatsApp.")
    if host in _SHORTENERS:
        raise format_fault("buttons: url may not be shortened.")
    if "{{" in url and not given.get("example"):
        raise format_fault("buttons: an example of the whole url is required.")
