"""Every kind of message through the API, to Meta, and back as content."""

import asyncio
from typing import Any
from uuid import uuid4

import pytest
from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

from chassis.clock import SystemClock, milliseconds_of
from chassis.testing import wait_until
from merhaba.event.v1 import Identity, Location, Reaction
from merhaba.sender.v1 import (
    AddressForm,
    Attachment,
    BusinessNumber,
    CatalogInvitation,
    ContactCard,
    ContactCards,
    Content,
    Destination,
    FlowInvitation,
    GetMessageRequest,
    Interactive,
    InteractiveCard,
    InteractiveCarousel,
    InteractiveHeader,
    ListMessagesRequest,
    MarketingOptions,
    MarkReadRequest,
    OptionList,
    OptionRow,
    OptionSection,
    Pin,
    ProductList,
    ProductRef,
    ProductSection,
    ReplyButton,
    ReplyButtons,
    SendMessageRequest,
    SyncTemplatesRequest,
    TemplateButtonParameter,
    TemplateCardParameters,
    TemplateHeaderParameter,
    TemplateMessage,
    TemplateParameter,
    Text,
    UpdateNumberRequest,
    UrlButton,
    VoiceCall,
)
from services.sender.delivery.progress import Talk

PICTURE = Attachment(link="https://m.example/a.jpg")
HEADER = InteractiveHeader(image=PICTURE)
OPEN = UrlButton(display_text="Aç", url="https://m.example")
YES = ReplyButtons(buttons=[ReplyButton(id="y", title="Evet")])


def asking(**more: Any) -> Content:
    return Content(interactive=Interactive(**{"body": "Devam?"} | more))


FREE = {
    "text": Content(text=Text(body="Selam", preview_url=True)),
    "image": Content(image=Attachment(link="https://m.example/a.jpg", caption="Yeni")),
    "video": Content(video=Attachment(link="https://m.example/a.mp4")),
    "audio": Content(audio=Attachment(link="https://m.example/a.ogg", voice=True)),
    "document": Content(document=Attachment(link="https://m.example/a.pdf", filename="a.pdf")),
    "sticker": Content(sticker=Attachment(link="https://m.example/a.webp")),
    "location": Content(location=Location(latitude=41.0, longitude=29.0, name="Mağaza")),
    "contacts": Content(
        contacts=ContactCards(
            cards=[
                ContactCard(
                    name=ContactCard.Name(formatted_name="Ayşe Y", first_name="Ayşe"),
                    phones=[ContactCard.Phone(phone="+905551112233", type="WORK")],
                )
            ]
        )
    ),
    "buttons": asking(reply_buttons=YES, footer="Merhaba", header=HEADER),
    "list": asking(
        option_list=OptionList(
            button="Seç",
            sections=[OptionSection(title="Beden", rows=[OptionRow(id="m", title="M")])],
        )
    ),
    "url": asking(url_button=OPEN),
    "flow": asking(
        flow=FlowInvitation(
            flow_id="1",
            message_version="3",
            button="Aç",
            flow_action="navigate",
            screen="ADRES",
            data_json=b'{"a":1}',
        )
    ),
    "ask_location": asking(ask=Interactive.ASK_LOCATION),
    "ask_call": asking(ask=Interactive.ASK_CALL_PERMISSION),
    "ask_contact": asking(ask=Interactive.ASK_CONTACT_INFO),
    "voice_call": asking(
        voice_call=VoiceCall(display_text="Ara", ttl_duration=Duration(seconds=3600))
    ),
    "address": asking(address_form=AddressForm(country_code="IN", values={"name": "A"})),
    "product": asking(product=ProductRef(catalog_id="1", product_retailer_id="p")),
    "products": asking(
        header=InteractiveHeader(text="Yeni"),
        product_list=ProductList(
            catalog_id="1", sections=[ProductSection(title="A", product_retailer_ids=["p"])]
        ),
    ),
    "catalog": asking(catalog=CatalogInvitation(thumbnail_product_retailer_id="p")),
    "carousel": asking(
        carousel=InteractiveCarousel(
            cards=[InteractiveCard(header=HEADER, body="Bak", url_button=OPEN)] * 2
        )
    ),
}


def now_ms() -> int:
    return milliseconds_of(SystemClock().now())


