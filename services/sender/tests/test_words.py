"""What a variant says to a person: every kind of variable, and never a hole."""

from collections.abc import Mapping
from typing import Any

import msgspec
import pytest

from expressions import Timeline
from services.sender.formats import DateFormat, MoneyFormat, PluralFormat, TextFormat
from services.sender.model import Binding, Campaign, CampaignPhase, Contact, Template, Variant
from services.sender.wording.words import Filled, Lack, Words

NOW = 1_790_000_000_000  # 21 September 2026, 17:13 in Istanbul
HOUR = 3_600_000


def template(*components: Mapping[str, Any], **changes: Any) -> Template:
    fields: dict[str, Any] = {
        "template_id": "1",
        "waba_id": "2",
        "name": "sepet",
        "language": "tr",
        "category": "MARKETING",
        "effective_category": "MARKETING",
        "announced_category": "",
        "announced_time": 0,
        "state": "APPROVED",
        "state_reason": "",
        "state_detail": "",
        "named": False,
        "components": msgspec.json.encode(components),
        "create_time": NOW,
        "update_time": NOW,
    }
    return Template(**{**fields, **changes})


def campaign() -> Campaign:
    return Campaign(
        "cmp_1", "Bahar", CampaignPhase.RUNNING, "2", "", 0, 0, 0.0, variants=[],
        phone_number_ids=[],
    )  # fmt: skip


def ayse(**changes: Any) -> Contact:
    attributes = {"first_name": "ayşe", "city": "Bursa", "traits.points": 12}
    fields = {"language": "tr", "zone": "Europe/Istanbul", "attributes": attributes}
    return Contact("c1", **{**fields, **changes})


def fill(
    one: Template, bindings: list[Binding], contact: Contact | None = None, **given: Any
) -> Filled:
    words = Words(Variant("a", one.name, 1.0, bindings), [one], campaign())
    (form,) = words.forms
    return words.fill(form, contact or ayse(), NOW, **given)


def sent(one: Template, bindings: list[Binding], **given: Any) -> Any:
    """The components of the message."""
    words = Words(Variant("a", one.name, 1.0, bindings), [one], campaign())
    (form,) = words.forms
    filled = words.fill(form, ayse(), NOW, **given)
    assert (filled.problem, filled.links) == ("", {})
    return msgspec.json.decode(form.body(filled.values))["template"].get("components", [])


def bind(variable: str, expression: str, **changes: Any) -> Binding:
    return Binding(variable, expression, **{"missing": "skip", **changes})


def body(text: str) -> dict[str, Any]:
    return {"type": "BODY", "text": text}


def header(form: str, **more: Any) -> dict[str, Any]:
    return {"type": "HEADER", "format": form, **more}


def buttons(*found: dict[str, Any]) -> dict[str, Any]:
    return {"type": "BUTTONS", "buttons": list(found)}


# --- every kind of variable -----------------------------------------------------------------------


def test_a_body_is_filled_in_its_own_order_or_by_name() -> None:
    given = [bind("body.2", "traits.points"), bind("body.1", "profile.first_name")]
    assert sent(template(body("{{2}} puan, {{1}}! {{1}}?")), given) == [
        {
            "type": "body",
            "parameters": [{"type": "text", "text": "ayşe"}, {"type": "text", "text": "12"}],
        }
    ]
    named = template(body("Merhaba {{first_name}}."), named=True)
    (component,) = sent(named, [bind("body.first_name", "profile.first_name")])
    assert component["parameters"] == [
        {"type": "text", "text": "ayşe", "parameter_name": "first_name"}
    ]


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("https://cdn.example/ç a.jpg", {"link": "https://cdn.example/%C3%A7%20a.jpg"}),
        ("file_01J8", {"id": "file_01J8"}),
        ("1013859600285441", {"id": "1013859600285441"}),
    ],
)
def test_media_of_a_header_are_an_address_a_file_or_an_id_of_metas(value: str, shown: Any) -> None:
    found = sent(template(header("IMAGE"), body("x")), [bind("header", f'"{value}"')])
    assert found[0]["parameters"] == [{"type": "image", "image": shown}]


@pytest.mark.parametrize(
    ("address", "link"),
    [
        ("https://çiçek.example/gül.jpg", "https://xn--iek-1lab.example/g%C3%BCl.jpg"),
        ("https://shop.example/gül.jpg", "https://shop.example/g%C3%BCl.jpg"),
        ("https://çiçek.example:8443?a=ü", "https://xn--iek-1lab.example:8443?a=%C3%BC"),
    ],
)
def test_hosts_with_turkish_letters_are_written_as_the_name_system_has_them(
    address: str, link: str
) -> None:
    one = template(header("IMAGE"), body("x"))
    (shown,) = sent(one, [bind("header", "parameters.u")], parameters={"u": address})
    assert shown["parameters"][0]["image"] == {"link": link}


