"""What Meta refuses is refused before anything is stored, by the path of the field."""

from typing import Any

import msgspec
import pytest

from merhaba.event.v1 import Location, Reaction
from merhaba.sender.v1 import (
    AddressForm,
    Attachment,
    CatalogInvitation,
    ContactCard,
    ContactCards,
    Content,
    FlowInvitation,
    Interactive,
    InteractiveCard,
    InteractiveCarousel,
    InteractiveHeader,
    OptionList,
    OptionRow,
    OptionSection,
    OrderStatus,
    Pin,
    ProductList,
    ProductRef,
    ProductSection,
    ReplyButton,
    ReplyButtons,
    TemplateButtonParameter,
    TemplateCardParameters,
    TemplateCurrency,
    TemplateMessage,
    TemplateParameter,
    Text,
    UrlButton,
    VoiceCall,
)
from services.sender.body import attached, body_of, content_of, named, places
from services.sender.failures import ContentInvalid

PICTURE = Attachment(media_id="123")


def asking(body: str = "Devam?", **more: Any) -> Content:
    return Content(interactive=Interactive(body=body, **more))


def buttons(*titles: str) -> ReplyButtons:
    return ReplyButtons(buttons=[ReplyButton(id=f"b{i}", title=t) for i, t in enumerate(titles)])


def options(*sections: OptionSection) -> OptionList:
    return OptionList(button="Seç", sections=sections)


def rows(n: int, start: int = 0) -> list[OptionRow]:
    return [OptionRow(id=f"r{i}", title=f"Satır {i}") for i in range(start, start + n)]


def products(n: int) -> ProductList:
    section = ProductSection(title="Yeni", product_retailer_ids=[f"p{i}" for i in range(n)])
    return ProductList(catalog_id="1", sections=[section])


def card(**more: Any) -> InteractiveCard:
    shown = {"header": InteractiveHeader(image=PICTURE)} | more
    if not {"reply_buttons", "product"} & more.keys():
        shown["url_button"] = UrlButton(display_text="Aç", url="https://example.com")
    return InteractiveCard(**shown)


def carousel(*cards: InteractiveCard, **more: Any) -> Content:
    return asking(carousel=InteractiveCarousel(cards=cards), **more)


def filling(**more: Any) -> Content:
    return Content(template=TemplateMessage(name="t", language="tr", **more))


def value(text: str = "Ayşe", name: str = "") -> TemplateParameter:
    return TemplateParameter(text=text, name=name)