def sending(contact_id: str, content: Content, **more: Any) -> SendMessageRequest:
    return SendMessageRequest(
        request_id=str(uuid4()),
        destination=Destination(contact_id=contact_id),
        content=content,
        **more,
    )


async def writer(suite: Any) -> tuple[str, str]:
    """Somebody who wrote just now and does nothing more, and what they wrote."""
    wa_id = f"9055{uuid4().int % 10**8:08d}"
    contact_id = suite.profile.add(wa_id)
    await suite.control("POST", "people", [{"wa_id": wa_id, "replies": 0, "stops": 0}])
    said = await suite.control(
        "POST", f"people/{wa_id}/say", {"phone_number_id": suite.number_id, "text": "Selam"}
    )
    wamid = said["wamid"]
    talk = Talk(str(uuid4()), contact_id, now_ms(), now_ms(), "", suite.number_id, wamid)
    await suite.outbox.talk([talk], [""])
    return contact_id, wamid


async def all_left(suite: Any, contact_id: str, count: int) -> list[Any]:
    """The person's messages once all have left."""
    rows: list[Any] = []

    async def gone() -> bool:
        rows[:] = await suite.rows(contact_id=contact_id)
        return len(rows) == count and all(row.state not in {1, 2, 3} for row in rows)

    await wait_until(gone, 20)
    return rows


async def test_every_kind_is_taken_inside_the_window_and_read_back_as_it_was(ready: Any) -> None:
    who, wamid = await writer(ready)
    await ready.messages.MarkRead(
        MarkReadRequest(phone_number_id=ready.number_id, wamid=wamid, typing=True)
    )
    wanted = [
        *FREE.values(),
        Content(reaction=Reaction(wamid=wamid, emoji="🙂")),
        Content(reaction=Reaction(wamid=wamid)),
    ]
    sent = [await ready.messages.SendMessage(sending(who, content)) for content in wanted]
    async with ready.sending():
        rows = await all_left(ready, who, len(wanted))
    assert {row.error_code for row in rows} == {0}
    assert len(await ready.ledger()) == len(wanted)
    for response, content in zip(sent, wanted, strict=True):
        got = await ready.messages.GetMessage(
            GetMessageRequest(message_id=response.message.ref.message_id, include_content=True)
        )
        assert got.message.content == content


async def test_an_answer_names_what_it_answers(ready: Any) -> None:
    who, wamid = await writer(ready)
    request = sending(who, FREE["text"], context_wamid=wamid, recipient_identity_key_hash="abc")
    first = await ready.messages.SendMessage(request)
    assert first.message.context_wamid == wamid
    assert await ready.messages.SendMessage(request) == first
    request.context_wamid = "wamid.other"
    assert await ready.refusal(ready.messages.SendMessage(request)) == (
        "INVALID_ARGUMENT",
        "REQUEST_ID_REUSED",
    )


async def test_a_repeat_is_answered_whatever_became_of_its_template(ready: Any) -> None:
    who = ready.profile.add(f"9055{uuid4().int % 10**8:08d}")
    name = f"gone_{uuid4().hex[:8]}"
    await ready.pool.execute(
        "UPDATE templates SET name = $2 WHERE waba_id = $1 AND name = 'welcome'",
        *(ready.waba_id, name),
    )
    body = [TemplateParameter(text="Ayşe")]
    content = Content(template=TemplateMessage(name=name, language="tr", body=body))
    request = sending(who, content)
    first = await ready.messages.SendMessage(request)
    await ready.pool.execute("DELETE FROM templates WHERE waba_id = $1", ready.waba_id)
    assert await ready.messages.SendMessage(request) == first
    request.content.template.body[0].text = "Zeynep"
    assert (await ready.refusal(ready.messages.SendMessage(request)))[1] == "REQUEST_ID_REUSED"
    assert len(await ready.rows(contact_id=who)) == 1


async def test_repeats_that_come_together_are_one_message(ready: Any) -> None:
    who, _ = await writer(ready)
    request = sending(who, FREE["text"])
    answers = await asyncio.gather(*(ready.messages.SendMessage(request) for _ in range(5)))
    assert len({answer.message.ref.message_id for answer in answers}) == 1
    assert len(await ready.rows(contact_id=who)) == 1