@pytest.mark.parametrize("said", ["[" * 100_000, '{"a":' * 100_000, "{", "[1"])
def test_what_is_no_json_is_no_record(said: str) -> None:
    one = template(body("x"), buttons({"type": "ORDER_DETAILS"}))
    filled = fill(one, [bind("button.0", "parameters.order")], parameters={"order": said})
    assert filled.problem == "missing_button.0"


def test_what_is_no_media_is_none() -> None:
    pictured = template(header("IMAGE"), body("x"))
    for value in ("resim.jpg", "ftp://x/y.jpg", "12", "https://", "https:///x.jpg"):
        assert fill(pictured, [bind("header", f'"{value}"')]).problem == "missing_header"


def test_a_document_may_have_a_name() -> None:
    paper = template(header("DOCUMENT"), body("x"))
    given = [
        bind("header", '"https://a.example/f.pdf"'),
        bind("header.filename", '"Fatura " + string(traits.points) + ".pdf"'),
    ]
    shown = {"link": "https://a.example/f.pdf", "filename": "Fatura 12.pdf"}
    assert sent(paper, given)[0]["parameters"][0]["document"] == shown


def test_a_location_and_a_product_are_filled_field_by_field() -> None:
    at = template(header("LOCATION"), body("x"))
    given = [
        bind("header.latitude", "row.lat"),
        bind("header.longitude", "row.lon"),
        bind("header.name", '"Kadıköy mağazamız"'),
    ]
    found = sent(at, given, row={"lat": "40.99", "lon": "29.02"})
    assert found[0]["parameters"][0]["location"] == {
        "latitude": 40.99,
        "longitude": 29.02,
        "name": "Kadıköy mağazamız",
    }
    assert fill(at, given, row={"lat": "91", "lon": "x"}).problem == "missing_header.latitude"
    item = template(header("PRODUCT"), body("x"))
    given = [bind("header.catalog_id", '"77"'), bind("header.product_retailer_id", '"sku-1"')]
    product = sent(item, given)[0]["parameters"][0]["product"]
    assert product == {"catalog_id": "77", "product_retailer_id": "sku-1"}


@pytest.mark.parametrize(
    ("value", "suffix"),
    [
        ("çanta/kırmızı deri", "%C3%A7anta/k%C4%B1rm%C4%B1z%C4%B1%20deri"),
        ("?utm=wa&id=7#top", "?utm=wa&id=7#top"),
        ("a%20b", "a%20b"),
        ("100%", "100%25"),
        ("<x>", "%3Cx%3E"),
    ],
)
def test_the_end_of_an_address_is_escaped_once(value: str, suffix: str) -> None:
    linked = template(body("x"), buttons({"type": "URL", "url": "https://a.example/{{1}}"}))
    (button,) = sent(linked, [bind("button.0", f'"{value}"')])
    assert (button["sub_type"], button["index"]) == ("url", "0")
    assert button["parameters"] == [{"type": "text", "text": suffix}]


def test_a_whole_address_becomes_a_tracked_link_on_cards_too() -> None:
    card = {"components": [buttons({"type": "URL", "url": "https://a.example/{{1}}"})]}
    shown = template(body("x"), {"type": "CAROUSEL", "cards": [card, card]})
    given = [
        bind("card.0.button.0", '"https://shop.example/" + profile.city'),
        bind("card.1.button.0", "profile.city"),
    ]
    filled = fill(shown, given)
    assert filled.links == {"card.0.button.0": "https://shop.example/Bursa"}
    assert filled.values == {"card.1.button.0": "Bursa"}


