"""Templates: what may be created, changed and deleted, and how a send fills one."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulator.refusals import Refused

NOW = 1_790_000_000.0
DAY = 86_400
WABA = "1020"
ADA = "905321112233"


def body(text, *examples):
    return {"type": "BODY", "text": text, "example": {"body_text": [list(examples)]}}


def buttons(*given):
    return {"type": "BUTTONS", "buttons": list(given)}


QUICK = {"type": "QUICK_REPLY", "text": "Evet"}
PLAIN = {"type": "URL", "text": "Git", "url": "https://shop.example/"}
PHONE = {"type": "PHONE_NUMBER", "text": "Ara", "phone_number": "+902121112233"}
CODE = {"type": "COPY_CODE", "example": "SALE20"}
OTP = {"type": "OTP", "otp_type": "COPY_CODE", "text": "Kopyala"}
TEXT = body("Merhaba")
ADVICE = {"type": "BODY", "add_security_recommendation": True}
OFFER = {
    "type": "LIMITED_TIME_OFFER",
    "limited_time_offer": {"text": "Son gün", "has_expiration": True},
}


def definition(*components, category="MARKETING", name="made", **more):
    return {
        "name": name,
        "language": "tr",
        "category": category,
        "components": list(components),
        **more,
    }


@pytest.mark.parametrize(
    ("given", "subcode"),
    [
        (definition(TEXT, name="Bad Name"), None),
        (definition(TEXT, category="SPAM"), None),
        (definition(), None),
        (definition(body("")), None),
        (definition(body("x" * 1025)), 2388040),
        (definition(body("{{1}} merhaba", "a")), 2388299),
        (definition(body("merhaba {{1}}", "a")), 2388299),
        (definition(body("a {{1}}{{2}} b", "a", "b")), 2388073),
        (definition(body("a {{1}} {{2}} {{3}} b", "a", "b", "c")), 2388293),
        (definition(body("merhaba {{2}} iyi", "a")), 2388073),
        (definition({"type": "BODY", "text": "merhaba {{1}} iyi"}), 2388073),
        (definition(TEXT, TEXT), 2388073),
        (definition(TEXT, {"type": "HEADER", "format": "TEXT", "text": "x" * 61}), 2388040),
        (definition(TEXT, {"type": "HEADER", "format": "IMAGE"}), 2388073),
        (definition(TEXT, {"type": "FOOTER", "text": "{{1}}"}), 2388073),
        (definition(TEXT, buttons(*[PLAIN] * 3)), 2388073),
        (definition(TEXT, buttons(*[QUICK] * 11)), 2388073),
        (definition(TEXT, buttons(QUICK, PLAIN, QUICK)), 2388073),
        (definition(TEXT, buttons(QUICK | {"text": "x" * 26})), 2388040),
        (definition(TEXT, buttons(PLAIN | {"url": "https://wa.me/1"})), 2388073),
        (definition(TEXT, buttons(PLAIN | {"url": "https://a.example/{{1}}/b"})), 2388073),
        (definition(TEXT, category="AUTHENTICATION"), 2388073),
        (definition(TEXT, message_send_ttl_seconds=60), None),
        (definition(body("merhaba {{1}} ve {{2}} iyi günler", "a")), 2388073),
        (definition(TEXT, {"type": "HEADER", "format": "TEXT", "text": "*Yaz*"}), 2388073),
        (definition(TEXT, {"type": "HEADER", "format": "GIF"}, category="UTILITY"), 2388073),
        (definition(TEXT, buttons(QUICK, QUICK)), 2388073),
        (definition(TEXT, buttons(QUICK | {"text": "Evet 😃"})), 2388073),
        (definition(TEXT, buttons(QUICK | {"text": "{{1}} evet"})), 2388073),
        (definition(TEXT, buttons(PLAIN | {"url": "https://bit.ly/a"})), 2388073),
        (definition(TEXT, buttons(CODE | {"example": "x" * 21})), 2388073),
        (definition(TEXT, buttons({"type": "FLOW", "text": "Doldur"})), 2388073),
        (definition(TEXT, buttons(OTP)), 2388073),
        (definition(TEXT, buttons(OTP), category="AUTHENTICATION"), 2388073),
        (definition(OFFER, body("x" * 601), buttons(PLAIN)), 2388040),
        (definition(OFFER, TEXT, buttons(PLAIN), category="UTILITY"), 2388073),
        (definition(OFFER, TEXT, buttons(QUICK)), 2388073),
        (definition(ADVICE, buttons(OTP, PLAIN), category="AUTHENTICATION"), 2388073),
        (
            definition(ADVICE, buttons(OTP | {"otp_type": "ONE_TAP"}), category="AUTHENTICATION"),
            2388073,
        ),
        (definition(library_template_name="nothing"), None),
    ],
)
def test_what_meta_refuses_to_review_is_refused(small, given, subcode):
    with pytest.raises(Refused) as caught:
        small().account.create(WABA, given, NOW)
    assert (caught.value.code, caught.value.subcode) == (100, subcode)


def test_a_media_header_needs_an_uploaded_sample(small):
    made = small()
    upload = made.world.uploads.begin("1", "image/png", 4)
    assert made.world.uploads.write(upload, 0, b"\x89P") is None
    handle = made.world.uploads.write(upload, 2, b"NG")
    header = {"type": "HEADER", "format": "IMAGE", "example": {"header_handle": [handle]}}
    template = made.approved(definition(TEXT, header))
    assert template.shape.header == "IMAGE"
    header["example"] = {"header_handle": ["4::unknown"]}
    with pytest.raises(Refused):
        made.account.create(WABA, definition(TEXT, header, name="other"), NOW)


def test_what_moves_like_a_gif_is_a_film_of_an_address_or_an_id(small):
    made = small()
    upload = made.world.uploads.begin("1", "video/mp4", 2)
    handle = made.world.uploads.write(upload, 0, b"xx")
    header = {"type": "HEADER", "format": "GIF", "example": {"header_handle": [handle]}}
    made.approved(definition(TEXT, header))

    def sent(kind):
        shown = {"type": kind, kind: {"link": "https://shop.example/a.mp4"}}
        return _sent("made", {"type": "header", "parameters": [shown]})

    made.send(sent("gif"))
    assert made.refusal(sent("document"), NOW + 60) == 132012


def test_what_people_see_of_a_code_is_listed_not_what_was_submitted(small):
    made = small()
    app = {"package_name": "com.example.shop", "signature_hash": "K8a/AINcGX7"}
    one_tap = {"type": "OTP", "otp_type": "ONE_TAP", "supported_apps": [app]}
    expires = {"type": "FOOTER", "code_expiration_minutes": 5}
    given = definition(ADVICE, expires, buttons(one_tap), category="AUTHENTICATION")
    text, footer, pressed = made.approved(given).seen_by_graph()["components"]
    assert text["text"].startswith("*{{1}}* doğrulama kodunuzdur.")
    assert text["add_security_recommendation"]
    assert " 5 dakika " in footer["text"]
    (button,) = pressed["buttons"]
    assert (button["type"], button["text"]) == ("URL", "Kodu kopyala")
    assert "otp_type=ONE_TAP" in button["url"]
    assert button["url"].endswith("&code=otp{{1}}")


def test_a_name_is_taken_once_per_language_and_rests_for_a_month_when_deleted(small):
    made = small()
    with pytest.raises(Refused) as caught:
        made.account.create(WABA, definition(TEXT, name="offer"), NOW)
    assert caught.value.subcode == 2388024
    made.account.delete(WABA, NOW, name="offer", template_id=None)
    assert made.refusal(made.offer()) == 132001
    with pytest.raises(Refused) as caught:
        made.account.create(WABA, definition(TEXT, name="offer"), NOW + 29 * DAY)
    assert caught.value.subcode == 2388023
    made.account.create(WABA, definition(TEXT, name="offer"), NOW + 31 * DAY)


def test_an_account_holds_so_many_templates(small):
    made = small(template_limit=2)
    made.account.create(WABA, definition(TEXT), NOW)
    with pytest.raises(Refused) as caught:
        made.account.create(WABA, definition(TEXT, name="more"), NOW)
    assert caught.value.subcode == 2388019


def test_a_template_of_the_library_has_its_texts_and_ones_own_buttons(small):
    address = {"base_url": "https://shop.example/{{1}}", "url_suffix_example": "https://a.example"}
    named = {"library_template_name": "delivery_update_1", "category": "UTILITY"}
    inputs = {"library_template_button_inputs": [{"type": "URL", "url": address}]}
    whole = {"name": "yolda", "language": "en", **named, **inputs}
    template = small().approved(whole)
    seen = template.seen_by_graph()
    assert seen["library_template_name"] == "delivery_update_1"
    (button,) = seen["components"][1]["buttons"]
    assert (button["text"], button["url"]) == ("Track package", "https://shop.example/{{1}}")
    with pytest.raises(Refused):
        small().account.create(WABA, {**whole, "components": [TEXT]}, NOW)


def test_meta_moves_a_template_to_another_category_at_once_or_when_it_said(small):
    made = small()
    (update,) = made.standing.recategorise(made.template, "UTILITY", 0, NOW).updates
    assert update.item["previous_category"] == "MARKETING"
    assert update.item["new_category"] == made.template.category == "UTILITY"
    told = made.standing.recategorise(made.template, "MARKETING", DAY, NOW)
    (update,) = told.updates
    assert update.item["correct_category"] == "MARKETING"
    assert update.item["new_category"] == made.template.category == "UTILITY"
    assert update.item["category_update_timestamp"] == NOW + DAY
    (later,) = told.later
    (update,) = later.happen(NOW + DAY)
    assert update.item["new_category"] == made.template.category == "MARKETING"


def test_a_hundred_templates_may_be_created_in_an_hour(small):
    made = small()
    for n in range(99):
        made.account.create(WABA, definition(TEXT, name=f"t{n}"), NOW)
    with pytest.raises(Refused) as caught:
        made.account.create(WABA, definition(TEXT, name="more"), NOW + 3599)
    assert caught.value.code == 80007
    made.account.create(WABA, definition(TEXT, name="more"), NOW + 3600)


def test_an_approved_template_is_edited_once_a_day_and_stays_in_use(small):
    made = small()
    change = {"components": [body("Selam {{1}} hoş geldin", "a")]}
    assert made.account.edit(made.template, change, NOW) is None
    assert made.refusal(made.offer()) == 132012
    with pytest.raises(Refused):
        made.account.edit(made.template, change, NOW + DAY - 1)
    with pytest.raises(Refused):
        made.account.edit(made.template, {"category": "UTILITY"}, NOW + DAY + 1)
    made.account.edit(made.template, change, NOW + DAY + 1)


def test_a_rejected_template_is_edited_into_review_and_not_sent(small):
    made = small(reject_templates=frozenset({"spam"}))
    template = made.approved(definition(TEXT, name="spam"))
    assert template.status == "REJECTED"
    assert template.seen_by_graph()["rejected_reason"] == "PROMOTIONAL"
    plain = made.words() | {
        "type": "template",
        "template": {"name": "spam", "language": {"code": "tr"}},
    }
    assert made.refusal(plain) == 132001
    review = made.account.edit(template, {"components": [TEXT]}, NOW)
    assert template.status == "PENDING"
    (update,) = review.happen(NOW)
    assert update.item["event"] == "REJECTED"
    assert update.item["message_template_id"] == int(template.template_id)


@pytest.mark.parametrize(("status", "code"), [("PAUSED", 132015), ("DISABLED", 132016)])
def test_a_template_that_is_not_in_use_is_refused(small, status, code):
    made = small()
    made.template.status = status
    assert made.refusal(made.offer()) == code


@pytest.mark.parametrize(
    ("more", "code"),
    [
        ({"texts": ("Ada",)}, 132000),
        ({"texts": ("Ada", "")}, 131008),
        ({"texts": ("Ada", "a\nb")}, 132018),
        ({"texts": ("Ada", "a     b")}, 132018),
        ({"texts": ("Ada", "x" * 32_769)}, 132005),
        ({"suffix": None}, 131008),
    ],
)
def test_a_send_must_fill_its_template(small, more, code):
    made = small()
    assert made.refusal(made.offer(**more)) == code


def _sent(name, *components):
    template = {"name": name, "language": {"code": "tr"}, "components": list(components)}
    return {"messaging_product": "whatsapp", "to": ADA, "type": "template", "template": template}


def _texts(*parameters):
    return {"type": "body", "parameters": [{"type": "text", "text": t} for t in parameters]}


def _button(index, sub_type, **parameter):
    return {"type": "button", "sub_type": sub_type, "index": str(index), "parameters": [parameter]}


def test_named_parameters_go_by_name(small):
    made = small()
    named = {
        "type": "BODY",
        "text": "Merhaba {{first_name}}, {{city}} için",
        "example": {
            "body_text_named_params": [
                {"param_name": "first_name", "example": "Ada"},
                {"param_name": "city", "example": "Bolu"},
            ]
        },
    }
    made.approved(definition(named, parameter_format="NAMED"))

    def sent(*names):
        texts = [{"type": "text", "parameter_name": n, "text": "x"} for n in names]
        return _sent("made", {"type": "body", "parameters": texts})

    made.send(sent("city", "first_name"))
    assert made.refusal(sent("city", "city"), NOW + 60) == 132012
    assert made.refusal(sent("city"), NOW + 60) == 132000


def test_an_authentication_template_takes_the_code_twice(small):
    made = small()
    parts = ({"type": "BODY", "add_security_recommendation": True}, buttons(OTP))
    made.approved(definition(*parts, category="AUTHENTICATION"))
    code = _button(0, "url", type="text", text="1234")
    made.send(_sent("made", _texts("1234"), code))
    assert made.refusal(_sent("made", _texts("1234")), NOW + 60) == 131008
    assert made.refusal(_sent("made", _texts("9" * 16), code), NOW + 60) == 132018
    assert made.refusal(_sent("made", _texts("9999"), code), NOW + 60) == 132012
    person = made.person()
    by_id = _sent("made", _texts("1234"), code) | {"recipient": made.world.people.bsuid_of(person)}
    del by_id["to"]
    assert made.refusal(by_id, NOW + 60) == 131062


def test_a_limited_time_offer_needs_its_end_and_a_code(small):
    made = small()
    limited = {
        "type": "limited_time_offer",
        "limited_time_offer": {"text": "Son gün", "has_expiration": True},
    }
    made.approved(definition(TEXT, limited, buttons(CODE, PLAIN)))
    coupon = _button(0, "copy_code", type="coupon_code", coupon_code="SALE20")
    ends = {
        "type": "limited_time_offer",
        "parameters": [
            {"type": "limited_time_offer", "limited_time_offer": {"expiration_time_ms": 1}}
        ],
    }
    made.send(_sent("made", coupon, ends))
    assert made.refusal(_sent("made", coupon), NOW + 60) == 131008
    assert made.refusal(_sent("made", ends), NOW + 60) == 131008


def test_a_carousel_is_filled_card_by_card(small):
    made = small()
    upload = made.world.uploads.begin("1", "image/png", 1)
    handle = made.world.uploads.write(upload, 0, b"x")
    header = {"type": "HEADER", "format": "IMAGE", "example": {"header_handle": [handle]}}
    card = {"components": [header, body("Kart {{1}} şimdi", "a"), buttons(QUICK)]}
    made.approved(definition(TEXT, {"type": "CAROUSEL", "cards": [card, card]}))
    image = {"type": "image", "image": {"link": "https://shop.example/a.jpg"}}
    filled = [
        {"type": "header", "parameters": [image]},
        _texts("x"),
        _button(0, "quick_reply", type="payload", payload="yes"),
    ]

    def sent(*cards):
        cards = [{"card_index": n, "components": c} for n, c in enumerate(cards)]
        return _sent("made", {"type": "carousel", "cards": cards})

    message = made.send(sent(filled, filled)).message
    assert [c.value for c in message.content.choices] == ["yes", "yes"]
    assert made.refusal(sent(filled), NOW + 60) == 132012
    assert made.refusal(sent(filled, filled[:1]), NOW + 60) == 132000
    assert made.refusal(sent(filled, filled[1:]), NOW + 60) == 131008


ANYTHING = st.none() | st.booleans() | st.integers() | st.text(max_size=5) | st.just([]) | st.just(
    {}
) | st.just([[]]) | st.just({"text": []})  # fmt: skip
WHOLE = definition(
    body("Merhaba {{1}} iyi günler", "a"),
    {"type": "FOOTER", "text": "dipnot"},
    buttons(QUICK, PLAIN, PHONE),
)
CARDS = definition(
    TEXT,
    {"type": "CAROUSEL", "cards": [{"components": [TEXT, buttons(QUICK)]}] * 2},
)


@given(st.data())
def test_a_malformed_template_is_refused_and_never_breaks(small, data):
    made, given = small(), json.loads(json.dumps(data.draw(st.sampled_from([WHOLE, CARDS]))))
    node = given
    while True:
        keys = sorted(node) if isinstance(node, dict) else list(range(len(node)))
        key = data.draw(st.sampled_from(keys))
        if not isinstance(node[key], dict | list) or not node[key] or data.draw(st.booleans()):
            node[key] = data.draw(ANYTHING)
            break
        node = node[key]
    try:
        template, _ = made.account.create(WABA, given, NOW)
        assert template.seen_by_graph()["status"] == "PENDING"
    except Refused as refused:
        assert refused.code == 100
