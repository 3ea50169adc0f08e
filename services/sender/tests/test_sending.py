"""One message, once: on real Postgres, Redis and simulator."""

import asyncio
import re
from typing import Any
from uuid import uuid4

import grpc
import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from chassis.app import tasks
from chassis.clock import SystemClock, milliseconds_of
from chassis.failures import Failure
from chassis.ids import fresh_id
from chassis.streams import Consumer, Record
from chassis.testing import wait_until
from merhaba.event.v1 import (
    ButtonReply,
    Event,
    Identity,
    LinkClicked,
    MessageContent,
    MessageContext,
    MessageReceived,
    NumberQualityChanged,
    PlatformError,
    Pricing,
    StatusReceived,
    TemplateStatusChanged,
)
from merhaba.sender.v1 import (
    BusinessNumber,
    Content,
    CreateTemplateRequest,
    Destination,
    ErrorReason,
    ExplainSendRequest,
    GetMessageRequest,
    GetNumberRequest,
    ListMessagesRequest,
    Message,
    PauseNumberRequest,
    RegisterNumberRequest,
    ResumeNumberRequest,
    SendMessageRequest,
    SendMessageResponse,
    Template,
    TemplateBody,
    TemplateComponents,
    TemplateMessage,
    TemplateParameter,
    UpdateNumberRequest,
    VariableExample,
)
from services.sender.consumer import AccountConsumer, ContactConsumer, StatusConsumer
from services.sender.model import State


def now_ms() -> int:
    return milliseconds_of(SystemClock().now())