SHOWN = TemplateHeaderParameter(image=PICTURE)
COMPONENTS = [
    {
        "type": "BODY",
        "text": "Merhaba {{1}}, {{2}} seni bekliyor.",
        "example": {"body_text": [["Ayşe", "indirim"]]},
    },
    {
        "type": "BUTTONS",
        "buttons": [
            {"type": "QUICK_REPLY", "text": "Evet"},
            {
                "type": "URL",
                "text": "Aç",
                "url": "https://m.example/{{1}}",
                "example": ["https://m.example/a"],
            },
        ],
    },
]


@pytest.fixture
async def dressed(ready: Any) -> Any:
    """With a marketing template `dressed` of header, body and buttons."""
    graph, headers = f"{ready.graph_url}/v26.0", {"Authorization": "Bearer graph"}
    sample = {"file_name": "a.png", "file_length": "8", "file_type": "image/png"}
    async with ready.http.post(f"{graph}/1/uploads", params=sample, headers=headers) as response:
        session = (await response.json())["id"]
    offset = {"file_offset": "0", "Authorization": "OAuth graph"}
    async with ready.http.post(f"{graph}/{session}", data=b"x" * 8, headers=offset) as response:
        handle = (await response.json())["h"]
    header = {"type": "HEADER", "format": "IMAGE", "example": {"header_handle": [handle]}}
    async with ready.http.post(
        f"{graph}/{ready.waba_id}/message_templates",
        json={
            "name": "dressed",
            "language": "tr",
            "category": "MARKETING",
            "components": [header, *COMPONENTS],
        },
        headers=headers,
    ) as response:
        assert response.status == 200, await response.text()
    await ready.templates.SyncTemplates(SyncTemplatesRequest(waba_id=ready.waba_id))
    return ready


def dress(**more: Any) -> Content:
    return Content(
        template=TemplateMessage(
            **{
                "name": "dressed",
                "language": "tr",
                "header": SHOWN,
                "body": [TemplateParameter(text="Ayşe"), TemplateParameter(text="indirim")],
                "buttons": [
                    TemplateButtonParameter(index=0, quick_reply_payload="yes"),
                    TemplateButtonParameter(index=1, url_suffix="a"),
                ],
            }
            | more
        )
    )


async def test_a_template_with_header_body_and_buttons_is_taken_outside_the_window(
    dressed: Any,
) -> None:
    who = dressed.profile.add(f"9055{uuid4().int % 10**8:08d}")
    sent = await dressed.messages.SendMessage(sending(who, dress()))
    async with dressed.sending():
        (row,) = await all_left(dressed, who, 1)
    assert row.error_code == 0
    got = await dressed.messages.GetMessage(
        GetMessageRequest(message_id=sent.message.ref.message_id, include_content=True)
    )
    assert got.message.content == dress()


@pytest.mark.parametrize(
    ("more", "variable"),
    [
        ({"body": [TemplateParameter(text="Ayşe")]}, "body.2"),
        ({"header": None}, "header"),
        ({"buttons": [TemplateButtonParameter(index=0, quick_reply_payload="y")]}, "button.1"),
        (
            {"cards": [TemplateCardParameters(card_index=i, header=SHOWN) for i in range(2)]},
            "card.0.header",
        ),
    ],
)
async def test_values_that_do_not_fit_are_refused_before_anything_is_stored(
    dressed: Any, more: dict[str, Any], variable: str
) -> None:
    who = dressed.profile.add("905550003344")
    call = dressed.messages.SendMessage(sending(who, dress(**more)))
    status, reason, facts = await dressed.refused(call)
    assert (status, reason) == ("INVALID_ARGUMENT", "PARAMETERS_INVALID")
    assert facts["variable"] == variable
    assert await dressed.rows(contact_id=who) == []


