"""Buttons of templates. Pure."""

import re
from typing import Any, Literal, NamedTuple

from simulator.templates.texts import format_fault, too_long, without_variables

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
    if kind == "URL":
        _check_url(url, given)
    if kind == "PHONE_NUMBER" and not _PHONE.fullmatch(str(given.get("phone_number", ""))):
        raise format_fault("buttons: phone_number has 20 characters at most, with country code.")
    if kind == "COPY_CODE" and not given.get("example"):
        raise format_fault("buttons: an example of the code is required.")
    if kind == "OTP" and str(given.get("otp_type", "")).upper() not in _OTP_TYPES:
        raise format_fault(f"buttons: otp_type must be one of {', '.join(_OTP_TYPES)}.")
    return Button(kind, text, url)


def _check_url(url: str, given: dict[str, Any]) -> None:
    fixed = without_variables(url)
    if not url.startswith(("https://", "http://")) or len(url) > 2000:
        raise format_fault("buttons: url must be a web address of at most 2000.")
    if url.count("{{") > 1 or ("{{" in url and not url.endswith("}}")) or "{{" in fixed:
        raise format_fault("buttons: url has one variable at most, at its end.")
    if "wa.me/" in url or "whatsapp.com/" in url:
        raise format_fault("buttons: url may not lead back to WhatsApp.")
    if "{{" in url and not given.get("example"):
        raise format_fault("buttons: an example of the whole url is required.")