def stamped(time: int) -> Timestamp:
    return Timestamp(seconds=time // 1000, nanos=time % 1000 * 1_000_000)


def welcome(name: str = "Ayşe", template: str = "welcome") -> Content:
    body = [TemplateParameter(text=name)]
    return Content(template=TemplateMessage(name=template, language="tr", body=body))


def to(contact_id: str, content: Content | None = None, request_id: str = "") -> SendMessageRequest:
    return SendMessageRequest(
        request_id=request_id or str(uuid4()),
        destination=Destination(contact_id=contact_id),
        content=content or welcome(),
    )


def status(message: Any, name: str, seconds: int, **more: Any) -> bytes:
    told = StatusReceived(
        wamid=more.pop("wamid", "wamid." + message.ref.message_id),
        phone_number_id="1",
        status=name,
        callback_data=message.ref.message_id,
        **more,
    )
    return Event(
        event_id=f"{told.wamid}/{name}/{seconds}",
        event_time=Timestamp(seconds=seconds),
        received_time=Timestamp(seconds=seconds + 1),
        source="whatsapp:1",
        identities=[Identity(kind=Identity.KIND_WA_ID, value="905")],
        status_received=told,
    ).SerializeToString()


async def reason_of(call: Any) -> tuple[str, str]:
    from google.rpc import error_details_pb2
    from grpc_status import rpc_status

    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    found = rpc_status.from_call(caught.value)
    assert found is not None
    info = error_details_pb2.ErrorInfo()
    found.details[0].Unpack(info)
    return caught.value.code().name, info.reason


async def test_a_message_is_sent_and_its_statuses_move_it_forward(ready: Any) -> None:
    who = ready.profile.add("905551110001")
    sent: SendMessageResponse = await ready.messages.SendMessage(to(who))
    assert sent.message.state == Message.STATE_PLANNED
    message_id = sent.message.ref.message_id

    async def at(state: int) -> bool:
        got = await ready.messages.GetMessage(GetMessageRequest(message_id=message_id))
        return got.message.state == state

    consumer = StatusConsumer(ready.outbox)
    async with ready.sending(
        Consumer(ready.log, "sender.status", ["inbound.status"], consumer.handle).run
    ):
        await wait_until(lambda: at(Message.STATE_SENT))
        (entry,) = await ready.ledger()
        assert (entry["callback_data"], entry["to"]) == (message_id, "905551110001")
        seconds = now_ms() // 1000
        pricing = Pricing(billable=True, category="marketing", pricing_model="PMP")
        for name, offset in (("read", 3), ("delivered", 2), ("sent", 1), ("read", 3)):
            event = status(
                sent.message, name, seconds + offset, wamid=entry["wamid"], pricing=pricing
            )
            await ready.log.append([Record("inbound.status", "905", event)])
        await wait_until(lambda: at(Message.STATE_READ))

        async def folded() -> bool:
            lags = await ready.log.lag(["inbound.status"])
            read = sum([await ready.log.redis.xlen(s) for s in ready.log.streams("inbound.status")])
            return bool(read) and all(not lag.behind and not lag.pending for lag in lags)

        await wait_until(folded)
    assert sorted(await ready.told(message_id)) == [
        "message_delivered",
        "message_planned",
        "message_read",
        "message_sent",
    ]
    events = {e.WhichOneof("body"): e for e in await ready.events()}
    read = events["message_read"]
    assert read.contact_id == who
    assert read.message_read.message.template_name == "welcome"
    assert read.message_read.message.category == "marketing"
    assert read.message_read.message.market == "TR"
    got = await ready.messages.GetMessage(GetMessageRequest(wamid=entry["wamid"]))
    assert got.message.pricing == pricing
    assert got.message.deliver_time.seconds == seconds + 2
    listed = await ready.messages.ListMessages(ListMessagesRequest(contact_id=who))
    assert [m.ref.message_id for m in listed.messages] == [message_id]


async def test_a_second_send_with_the_same_request_id_sends_nothing(ready: Any) -> None:
    who = ready.profile.add("905551110002")
    request_id = str(uuid4())
    first = await ready.messages.SendMessage(to(who, request_id=request_id))
    again = await ready.messages.SendMessage(to(who, request_id=request_id))
    assert first.message.ref.message_id == again.message.ref.message_id
    other = to(who, welcome("Fatma"), request_id)
    assert await reason_of(ready.messages.SendMessage(other)) == (
        "INVALID_ARGUMENT",
        "REQUEST_ID_REUSED",
    )
    async with ready.sending():
        await wait_until(lambda: _count(ready, 1))
    assert len(await ready.ledger()) == 1


async def _count(ready: Any, count: int) -> bool:
    return len(await ready.ledger()) >= count


async def test_without_consent_nothing_is_sent_and_the_reason_is_recorded(ready: Any) -> None:
    who = ready.profile.add("905551110003", marketing=False)
    sent = await ready.messages.SendMessage(to(who))
    order = await ready.messages.SendMessage(to(who, Content(template=_order("Ayşe", "token"))))
    explained = await ready.messages.ExplainSend(
        ExplainSendRequest(message_id=sent.message.ref.message_id)
    )
    assert not explained.allowed
    assert {v.gate: v.reason for v in explained.verdicts if v.reason} == {"consent": "not_granted"}
    async with ready.sending():

        async def done() -> bool:
            rows = await ready.rows(contact_id=who)
            return {r.state for r in rows} == {State.SUPPRESSED, State.SENT}

        await wait_until(done)
    rows = {row.message_id: row for row in await ready.rows(contact_id=who)}
    refused = rows[sent.message.ref.message_id]
    assert (refused.gate, refused.reason) == ("consent", "not_granted")
    assert rows[order.message.ref.message_id].state == State.SENT
    (suppressed,) = [e for e in await ready.events() if e.HasField("message_suppressed")]
    assert suppressed.message_suppressed.gate == "consent"
    assert len(await ready.ledger()) == 1


def _order(name: str, suffix: str) -> TemplateMessage:
    from merhaba.sender.v1 import TemplateButtonParameter

    return TemplateMessage(
        name="order",
        language="tr",
        body=[TemplateParameter(text=name)],
        buttons=[TemplateButtonParameter(index=0, url_suffix=suffix)],
    )


def received(who: str, number: str, wamid: str, time: int, **more: Any) -> bytes:
    return Event(
        event_id=wamid,
        event_time=stamped(time),
        received_time=stamped(time),
        contact_id=who,
        message_received=MessageReceived(wamid=wamid, phone_number_id=number, **more),
    ).SerializeToString()


async def test_text_goes_only_inside_the_window_that_a_message_of_the_person_opens(
    ready: Any,
) -> None:
    who = ready.profile.add("905551110004")
    text = Content()
    text.text.body = "Nasıl yardımcı olabilirim?"
    early = await ready.messages.SendMessage(to(who, text))
    async with ready.sending():

        async def state_is(message_id: str, state: State) -> bool:
            row = await ready.outbox.get("message_id", message_id)
            return row.state == state

        await wait_until(lambda: state_is(early.message.ref.message_id, State.SUPPRESSED))
        person = {"wa_id": "905551110004"}
        await ready.control("POST", "people", [person])
        said = await ready.control(
            "POST", "people/905551110004/say", {"phone_number_id": ready.number_id, "text": "Selam"}
        )
        await ContactConsumer(ready.outbox, ready.people, ready.erase).handle(
            [received(who, ready.number_id, said["wamid"], now_ms())]
        )
        late = await ready.messages.SendMessage(to(who, text))
        await wait_until(lambda: state_is(late.message.ref.message_id, State.SENT))


async def test_replies_and_clicks_find_their_message_once(ready: Any) -> None:
    who = ready.profile.add("905551110005")
    await ready.messages.SendMessage(to(who))
    async with ready.sending():

        async def sent() -> bool:
            rows = await ready.rows(contact_id=who)
            return all(row.state == State.SENT for row in rows)

        await wait_until(sent)
    (row,) = await ready.rows(contact_id=who)
    other = ready.profile.add("905551110006")
    talk = ContactConsumer(ready.outbox, ready.people, ready.erase)
    at = row.sent_time + 60_000
    tapped = received(
        who,
        ready.number_id,
        f"wamid.t{row.message_id}",
        at,
        context=MessageContext(wamid=row.wamid),
        content=MessageContent(
            kind="button", button_reply=ButtonReply(kind="template_button", payload="STOP")
        ),
    )
    clicked = Event(
        event_id=fresh_id("click"),
        event_time=stamped(at + 1),
        contact_id=who,
        link_clicked=LinkClicked(link_id="L1", message_id=row.message_id),
    ).SerializeToString()
    foreign = Event.FromString(clicked)
    foreign.event_id, foreign.contact_id = fresh_id("click"), other
    free = received(who, ready.number_id, f"wamid.f{row.message_id}", at + 2)
    for _ in range(2):
        await talk.handle([tapped, clicked, foreign.SerializeToString(), free])
    events = [e for e in await ready.events() if e.contact_id == who]
    bodies = [e.WhichOneof("body") for e in events]
    assert sorted(bodies) == [
        "message_clicked",
        "message_delivered",
        "message_planned",
        "message_read",
        "message_replied",
        "message_sent",
    ]
    by_body = dict(zip(bodies, events, strict=True))
    assert by_body["message_clicked"].message_clicked.kind == "quick_reply"
    assert by_body["message_clicked"].message_clicked.target == "STOP"
    assert by_body["message_replied"].message_replied.match == "context"
    assert by_body["message_replied"].message_replied.reply_wamid == f"wamid.t{row.message_id}"
    assert by_body["message_read"].message_read.implied


async def test_a_message_without_quote_within_a_day_answers_the_latest_message(ready: Any) -> None:
    who = ready.profile.add("905551110007")
    await ready.messages.SendMessage(to(who))
    async with ready.sending():
        await wait_until(lambda: _count(ready, 1))

        async def sent() -> bool:
            rows = await ready.rows(contact_id=who)
            return all(row.state == State.SENT for row in rows)

        await wait_until(sent)
    (row,) = await ready.rows(contact_id=who)
    talk = ContactConsumer(ready.outbox, ready.people, ready.erase)
    late = received(who, "1", fresh_id("wamid"), row.sent_time + 86_400_000 + 2_000)
    await talk.handle([late])
    assert "message_replied" not in await ready.told(row.message_id)
    await talk.handle([received(who, "1", fresh_id("wamid"), row.sent_time - 900)])
    (replied,) = [e for e in await ready.events() if e.HasField("message_replied")]
    assert replied.message_replied.match == "window"


async def test_what_a_person_writes_answers_no_message_that_never_arrived(ready: Any) -> None:
    who = ready.profile.add("905551110008")
    sent = await ready.messages.SendMessage(to(who))
    await ready.pool.execute(
        "UPDATE messages SET state = 5, attempt_time = $2, sent_time = $2 WHERE message_id = $1",
        *(sent.message.ref.message_id, at := now_ms()),
    )
    failed = status(sent.message, "failed", at // 1000, errors=[PlatformError(code=131026)])
    await StatusConsumer(ready.outbox).handle([failed])
    talk = ContactConsumer(ready.outbox, ready.people, ready.erase)
    await talk.handle([received(who, ready.number_id, fresh_id("wamid"), at + 20)])
    (row,) = await ready.rows(contact_id=who)
    assert (row.state, row.error_code, row.replied_time) == (State.FAILED, 131026, 0)
    assert "message_read" not in await ready.told(row.message_id)


async def test_statuses_of_messages_that_are_not_ours_are_passed_on_with_their_identities(
    ready: Any,
) -> None:
    wamid = fresh_id("wamid")
    ghost = Message()
    event = status(ghost, "failed", 100, wamid=wamid, errors=[PlatformError(code=131026)])
    odd = status(ghost, "pondering", 101, wamid=wamid)
    for _ in range(2):
        await StatusConsumer(ready.outbox).handle([event, odd])
    (passed,) = [e for e in await ready.events() if e.HasField("message_failed")]
    assert passed.message_failed.message.wamid == wamid
    assert passed.message_failed.error.code == 131026
    assert passed.contact_id == ""
    assert passed.identities[0].value == "905"


async def test_a_person_meta_protects_gets_no_more_marketing_for_a_day(ready: Any) -> None:
    who = ready.profile.add("905551110008")
    sent = await ready.messages.SendMessage(to(who))
    seconds = now_ms() // 1000
    failed = status(sent.message, "failed", seconds, errors=[PlatformError(code=131049)])
    await StatusConsumer(ready.outbox).handle([failed])
    again = await ready.messages.SendMessage(to(who))
    async with ready.sending():

        async def held() -> bool:
            row = await ready.outbox.get("message_id", again.message.ref.message_id)
            return (row.state, row.gate) == (State.HELD, "saturation")

        await wait_until(held)
    assert await ready.ledger() == []
    explained = await ready.messages.ExplainSend(
        ExplainSendRequest(destination=Destination(contact_id=who), content=welcome())
    )
    assert not explained.allowed
    assert explained.next_eligible_time.seconds == seconds + 86_400


async def test_a_paused_number_keeps_its_messages_and_a_resumed_one_sends_them(ready: Any) -> None:
    who = ready.profile.add("905551110009")
    paused = await ready.numbers.PauseNumber(PauseNumberRequest(phone_number_id=ready.number_id))
    assert paused.number.state == BusinessNumber.STATE_PAUSED
    request = to(who)
    request.phone_number_id = ready.number_id
    await ready.messages.SendMessage(request)
    async with ready.sending():
        await asyncio.sleep(0.2)
        assert await ready.ledger() == []
        await ready.numbers.ResumeNumber(ResumeNumberRequest(phone_number_id=ready.number_id))
        await wait_until(lambda: _count(ready, 1))


async def test_an_account_that_meta_refuses_pauses_the_number_and_fails_nothing(
    ready: Any,
) -> None:
    who = ready.profile.add("905551110010")
    await ready.messages.SendMessage(to(who))
    number = BusinessNumber(phone_number_id=ready.number_id, credential_name="stale")
    await ready.numbers.UpdateNumber(UpdateNumberRequest(number=number))
    async with ready.sending():

        async def paused() -> bool:
            got = await ready.numbers.GetNumber(GetNumberRequest(phone_number_id=ready.number_id))
            return got.number.state_reason == "account_190"

        await wait_until(paused)
    (row,) = await ready.rows(contact_id=who)
    assert row.state == State.PLANNED


async def test_numbers_and_templates_are_read_from_meta_and_follow_its_webhooks(
    ready: Any,
) -> None:
    number = BusinessNumber(phone_number_id=ready.number_id, waba_id=ready.waba_id)
    registered = await ready.numbers.RegisterNumber(RegisterNumberRequest(number=number))
    assert registered.number.throughput_limit >= 80
    number.credential_name = "other"
    refused = ready.numbers.RegisterNumber(RegisterNumberRequest(number=number))
    assert await reason_of(refused) == ("FAILED_PRECONDITION", "NUMBER_UNUSABLE")
    wanted = CreateTemplateRequest(
        request_id=str(uuid4()),
        template=Template(
            waba_id=ready.waba_id,
            name="new_season",
            language="tr",
            category="MARKETING",
            components=TemplateComponents(
                body=TemplateBody(
                    text="Merhaba {{1}}, gel!",
                    examples=[VariableExample(variable="1", example="Ayşe")],
                )
            ),
        ),
    )
    (created,) = (await ready.templates.CreateTemplate(wanted)).templates
    (again,) = (await ready.templates.CreateTemplate(wanted)).templates
    assert created.template_id == again.template_id
    assert created.state == Template.STATE_APPROVED
    wanted.request_id = str(uuid4())
    assert await reason_of(ready.templates.CreateTemplate(wanted)) == (
        "ALREADY_EXISTS",
        "TEMPLATE_EXISTS",
    )
    now = now_ms()

    def changed(state: str, time: int) -> bytes:
        return Event(
            event_id=fresh_id("e"),
            event_time=stamped(time),
            template_status_changed=TemplateStatusChanged(
                waba_id=ready.waba_id, template_id=created.template_id, status=state
            ),
        ).SerializeToString()

    limit = Event(
        event_id=fresh_id("e"),
        event_time=stamped(now),
        number_quality_changed=NumberQualityChanged(
            waba_id=ready.waba_id,
            display_phone_number=registered.number.display_phone_number,
            messaging_limit="TIER_10K",
        ),
    ).SerializeToString()
    await AccountConsumer(ready.shelf, ready.number_store).handle(
        [changed("PAUSED", now), changed("APPROVED", now - 5_000), limit]
    )
    assert (await ready.shelf.template(created.template_id)).state == "PAUSED"
    got = await ready.numbers.GetNumber(GetNumberRequest(phone_number_id=ready.number_id))
    assert got.number.messaging_limit == "TIER_10K"


def failures_of(kind: type[Failure]) -> list[type[Failure]]:
    return [kind, *(f for sub in kind.__subclasses__() for f in failures_of(sub))]


def test_every_failure_is_a_reason_of_the_contract() -> None:
    own = [
        failure
        for failure in failures_of(Failure)
        if failure.__module__.startswith("services.sender.")
        and ".tests." not in failure.__module__  # what stands for other services has its own
    ]
    assert own
    for failure in own:
        name = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", failure.__name__).upper()
        assert f"ERROR_REASON_{name}" in ErrorReason.keys()  # noqa: SIM118 - no mapping


async def test_bad_requests_name_what_is_wrong(ready: Any) -> None:
    who = ready.profile.add("905551110011")
    unknown = to(fresh_id("contact"))
    assert await reason_of(ready.messages.SendMessage(unknown)) == (
        "NOT_FOUND",
        "CONTACT_NOT_FOUND",
    )
    nothing = Content(template=TemplateMessage(name="nothing", language="tr"))
    assert await reason_of(ready.messages.SendMessage(to(who, nothing))) == (
        "NOT_FOUND",
        "TEMPLATE_NOT_FOUND",
    )
    assert await reason_of(ready.messages.ListMessages(ListMessagesRequest())) == (
        "INVALID_ARGUMENT",
        "FIELD_INVALID",
    )
    listed = ListMessagesRequest(contact_id=who, page_token="x")
    assert await reason_of(ready.messages.ListMessages(listed)) == (
        "INVALID_ARGUMENT",
        "TOKEN_INVALID",
    )


async def test_what_is_no_event_is_given_up_alone(ready: Any) -> None:
    from chassis.streams import DeadLetters

    who = ready.profile.add("905551110012")
    sent = await ready.messages.SendMessage(to(who))
    good = status(sent.message, "delivered", now_ms() // 1000)
    await ready.log.append(
        [Record("inbound.status", "x", b"\xff\xff"), Record("inbound.status", "x", good)]
    )
    consumer = StatusConsumer(ready.outbox)
    async with tasks(Consumer(ready.log, "g", ["inbound.status"], consumer.handle).run):

        async def delivered() -> bool:
            (row,) = await ready.rows(contact_id=who)
            return row.state == State.DELIVERED

        await wait_until(delivered)

        async def listed() -> bool:
            return len(await DeadLetters(ready.log).list("g", "", 10)) == 1

        await wait_until(listed)
