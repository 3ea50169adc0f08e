"""A template's buttons as the contract has them, and as Meta writes them: both ways, exactly."""

from collections.abc import Mapping
from typing import Any, Final

from google.protobuf.duration_pb2 import Duration

from merhaba.sender.v1 import (
    TemplateButton,
    TemplateFlow,
    TemplateOtp,
    TemplatePlainButton,
    TemplateQuickReply,
    TemplateUrl,
    TemplateVoiceCall,
)
from services.sender.templates.seen import kind, text, texts

_MINUTE_S: Final = 60
_PLAIN: Final = {
    TemplatePlainButton.KIND_CATALOG: "CATALOG",
    TemplatePlainButton.KIND_PRODUCTS: "MPM",
    TemplatePlainButton.KIND_PRODUCT: "SPM",
    TemplatePlainButton.KIND_ORDER_DETAILS: "ORDER_DETAILS",
    TemplatePlainButton.KIND_CONTACT_INFO_REQUEST: "REQUEST_CONTACT_INFO",
}
_PLAIN_BACK: Final = {name: kind for kind, name in _PLAIN.items()}
_OTP: Final = {
    TemplateOtp.KIND_COPY_CODE: "COPY_CODE",
    TemplateOtp.KIND_ONE_TAP: "ONE_TAP",
    TemplateOtp.KIND_ZERO_TAP: "ZERO_TAP",
}
_OTP_BACK: Final = {name: kind for kind, name in _OTP.items()}


def graph_button(button: TemplateButton) -> dict[str, Any]:
    """One of Meta's `buttons`; without a `type` when it does nothing. What marks an opt-out is
    ours: Meta has no word for it."""
    found: dict[str, Any] = {}
    match button.WhichOneof("action"):
        case "quick_reply":
            found = {"type": "QUICK_REPLY"}
        case "url":
            found = {"type": "URL", "url": button.url.url}
            if button.url.example:
                found["example"] = [button.url.example]
        case "phone_number":
            found = {"type": "PHONE_NUMBER", "phone_number": button.phone_number}
        case "copy_code_example":
            found = {"type": "COPY_CODE", "example": button.copy_code_example}
        case "flow":
            found = {"type": "FLOW", **_graph_flow(button.flow)}
        case "otp":
            found = {"type": "OTP", **_graph_otp(button.otp)}
        case "plain" if button.plain.kind in _PLAIN:
            found = {"type": _PLAIN[button.plain.kind]}
        case "voice_call":
            found = {"type": "VOICE_CALL"}
            if button.voice_call.HasField("ttl_duration"):
                found["ttl_minutes"] = button.voice_call.ttl_duration.seconds // _MINUTE_S
    return {**found, "text": button.text} if button.text else found


def _graph_flow(flow: TemplateFlow) -> dict[str, Any]:
    found: dict[str, Any] = {}
    match flow.WhichOneof("flow"):
        case "flow_id":
            found["flow_id"] = flow.flow_id
        case "flow_name":
            found["flow_name"] = flow.flow_name
        case "flow_json":
            found["flow_json"] = flow.flow_json.decode(errors="replace")
    given = {
        "flow_action": flow.flow_action,
        "navigate_screen": flow.screen,
        "icon": flow.icon,
    }
    return found | {key: value for key, value in given.items() if value}


def _graph_otp(otp: TemplateOtp) -> dict[str, Any]:
    found: dict[str, Any] = {}
    if otp.kind in _OTP:
        found["otp_type"] = _OTP[otp.kind]
    if otp.autofill_text:
        found["autofill_text"] = otp.autofill_text
    if otp.zero_tap_terms_accepted:
        found["zero_tap_terms_accepted"] = True
    if otp.apps:
        found["supported_apps"] = [
            {"package_name": app.package_name, "signature_hash": app.signature_hash}
            for app in otp.apps
        ]
    return found


def button_of(seen: Mapping[str, Any]) -> TemplateButton:
    """What one of Meta's `buttons` says; without an action when nobody knows its kind."""
    button = TemplateButton(text=text(seen, "text"))
    what = kind(seen)
    match what:
        case "QUICK_REPLY":
            button.quick_reply.CopyFrom(TemplateQuickReply())
        case "URL":
            url = TemplateUrl(url=text(seen, "url"), example=_example(seen))
            button.url.CopyFrom(url)
        case "PHONE_NUMBER":
            button.phone_number = text(seen, "phone_number")
        case "COPY_CODE":
            button.copy_code_example = _example(seen)
        case "FLOW":
            button.flow.CopyFrom(_flow(seen))
        case "OTP":
            button.otp.CopyFrom(_otp(seen))
        case "VOICE_CALL":
            call, minutes = TemplateVoiceCall(), seen.get("ttl_minutes")
            if isinstance(minutes, int):
                call.ttl_duration.CopyFrom(Duration(seconds=minutes * _MINUTE_S))
            button.voice_call.CopyFrom(call)
        case _ if what in _PLAIN_BACK:
            button.plain.CopyFrom(TemplatePlainButton(kind=_PLAIN_BACK[what]))
    return button


def _flow(seen: Mapping[str, Any]) -> TemplateFlow:
    flow = TemplateFlow(
        flow_action=text(seen, "flow_action"),
        screen=text(seen, "navigate_screen"),
        icon=text(seen, "icon"),
    )
    if "flow_json" in seen:
        flow.flow_json = text(seen, "flow_json").encode()
    elif "flow_name" in seen:
        flow.flow_name = text(seen, "flow_name")
    elif "flow_id" in seen:
        flow.flow_id = str(seen["flow_id"])
    return flow


def _otp(seen: Mapping[str, Any]) -> TemplateOtp:
    apps = seen.get("supported_apps")
    # Once there was one app, written beside the rest
    listed = apps if isinstance(apps, list) else [seen] if "package_name" in seen else []
    return TemplateOtp(
        kind=_OTP_BACK.get(kind(seen, "otp_type"), TemplateOtp.KIND_UNSPECIFIED),
        autofill_text=text(seen, "autofill_text"),
        apps=[
            TemplateOtp.App(
                package_name=text(app, "package_name"), signature_hash=text(app, "signature_hash")
            )
            for app in listed
            if isinstance(app, dict)
        ],
        zero_tap_terms_accepted=seen.get("zero_tap_terms_accepted") is True,
    )


def _example(seen: Mapping[str, Any]) -> str:
    return next(iter(texts(seen.get("example"))), "")