def test_every_button_gets_what_its_kind_takes() -> None:
    kinds = ("QUICK_REPLY", "COPY_CODE", "FLOW", "CATALOG", "MPM", "ORDER_DETAILS")
    tapped = template(body("x"), buttons(*({"type": kind} for kind in kinds)))
    given = [
        bind("button.0", '"evet-" + string(traits.points)'),
        bind("button.1", '"BAHAR25"'),
        bind("button.2", '"tok"'),
        bind("button.2.data", "parameters.flow"),
        bind("button.3", '"sku-1"'),
        bind("button.4", '"sku-1"'),
        bind("button.4.sections", '"sku-1, sku-2"'),
        bind("button.5", "parameters.order"),
    ]
    found = sent(tapped, given, parameters={"flow": {"a": 1}, "order": '{"reference_id": "r"}'})
    assert [(one["sub_type"], one["parameters"][0]) for one in found] == [
        ("quick_reply", {"type": "payload", "payload": "evet-12"}),
        ("copy_code", {"type": "coupon_code", "coupon_code": "BAHAR25"}),
        ("flow", action(flow_token="tok", flow_action_data={"a": 1})),
        ("catalog", action(thumbnail_product_retailer_id="sku-1")),
        (
            "mpm",
            action(
                thumbnail_product_retailer_id="sku-1",
                sections=[
                    {
                        "product_items": [
                            {"product_retailer_id": "sku-1"},
                            {"product_retailer_id": "sku-2"},
                        ]
                    }
                ],
            ),
        ),
        ("order_details", action(order_details={"reference_id": "r"})),
    ]


def action(**fields: Any) -> dict[str, Any]:
    return {"type": "action", "action": fields}


def test_what_need_not_be_filled_is_left_out() -> None:
    tapped = template(body("x"), buttons({"type": "QUICK_REPLY"}, {"type": "FLOW"}))
    assert sent(tapped, []) == []


def test_a_code_is_never_cut_and_stands_on_the_button_too() -> None:
    login = template(
        {"type": "BODY"}, buttons({"type": "OTP", "otp_type": "COPY_CODE"}),
        category="AUTHENTICATION",
    )  # fmt: skip
    found = sent(login, [bind("body.1", "parameters.code")], parameters={"code": 123456})
    assert [one["parameters"][0]["text"] for one in found] == ["123456", "123456"]
    long = fill(login, [bind("body.1", "parameters.code")], parameters={"code": "1" * 16})
    assert long.problem == "missing_body.1"


def test_a_template_whose_variables_have_names_is_filled_by_name_though_it_does_not_say_so() -> (
    None
):
    given = [bind("body.ad", "profile.first_name"), bind("body.2", "traits.points")]
    assert sent(template(body("{{ad}}: {{2}} puan")), given) == [
        {
            "type": "body",
            "parameters": [
                {"type": "text", "text": "ayşe", "parameter_name": "ad"},
                {"type": "text", "text": "12"},
            ],
        }
    ]


@pytest.mark.parametrize("ends", [0, -1, 10**15, "9999999-01-01", "yarın"])
def test_a_moment_that_no_calendar_has_is_none(ends: Any) -> None:
    offer = {"text": "Son gün", "has_expiration": True}
    one = template(body("x"), {"type": "LIMITED_TIME_OFFER", "limited_time_offer": offer})
    filled = fill(one, [bind("offer_expire_time", "parameters.ends")], parameters={"ends": ends})
    assert filled.problem == "missing_offer_expire_time"


@pytest.mark.parametrize("count", [10, 11])
def test_products_stand_in_ten_sections_at_most(count: int) -> None:
    shown = [{"title": f"Raf {n}", "product_retailer_ids": [f"p{n}"]} for n in range(count)]
    given = [bind("button.0", '"p0"'), bind("button.0.sections", "parameters.shown")]
    one = template(body("x"), buttons({"type": "MPM"}))
    filled = fill(one, given, parameters={"shown": shown})
    assert (filled.problem == "") == (count == 10)


def test_an_offer_ends_at_a_moment() -> None:
    offer = {"type": "LIMITED_TIME_OFFER", "limited_time_offer": {"has_expiration": True}}
    ends = template(body("x"), offer)
    for source in ('timestamp("2026-10-01T09:00:00+03:00")', '"2026-10-01T09:00:00+03:00"'):
        (found,) = sent(ends, [bind("offer_expire_time", source)])
        inner = found["parameters"][0]["limited_time_offer"]
        assert inner == {"expiration_time_ms": 1_790_834_400_000}
    assert fill(ends, []).problem == "unbound_offer_expire_time"


def test_cards_of_a_carousel_are_filled_each_by_itself() -> None:
    cards = [
        {"components": [header("IMAGE"), body("{{1}}"), buttons({"type": "QUICK_REPLY"})]}
        for _ in range(2)
    ]
    shown = template(body("Merhaba {{1}}"), {"type": "CAROUSEL", "cards": cards})
    given = [bind("body.1", "profile.first_name")]
    for index in range(2):
        given += [
            bind(f"card.{index}.header", f'"https://a.example/{index}.jpg"'),
            bind(f"card.{index}.body.1", f'"ürün {index}"'),
            bind(f"card.{index}.button.0", f'"p{index}"'),
        ]
    _, carousel = sent(shown, given)
    assert [card["card_index"] for card in carousel["cards"]] == [0, 1]
    assert [part["type"] for part in carousel["cards"][1]["components"]] == [
        "header",
        "body",
        "button",
    ]
    assert fill(shown, given[:-2]).problem == "unbound_card.1.body.1"