REFUSED = [
    (Content(), "content", "required"),
    (Content(text=Text()), "content.text.body", "required"),
    (Content(text=Text(body="  ")), "content.text.body", "required"),
    (Content(text=Text(body="x" * 4097)), "content.text.body", "length"),
    (Content(image=Attachment()), "content.image", "required"),
    (Content(image=Attachment(link="ftp://a")), "content.image.link", "url"),
    (Content(image=Attachment(media_id="file_x")), "content.image.media_id", "id"),
    (
        Content(video=Attachment(media_id="1", caption="x" * 1025)),
        "content.video.caption",
        "length",
    ),
    (Content(audio=Attachment(media_id="1", caption="x")), "content.audio.caption", "kind"),
    (Content(sticker=Attachment(media_id="1", caption="x")), "content.sticker.caption", "kind"),
    (Content(image=Attachment(media_id="1", filename="a")), "content.image.filename", "kind"),
    (Content(video=Attachment(media_id="1", voice=True)), "content.video.voice", "kind"),
    (Content(location=Location(latitude=91)), "content.location.latitude", "range"),
    (Content(location=Location(longitude=-181)), "content.location.longitude", "range"),
    (Content(contacts=ContactCards()), "content.contacts.cards", "count"),
    (
        Content(contacts=ContactCards(cards=[ContactCard()])),
        "content.contacts.cards[0].name.formatted_name",
        "required",
    ),
    (
        Content(
            contacts=ContactCards(cards=[ContactCard(name=ContactCard.Name(formatted_name="A"))])
        ),
        "content.contacts.cards[0].name",
        "required",
    ),
    (Content(reaction=Reaction(emoji="👍")), "content.reaction.wamid", "required"),
    (Content(pin=Pin(wamid="wamid.1")), "content.pin.operation", "required"),
    (asking(), "content.interactive", "required"),
    (asking("", reply_buttons=buttons("A")), "content.interactive.body", "required"),
    (asking("x" * 1025, reply_buttons=buttons("A")), "content.interactive.body", "length"),
    (
        asking(reply_buttons=buttons("A"), footer="x" * 61),
        "content.interactive.footer",
        "length",
    ),
    (
        asking(reply_buttons=buttons("A"), header=InteractiveHeader(text="x" * 61)),
        "content.interactive.header.text",
        "length",
    ),
    (
        asking(reply_buttons=buttons("A"), header=InteractiveHeader()),
        "content.interactive.header",
        "required",
    ),
    (asking(reply_buttons=buttons()), "content.interactive.reply_buttons.buttons", "count"),
    (asking(reply_buttons=buttons(*"ABCD")), "content.interactive.reply_buttons.buttons", "count"),
    (
        asking(reply_buttons=buttons("A", "A")),
        "content.interactive.reply_buttons.buttons",
        "unique",
    ),
    (
        asking(reply_buttons=buttons("A", "x" * 21)),
        "content.interactive.reply_buttons.buttons[1].title",
        "length",
    ),
    (
        asking(reply_buttons=ReplyButtons(buttons=[ReplyButton(id="x" * 257, title="A")])),
        "content.interactive.reply_buttons.buttons[0].id",
        "length",
    ),
    (
        asking(
            option_list=options(OptionSection(rows=rows(1))),
            header=InteractiveHeader(image=PICTURE),
        ),
        "content.interactive.header.image",
        "kind",
    ),
    (
        asking(option_list=options(OptionSection(rows=rows(11)))),
        "content.interactive.option_list.sections.rows",
        "count",
    ),
    (
        asking(option_list=options(OptionSection(rows=rows(1)), OptionSection(rows=rows(1, 1)))),
        "content.interactive.option_list.sections[0].title",
        "required",
    ),
    (
        asking(option_list=options(OptionSection(rows=[OptionRow(id="a", title="x" * 25)]))),
        "content.interactive.option_list.sections[0].rows[0].title",
        "length",
    ),
    (
        asking(option_list=OptionList(sections=[OptionSection(rows=rows(1))])),
        "content.interactive.option_list.button",
        "required",
    ),
    (
        asking(url_button=UrlButton(display_text="Aç", url="example.com")),
        "content.interactive.url_button.url",
        "url",
    ),
    (asking(flow=FlowInvitation(button="Aç")), "content.interactive.flow.flow_id", "required"),
    (
        asking(flow=FlowInvitation(flow_id="1", button="Aç", flow_action="go")),
        "content.interactive.flow.flow_action",
        "choice",
    ),
    (
        asking(flow=FlowInvitation(flow_id="1", button="Aç", data_json=b"{}")),
        "content.interactive.flow.screen",
        "required",
    ),
    (
        asking(flow=FlowInvitation(flow_id="1", button="Aç", screen="S", data_json=b"[")),
        "content.interactive.flow.data_json",
        "json",
    ),
    (
        asking(ask=Interactive.ASK_LOCATION, footer="x"),
        "content.interactive.footer",
        "kind",
    ),
    (
        asking(voice_call=VoiceCall(display_text="x" * 21)),
        "content.interactive.voice_call.display_text",
        "length",
    ),
    (
        asking(address_form=AddressForm(country_code="TR")),
        "content.interactive.address_form.country_code",
        "choice",
    ),
    (
        asking(product=ProductRef(catalog_id="1")),
        "content.interactive.product.product_retailer_id",
        "required",
    ),
    (asking(product_list=products(1)), "content.interactive.header.text", "required"),
    (
        asking(product_list=products(31), header=InteractiveHeader(text="Yeni")),
        "content.interactive.product_list.sections.product_retailer_ids",
        "count",
    ),
    (carousel(card()), "content.interactive.carousel.cards", "count"),
    (
        carousel(card(), card(reply_buttons=buttons("A"))),
        "content.interactive.carousel.cards",
        "alike",
    ),
    (
        carousel(card(body="x" * 161), card()),
        "content.interactive.carousel.cards[0].body",
        "length",
    ),
    (
        asking(order_status=OrderStatus(parameters_json=b"nothing")),
        "content.interactive.order_status.parameters_json",
        "json",
    ),
    (Content(template=TemplateMessage(name="t")), "content.template.language", "required"),
    (filling(language_policy="loose"), "content.template.language_policy", "choice"),
    (filling(body=[value("a\nb")]), "content.template.body[0].text", "spaces"),
    (filling(body=[value("a     b")]), "content.template.body[0].text", "spaces"),
    (filling(body=[value("")]), "content.template.body[0].text", "required"),
    (filling(body=[TemplateParameter()]), "content.template.body[0]", "required"),
    (filling(body=[value("a", "x"), value("b")]), "content.template.body", "names"),
    (
        filling(
            body=[
                TemplateParameter(
                    currency=TemplateCurrency(
                        fallback_value="1", currency_code="TRY", amount_micros=1
                    )
                )
            ]
        ),
        "content.template.body[0].currency.amount_micros",
        "multiple",
    ),
    (
        filling(buttons=[TemplateButtonParameter(index=1, url_suffix="a")] * 2),
        "content.template.buttons",
        "unique",
    ),
    (
        filling(buttons=[TemplateButtonParameter(index=10, url_suffix="a")]),
        "content.template.buttons[0].index",
        "range",
    ),
    (
        filling(buttons=[TemplateButtonParameter(coupon_code="x" * 21)]),
        "content.template.buttons[0].coupon_code",
        "length",
    ),
    (filling(cards=[TemplateCardParameters()]), "content.template.cards", "count"),
    (filling(extensions_json=b'{"name":"x"}'), "content.template.extensions_json", "keys"),
]


