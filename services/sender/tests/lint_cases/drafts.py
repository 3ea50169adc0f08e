"""Templates of every category that break no rule, unless they are told to."""

from typing import Any

from services.sender.templates.draft import Draft
from services.sender.tests.templates import (
    body,
    buttons,
    card,
    draft,
    footer,
    link,
    media,
    otp,
)

Case = tuple[str, Draft, str, Draft]
"""Rule, what breaks it, where, and what is next to that and keeps it."""


def named(text: str, **examples: str) -> dict[str, Any]:
    given = [{"param_name": name, "example": one} for name, one in examples.items()]
    return {"type": "BODY", "text": text, "example": {"body_text_named_params": given}}


def code(*parts: dict[str, Any], **more: Any) -> Draft:
    """An authentication template."""
    whole = parts or (ADVICE, buttons(otp()))
    return draft(*whole, category="AUTHENTICATION", name="kod", **more)


def expires(minutes: Any) -> dict[str, Any]:
    return {"type": "FOOTER", "code_expiration_minutes": minutes}


def pressed(url: str) -> dict[str, Any]:
    return buttons(link(f"https://shop.example/{url}"))


def utility(*parts: dict[str, Any], **more: Any) -> Draft:
    return draft(*(parts or (body(),)), category="UTILITY", **more)


ADVICE = {"type": "BODY", "add_security_recommendation": True}
APP = {"package_name": "com.example.shop", "signature_hash": "K8a/AINcGX7"}
PHONE = {"type": "PHONE_NUMBER", "text": "Ara", "phone_number": "+902121234567"}
COPY = {"type": "COPY_CODE", "example": "YAZ20"}
FLOW = {"type": "FLOW", "text": "Doldur", "flow_id": "1"}
CATALOG = {"type": "CATALOG", "text": "Katalog"}
LONG_CARD = card(media(), body("x" * 161), buttons(link()))
DOOR = link("https://shop.example/{{1}}", example=["https://shop.example/x"])
LIBRARY: dict[str, Any] = {"library_name": "delivery_update_1", "category": "UTILITY"}


def pressing(*given: dict[str, Any]) -> Draft:
    return draft(body(), footer(), buttons(*given))