async def test_marketing_goes_through_its_endpoint_where_the_number_says_so(
    dressed: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    number = BusinessNumber(phone_number_id=dressed.number_id, marketing_endpoint=True)
    await dressed.numbers.UpdateNumber(UpdateNumberRequest(number=number))
    doors: list[str] = []
    send = dressed.graph.send

    async def seen(message: Any, posted: Any, credential: str) -> Any:
        doors.append(posted.endpoint)
        return await send(message, posted, credential)

    monkeypatch.setattr(dressed.graph, "send", seen)
    who, _ = await writer(dressed)
    options = MarketingOptions(
        product_policy=MarketingOptions.PRODUCT_POLICY_STRICT, message_activity_sharing=True
    )
    await dressed.messages.SendMessage(sending(who, dress(), marketing=options))
    await dressed.messages.SendMessage(sending(who, FREE["text"]))
    async with dressed.sending():
        rows = await all_left(dressed, who, 2)
    assert {row.error_code for row in rows} == {0}
    assert sorted(doors) == ["marketing_messages", "messages"]

    refused = dressed.messages.SendMessage(sending(who, FREE["text"], marketing=options))
    assert await dressed.refusal(refused) == ("INVALID_ARGUMENT", "FIELD_INVALID")


@pytest.mark.parametrize(
    ("request_", "field"),
    [
        (SendMessageRequest(), "request_id"),
        (SendMessageRequest(request_id="1"), "destination"),
        (SendMessageRequest(request_id="1", purpose="x" * 65), "purpose"),
        (SendMessageRequest(request_id="1", context_wamid="x" * 129), "context_wamid"),
        (
            SendMessageRequest(
                request_id="1",
                not_before_time=Timestamp(seconds=20),
                not_after_time=Timestamp(seconds=10),
            ),
            "not_after_time",
        ),
    ],
)
async def test_what_can_never_be_sent_is_refused_by_its_field(
    ready: Any, request_: SendMessageRequest, field: str
) -> None:
    status, reason, facts = await ready.refused(ready.messages.SendMessage(request_))
    assert (status, reason, facts["field"]) == ("INVALID_ARGUMENT", "FIELD_INVALID", field)


async def test_the_content_is_refused_by_the_path_of_its_field(ready: Any) -> None:
    who = ready.profile.add("905550003345")
    content = asking(reply_buttons=ReplyButtons(buttons=[ReplyButton(id="a", title="x" * 21)]))
    status, reason, facts = await ready.refused(ready.messages.SendMessage(sending(who, content)))
    assert (status, reason) == ("INVALID_ARGUMENT", "CONTENT_INVALID")
    assert facts == {
        "field": "content.interactive.reply_buttons.buttons[0].title",
        "rule": "length",
        "limit": "20",
    }
    assert await ready.rows(contact_id=who) == []


async def test_nothing_is_pinned_outside_of_groups(ready: Any) -> None:
    who = ready.profile.add("905550003346")
    content = Content(pin=Pin(operation=Pin.OPERATION_PIN, wamid="wamid.1"))
    status, reason, facts = await ready.refused(ready.messages.SendMessage(sending(who, content)))
    assert (status, reason, facts["field"]) == ("INVALID_ARGUMENT", "FIELD_INVALID", "content.pin")
    assert await ready.rows(contact_id=who) == []


async def test_somebody_may_be_named_by_an_identity(ready: Any) -> None:
    wa_id = f"9055{uuid4().int % 10**8:08d}"
    who = ready.profile.add(wa_id)
    request = sending("", FREE["text"])
    request.destination.identity.CopyFrom(Identity(kind=Identity.KIND_WA_ID, value=wa_id))
    sent = await ready.messages.SendMessage(request)
    assert sent.message.contact_id == who


async def test_messages_are_listed_by_when_they_were_planned(ready: Any) -> None:
    who, _ = await writer(ready)
    sent = [await ready.messages.SendMessage(sending(who, FREE["text"])) for _ in range(3)]
    times = [one.message.plan_time.ToMilliseconds() for one in sent]
    await ready.pool.execute(
        "UPDATE messages m SET plan_time = u.time FROM unnest($1::text[], $2::bigint[])"
        " AS u(id, time) WHERE m.message_id = u.id",
        [one.message.ref.message_id for one in sent],
        [times[0], times[0] + 10, times[0] + 20],
    )
    request = ListMessagesRequest(contact_id=who)
    request.start_time.FromMilliseconds(times[0] + 10)
    request.end_time.FromMilliseconds(times[0] + 20)
    found = (await ready.messages.ListMessages(request)).messages
    assert [one.ref.message_id for one in found] == [sent[1].message.ref.message_id]


async def test_a_read_mark_names_a_message(ready: Any) -> None:
    call = ready.messages.MarkRead(MarkReadRequest(phone_number_id=ready.number_id))
    assert await ready.refusal(call) == ("INVALID_ARGUMENT", "FIELD_INVALID")
    lost = ready.messages.MarkRead(MarkReadRequest(phone_number_id="1", wamid="wamid.1"))
    assert await ready.refusal(lost) == ("NOT_FOUND", "NUMBER_NOT_FOUND")
