"""Values that do not fit a template are refused before Meta is asked, naming the variable."""

from typing import Any

import msgspec
import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from merhaba.sender.v1 import (
    Attachment,
    TemplateButtonParameter,
    TemplateCardParameters,
    TemplateHeaderParameter,
    TemplateMessage,
    TemplateParameter,
)
from services.sender.failures import ParametersInvalid
from services.sender.model import Template
from services.sender.wording.fitting import fit

IMAGE = TemplateHeaderParameter(image=Attachment(media_id="1"))


def template(*components: Any, category: str = "MARKETING") -> Template:
    return Template(
        template_id="1",
        waba_id="1",
        name="t",
        language="tr",
        category=category,
        effective_category=category,
        announced_category="",
        announced_time=0,
        state="APPROVED",
        state_reason="",
        state_detail="",
        named=False,
        components=msgspec.json.encode(components),
        create_time=0,
        update_time=0,
    )


def body(text: str) -> dict[str, Any]:
    return {"type": "BODY", "text": text}


def having(*texts: str, **more: Any) -> TemplateMessage:
    parameters = [TemplateParameter(text=text) for text in texts]
    return TemplateMessage(name="t", language="tr", body=parameters, **more)


HEADER = {"type": "HEADER", "format": "IMAGE"}
HEADING = {"type": "HEADER", "format": "TEXT", "text": "Selam {{1}}"}
URL = {"type": "URL", "text": "Aç", "url": "https://example.com/{{1}}"}
PLAIN_URL = {"type": "URL", "text": "Aç", "url": "https://example.com"}
REPLY = {"type": "QUICK_REPLY", "text": "Evet"}
COPY = {"type": "COPY_CODE", "example": "X"}
OTP = {"type": "OTP", "otp_type": "COPY_CODE"}
CARDS = {
    "type": "CAROUSEL",
    "cards": [{"components": [HEADER, {"type": "BUTTONS", "buttons": [URL]}]}] * 2,
}
OFFER = {"type": "LIMITED_TIME_OFFER", "limited_time_offer": {"text": "x", "has_expiration": True}}


def pressing(*buttons: dict[str, Any]) -> dict[str, Any]:
    return {"type": "BUTTONS", "buttons": list(buttons)}


def link(index: int = 0) -> TemplateButtonParameter:
    return TemplateButtonParameter(index=index, url_suffix="a")


def heading(text: str, name: str = "") -> TemplateHeaderParameter:
    return TemplateHeaderParameter(text=TemplateParameter(text=text, name=name))


def cards(*indexes: int) -> list[TemplateCardParameters]:
    return [TemplateCardParameters(card_index=i, header=IMAGE, buttons=[link()]) for i in indexes]


@pytest.mark.parametrize(
    ("known", "given"),
    [
        (template(body("Selam")), having()),
        (template(body("{{1}} {{2}}")), having("a", "b")),
        (
            template(body("{{name}}")),
            TemplateMessage(body=[TemplateParameter(name="name", text="a")]),
        ),
        (template(HEADER, body("x")), having(header=IMAGE)),
        (template(body("x"), pressing(PLAIN_URL, URL)), having(buttons=[link(1)])),
        (template(body("x"), pressing(REPLY)), having()),
        (
            template(body("x"), pressing(REPLY)),
            having(buttons=[TemplateButtonParameter(quick_reply_payload="p")]),
        ),
        (
            template(body("x"), pressing(COPY)),
            having(buttons=[TemplateButtonParameter(coupon_code="YAZ20")]),
        ),
        (template(HEADING, body("x")), having(header=heading("a"))),
        (template(body("x"), CARDS), having(cards=cards(0, 1))),
        (template(body("x"), OFFER), having(offer_expire_time=Timestamp(seconds=1))),
        (
            template({"type": "BODY"}, pressing(OTP), category="AUTHENTICATION"),
            having("123456", buttons=[link()]),
        ),
    ],
)
def test_what_fits_passes(known: Template, given: TemplateMessage) -> None:
    fit(known, given)


@pytest.mark.parametrize(
    ("known", "given", "variable"),
    [
        (template(body("{{1}} {{2}}")), having("a"), "body.2"),
        (template(body("{{1}}")), having("a", "b"), "body.2"),
        (template(body("{{name}}")), having("a"), "body.name"),
        (template(HEADER, body("x")), having(), "header"),
        (
            template(HEADER, body("x")),
            having(header=TemplateHeaderParameter(video=Attachment(media_id="1"))),
            "header",
        ),
        (template(body("x")), having(header=IMAGE), "header"),
        (template(body("x"), pressing(URL)), having(), "button.0"),
        (template(body("x"), pressing(PLAIN_URL)), having(buttons=[link()]), "button.0"),
        (template(body("x"), pressing(COPY)), having(buttons=[link()]), "button.0"),
        (template(body("x"), pressing(COPY)), having(), "button.0"),
        (template(HEADING, body("x")), having(header=heading("a", name="ad")), "header"),
        (template(body("x"), CARDS), having(cards=cards(0)), "card.1.header"),
        (template(body("x"), CARDS), having(cards=cards(0, 1, 2)), "card.2.header"),
        (template(body("x"), OFFER), having(), "offer_expire_time"),
        (
            template({"type": "BODY"}, pressing(OTP), category="AUTHENTICATION"),
            having("1" * 16, buttons=[link()]),
            "body.1",
        ),
    ],
)
def test_what_does_not_fit_is_named(known: Template, given: TemplateMessage, variable: str) -> None:
    with pytest.raises(ParametersInvalid) as refused:
        fit(known, given)
    assert refused.value.facts["variable"] == variable
    assert refused.value.facts["template_name"] == "t"