@pytest.mark.parametrize(("content", "field", "rule"), REFUSED)
def test_a_broken_rule_is_named_with_its_field(content: Content, field: str, rule: str) -> None:
    with pytest.raises(ContentInvalid) as refused:
        body_of(content)
    assert (refused.value.facts["field"], refused.value.facts["rule"]) == (field, rule)
    assert refused.value.message.startswith(f"{field}: ")


BUILT: list[tuple[Content, Any]] = [
    (
        Content(reaction=Reaction(wamid="wamid.1")),
        {"type": "reaction", "reaction": {"message_id": "wamid.1", "emoji": ""}},
    ),
    (
        Content(pin=Pin(operation=Pin.OPERATION_PIN, wamid="wamid.1", expiration_days=7)),
        {"type": "pin", "pin": {"type": "pin", "message_id": "wamid.1", "expiration_days": 7}},
    ),
    (
        Content(audio=Attachment(file_id="file_a", voice=True)),
        {"type": "audio", "audio": {"id": "file_a", "voice": True}},
    ),
    (
        asking(catalog=CatalogInvitation(thumbnail_product_retailer_id="p")),
        {
            "type": "interactive",
            "interactive": {
                "type": "catalog_message",
                "body": {"text": "Devam?"},
                "action": {
                    "name": "catalog_message",
                    "parameters": {"thumbnail_product_retailer_id": "p"},
                },
            },
        },
    ),
    (
        asking("", product=ProductRef(catalog_id="1", product_retailer_id="p")),
        {
            "type": "interactive",
            "interactive": {
                "type": "product",
                "action": {"catalog_id": "1", "product_retailer_id": "p"},
            },
        },
    ),
    (
        carousel(card(reply_buttons=buttons("Al")), card(reply_buttons=buttons("Al"))),
        {
            "type": "interactive",
            "interactive": {
                "type": "carousel",
                "body": {"text": "Devam?"},
                "action": {
                    "cards": [
                        {
                            "card_index": index,
                            "type": "cta_url",
                            "header": {"type": "image", "image": {"id": "123"}},
                            "action": {
                                "buttons": [
                                    {
                                        "type": "quick_reply",
                                        "quick_reply": {"id": "b0", "title": "Al"},
                                    }
                                ]
                            },
                        }
                        for index in range(2)
                    ]
                },
            },
        },
    ),
]
"""Kinds of which nobody's sample is at hand, as Meta's pages and other clients write them."""


@pytest.mark.parametrize(("content", "body"), BUILT)
def test_kinds_without_a_sample_are_built_as_meta_writes_them(content: Content, body: Any) -> None:
    assert body_of(content) == body
    assert content_of(msgspec.json.encode(body)) == content


def test_what_is_to_be_fetched_becomes_a_file_wherever_it_stands() -> None:
    shown = InteractiveHeader(image=Attachment(fetch_url="https://example.com/a"))
    content = carousel(card(header=shown), card(header=shown))
    found = named(content, lambda url: f"file_{len(url)}")
    assert [one.where for one in attached(content)] == [
        f"content.interactive.carousel.cards[{i}].header.image" for i in range(2)
    ]
    assert [media["id"] for _, media in places(body_of(found))] == ["file_21", "file_21"]
    assert content.interactive.carousel.cards[0].header.image.fetch_url