# --- where values come from -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("source", "shown"),
    [
        ("profile.city", "Bursa"),
        ("traits.points", "12"),
        ('events("order_completed").last().total', "90"),
        ('events("order_completed").within("24h").count()', "1"),
        ('segment("vip") ? "değerli" : "yeni"', "değerli"),
        ('consent("marketing") ? "evet" : "hayır"', "evet"),
        ("row.kupon", "K-7"),
        ('row["ad soyad"]', "Ayşe Y."),
        ("parameters.cart_id", "c9"),
        ("campaign.name", "Bahar"),
        ("campaign.variant + campaign.language + campaign.id", "atrcmp_1"),
        ("localTime().hour", "17"),
    ],
)
def test_values_come_from_all_that_is_known(source: str, shown: str) -> None:
    timeline = Timeline()
    timeline.insert(NOW - 48 * HOUR, {"total": 50})
    timeline.insert(NOW - HOUR, {"total": 90})
    who = ayse(
        timelines={"order_completed": timeline},
        segments=frozenset({"vip"}),
        consents={"marketing": "granted"},
    )
    filled = fill(
        template(body("x {{1}} y")),
        [bind("body.1", source)],
        who,
        row={"kupon": "K-7", "ad soyad": "Ayşe Y."},
        parameters={"cart_id": "c9"},
    )
    assert filled.values == {"body.1": shown}


def test_what_is_looked_at_is_known_beforehand() -> None:
    bindings = [
        bind("body.1", 'events("order_completed").last().total + traits.points'),
        bind("body.2", 'segment("vip") ? profile.city : row.city'),
    ]
    words = Words(Variant("a", "sepet", 1.0, bindings), [])
    assert words.needs == {"events.order_completed", "traits.points", "segments.vip", "city"}


# --- values that are missing ----------------------------------------------------------------------

HOLES: list[Any] = [
    *(None, "", "  ", "\n\t", "null", "None", "NONE", "undefined", "{{1}}", "{{ first_name }}"),
    *("N/A", "n/a", "-", "–", "...", "()", "NaN", "Sayın None", "undefined Yılmaz", "{{ad}} Bey"),
    *("\u3164", "\u2800", "\ufffc", "\u115f\u1160", "\u061c", "Ay\ufffde", "{ad}", "*|FNAME|*"),
    *("\u200b", "[object Object]", "%isim%", "${ad}", float("nan"), float("inf"), True, [], {}),
]


@pytest.mark.parametrize("hole", HOLES)
def test_a_hole_is_no_value(hole: Any) -> None:
    contact = ayse(attributes={"first_name": hole})
    one = template(body("Merhaba {{1}}!"))
    assert fill(one, [bind("body.1", "profile.first_name")], contact).problem == "missing_body.1"


@pytest.mark.parametrize("value", ["Nonette", "Ali Null", "0", 0, "❤️", "Nan", "A-Z", "Ö"])
def test_a_value_is_no_hole(value: Any) -> None:
    contact = ayse(attributes={"first_name": value})
    filled = fill(template(body("{{1}}!")), [bind("body.1", "profile.first_name")], contact)
    assert filled.values == {"body.1": str(value)}


def test_a_missing_value_is_what_its_binding_says() -> None:
    one = template(body("Merhaba {{1}}, {{2}}, {{3}}."), language="tr")
    fallback = bind("body.1", "profile.nickname", missing="fallback", fallbacks={"tr": "dostum"})
    skip, fail = bind("body.2", "profile.x"), bind("body.3", "profile.y", missing="fail")
    filled = fill(one, [fallback, skip, fail])
    assert filled.lacks == [
        Lack("body.1", "fallback"),
        Lack("body.2", "skip"),
        Lack("body.3", "fail"),
    ]
    assert (filled.problem, filled.failed) == ("missing_body.2", "body.3")
    assert filled.values == {"body.1": "dostum"}


def test_a_fallback_is_in_the_language_of_the_message() -> None:
    said = {"tr": "dostum", "en": "friend", "*": "👋"}
    greeting = bind("body.1", "profile.nickname", missing="fallback", fallbacks=said)
    languages = ("tr", "en_US", "de")
    shown = [
        fill(template(body("{{1}}!"), language=one), [greeting]).values["body.1"]
        for one in languages
    ]
    assert shown == ["dostum", "friend", "👋"]


