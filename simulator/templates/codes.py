"""What Meta lists of authentication templates: its own texts, and links for buttons. Pure."""

from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlencode

_WORDS = {
    "tr": (
        "*{{1}}* doğrulama kodunuzdur.",
        " Güvenliğiniz için bu kodu paylaşmayın.",
        "Bu kodun geçerlilik süresi {} dakika sonra dolacaktır.",
        "Kodu kopyala",
    ),
    "en": (
        "*{{1}}* is your verification code.",
        " For your security, do not share this code.",
        "This code expires in {} minutes.",
        "Copy code",
    ),
}
_EXAMPLE = "123456"


def listed(components: Sequence[Mapping[str, Any]], language: str) -> list[dict[str, Any]]:
    """The same as people see it."""
    words = _WORDS["tr" if language.startswith("tr") else "en"]
    return [_listed(part, words) for part in components]


def _listed(part: Mapping[str, Any], words: tuple[str, str, str, str]) -> dict[str, Any]:
    code, advice, expires, label = words
    match str(part.get("type", "")).upper():
        case "BODY":
            advised = part.get("add_security_recommendation") is True
            said = code + (advice if advised else "")
            return {**part, "text": said, "example": {"body_text": [[_EXAMPLE]]}}
        case "FOOTER" if "code_expiration_minutes" in part:
            return {**part, "text": expires.format(part["code_expiration_minutes"])}
        case "BUTTONS":
            return {**part, "buttons": [_link(one, label) for one in part["buttons"]]}
    return dict(part)


def _link(button: Mapping[str, Any], label: str) -> dict[str, Any]:
    told = {"otp_type": str(button.get("otp_type", "")).upper()}
    apps = button.get("supported_apps")
    if isinstance(apps, list) and apps and isinstance(apps[0], dict):
        told |= {"cta_display_name": "Autofill", **apps[0]}
    url = f"https://www.whatsapp.com/otp/code/?{urlencode(told)}&code=otp"
    return {
        "type": "URL",
        "text": button.get("text") or label,
        "url": url + "{{1}}",
        "example": [url + _EXAMPLE],
    }
