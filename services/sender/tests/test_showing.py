"""What a person sees of a message, in words."""

from typing import Any

import pytest

from services.sender.tests.test_words import HOUR, NOW, body, buttons, header, template
from services.sender.wording.form import Form
from services.sender.wording.showing import Header, bubble, examples, lines


def shown(values: dict[str, Any], *components: dict[str, Any], **changes: Any) -> Any:
    return bubble(Form(template(*components, **changes)), values, NOW, "Europe/Istanbul")


def test_values_stand_in_their_texts_and_what_has_none_keeps_its_name() -> None:
    found = shown(
        {"header": "Ayşe", "body.1": "12"},
        header("TEXT", text="Selam {{1}}!"),
        body("{{1}} puan, {{2}} gün."),
        {"type": "FOOTER", "text": "DUR"},
    )
    assert lines(found).splitlines() == ["Selam Ayşe!", "12 puan, {{2}} gün.", "DUR"]
    assert found.time == "17:13"
    named = shown({"body.first_name": "Ece"}, body("Merhaba {{first_name}}."), named=True)
    assert named.body == "Merhaba Ece."


@pytest.mark.parametrize(
    ("language", "text", "button"),
    [
        ("tr", "*123456* doğrulama kodunuzdur. Güvenliğiniz için", "Kodu kopyala"),
        ("en_US", "*123456* is your verification code. For your security", "Copy code"),
        ("fr", "*123456* is your verification code.", "Copy code"),
    ],
)
def test_what_whatsapp_writes_itself_is_in_the_language(
    language: str, text: str, button: str
) -> None:
    found = shown(
        {"body.1": "123456"},
        {"type": "BODY", "add_security_recommendation": True},
        {"type": "FOOTER", "code_expiration_minutes": 5},
        buttons({"type": "OTP", "otp_type": "COPY_CODE"}),
        language=language,
        category="AUTHENTICATION",
    )
    assert found.body.startswith(text)
    assert "5" in found.footer
    assert found.buttons[0].text == button


@pytest.mark.parametrize(
    ("ends", "told"), [(NOW + 3 * HOUR, "3 saat sonra bitiyor"), (NOW - 1, "Süresi doldu")]
)
def test_an_offer_says_how_long_it_lasts_and_its_code(ends: int, told: str) -> None:
    offer = {"text": "Son saatler", "has_expiration": True}
    found = shown(
        {"offer_expire_time": ends, "button.1": "YAZ50"},
        {"type": "LIMITED_TIME_OFFER", "limited_time_offer": offer},
        body("x"),
        buttons({"type": "URL", "text": "Aç"}, {"type": "COPY_CODE"}),
    )
    assert lines(found).splitlines() == [
        f"Son saatler · {told} · Kod: YAZ50",
        "x",
        "[Aç]",
        "[Teklif kodunu kopyala]",
    ]


def test_headers_of_every_kind_have_words() -> None:
    place = {"header.latitude": 40.99, "header.longitude": 29.02}
    for values, one, text in (
        ({"header": {"link": "https://a.example/f.pdf"}}, header("DOCUMENT"), "[document]"),
        (
            {"header": {"id": "1"}, "header.filename": "a.pdf"},
            header("DOCUMENT"),
            "[document: a.pdf]",
        ),
        (place, header("LOCATION"), "[location: 40.9900, 29.0200]"),
        ({**place, "header.name": "Kadıköy"}, header("LOCATION"), "[location: Kadıköy]"),
        ({"header.product_retailer_id": "sku"}, header("PRODUCT"), "[product: sku]"),
    ):
        assert lines(shown(values, one, body("x"))) == f"{text}\nx"
    found = shown({"header": {"link": "https://a.example/1.jpg"}}, header("IMAGE"), body("x"))
    assert found.header == Header("image", source="https://a.example/1.jpg")


def test_a_zone_that_nobody_knows_shows_the_time_of_utc() -> None:
    assert bubble(Form(template(body("x"))), {}, NOW, "Atlantis/Poseidonis").time == "14:13"


def test_cards_follow_the_message() -> None:
    card = {
        "components": [header("IMAGE"), body("{{1}} ₺"), buttons({"type": "URL", "text": "Al"})]
    }
    found = shown(
        {"card.0.body.1": "10", "card.1.body.1": "20"},
        body("Seçtiklerimiz"),
        {"type": "CAROUSEL", "cards": [card, card]},
    )
    told = ["Seçtiklerimiz", "— 1 —", "[image]", "10 ₺", "[Al]", "— 2 —", "[image]", "20 ₺", "[Al]"]
    assert lines(found).splitlines() == told


def test_a_template_shows_its_own_examples() -> None:
    positional = template(
        {**header("TEXT", text="{{1}}"), "example": {"header_text": ["Bahar"]}},
        {**body("{{1}} {{2}}"), "example": {"body_text": [["Ayşe", "12"]]}},
        buttons(
            {"type": "URL", "url": "https://a.example/{{1}}", "example": ["https://a.example/x"]},
            {"type": "COPY_CODE", "example": "YAZ50"},
        ),
    )
    assert examples(Form(positional)) == {
        "header": "Bahar",
        "body.1": "Ayşe",
        "body.2": "12",
        "button.0": "x",
        "button.1": "YAZ50",
    }
    params = [{"param_name": "first_name", "example": "Ece"}]
    named = {**body("{{first_name}}"), "example": {"body_text_named_params": params}}
    assert examples(Form(template(named, named=True))) == {"body.first_name": "Ece"}