def test_a_name_without_a_known_ending_gives_way_to_the_fallback_or_stands_by_itself() -> None:
    one = template(body("{{1}} sepeti hazır."))
    genitive = TextFormat("title", "genitive")
    said = {"missing": "fallback", "fallbacks": {"*": "Senin"}, "format": genitive}
    known, unknown = ayse(), ayse(attributes={"first_name": "beaulieu"})
    given = bind("body.1", "profile.first_name", **said)
    assert [fill(one, [given], who).values["body.1"] for who in (known, unknown)] == [
        "Ayşe'nin",
        "Senin",
    ]
    alone = bind("body.1", "profile.first_name", format=genitive)
    assert fill(one, [alone], unknown).values == {"body.1": "Beaulieu"}


# --- texts that are too long ----------------------------------------------------------------------


def test_a_body_that_grew_too_long_loses_words_of_its_longest_text() -> None:
    fixed = "Merhaba {{1}}: {{2}} {{3}}."
    long = "kırmızı " * 200
    given = [
        bind("body.1", "profile.first_name"),
        bind("body.2", "parameters.note"),
        bind("body.3", "parameters.total", format=MoneyFormat("TRY")),
    ]
    filled = fill(template(body(fixed)), given, parameters={"note": long, "total": 5.0})
    values = filled.values
    assert filled.problem == ""
    assert (values["body.1"], values["body.3"]) == ("ayşe", "₺5,00")
    assert values["body.2"].endswith("kırmızı…")
    shown = len("Merhaba :  .") + sum(map(len, values.values()))
    assert 1_000 < shown <= 1_024


def test_what_cannot_be_cut_stops_the_message() -> None:
    plural = PluralFormat({"other": "{} " + "ürün" * 300})
    given = [bind("body.1", "traits.points", format=plural)]
    assert fill(template(body("{{1}}")), given).problem == "too_long_body"


def test_what_would_be_cut_to_nothing_stops_the_message() -> None:
    one = template(header("TEXT", text="Yeni sezon geldi, bu hafta bütün mağazalarda: {{1}}!"))
    filled = fill(one, [bind("header", "parameters.t")], parameters={"t": "( ( ( ( ( ( ( Bahar"})
    assert filled.problem == "too_long_header"


def test_a_heading_is_short() -> None:
    one = template(header("TEXT", text="Selam {{1}}!"), body("x"))
    filled = fill(one, [bind("header", "parameters.t")], parameters={"t": "uzun bir ad " * 9})
    assert len(filled.values["header"]) <= 60 - len("Selam !")


# --- which language -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("spoken", "approved", "fallbacks", "chosen"),
    [
        ("tr", ["tr", "en"], [], "tr"),
        ("tr-TR", ["tr", "en"], [], "tr"),
        ("en_GB", ["en_GB", "en"], [], "en_GB"),
        ("en_GB", ["en_US", "en"], [], "en"),
        ("EN-gb", ["en_GB", "en"], [], "en_GB"),
        ("TR", ["tr", "en"], [], "tr"),
        ("de", ["tr", "en"], ["fr", "en"], "en"),
        ("de", ["tr", "en"], ["fr"], None),
        ("", ["tr"], [], "tr"),
        ("", ["tr", "en"], [], None),
        ("", ["tr", "en"], ["tr"], "tr"),
    ],
)
def test_the_language_is_the_persons_its_base_a_fallback_or_the_only_one(
    spoken: str, approved: list[str], fallbacks: list[str], chosen: str | None
) -> None:
    known = [template(body("x"), language=one) for one in approved]
    known += [template(body("x"), language="de", state="REJECTED")] if chosen is None else []
    words = Words(Variant("a", "sepet", 1.0, [], fallbacks), known)
    form = words.form(spoken)
    assert (form and form.template.language) == chosen


def test_dates_are_of_the_contacts_own_zone() -> None:
    one = template(body("{{1}}!"))
    late = bind("body.1", 'timestamp("2026-08-05T22:30:00Z")', format=DateFormat("d MMMM HH:mm"))
    zones = ("Europe/Istanbul", "America/New_York", "")
    assert [fill(one, [late], ayse(zone=zone)).values["body.1"] for zone in zones] == [
        "6 Ağustos 01:30",
        "5 Ağustos 18:30",
        "5 Ağustos 22:30",
    ]
