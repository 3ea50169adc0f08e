"""Templates of one-time codes: Meta lists what people see of them, not what was submitted. Pure."""

from collections.abc import Mapping, Sequence
from typing import Any, Final
from urllib.parse import parse_qs, urlsplit

from services.sender.templates.seen import kind, mappings, text

_ADDRESS: Final = "/otp/code"
_SEEN: Final = frozenset({"text", "example"})


def with_buttons_of_codes(components: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Of an authentication template: a button that is listed as the link behind it becomes the
    one-time-code button that was asked for, as far as its address tells."""
    return [
        {**part, "buttons": [_asked(one) for one in mappings(part.get("buttons"))]}
        if kind(part) == "BUTTONS"
        else dict(part)
        for part in components
    ]


def _asked(button: Mapping[str, Any]) -> dict[str, Any]:
    address = urlsplit(text(button, "url"))
    told = {name: values[0] for name, values in parse_qs(address.query).items()}
    if kind(button) != "URL" or not address.path.startswith(_ADDRESS) or "otp_type" not in told:
        return dict(button)
    found: dict[str, Any] = {"type": "OTP", "otp_type": told["otp_type"].upper()}
    if label := text(button, "text"):
        found["text"] = label
    if "package_name" in told and "signature_hash" in told:
        app = {"package_name": told["package_name"], "signature_hash": told["signature_hash"]}
        found["supported_apps"] = [app]
    return found


def choices(components: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Of an authentication template what somebody chose and Meta lists: to compare a wish with what
    stands. Texts are Meta's; of apps and terms it tells nothing."""
    found = []
    for part in components:
        one = {key: value for key, value in part.items() if key not in _SEEN}
        if kind(part) == "BUTTONS":
            one["buttons"] = [kind(b, "otp_type") for b in mappings(part.get("buttons"))]
        found.append(one)
    return found
