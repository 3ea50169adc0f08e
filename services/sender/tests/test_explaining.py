"""Every verdict is told, before and after; complaints hold and let go."""

import json
from collections.abc import Sequence
from typing import Any

import msgspec

from chassis.ids import fresh_id
from chassis.testing import wait_until
from chassis.times import timestamp
from merhaba.event.v1 import AttributeChange, Tracked
from merhaba.profile.v1 import Attribute
from merhaba.sender.v1 import (
    Destination,
    ExplainSendRequest,
    ExplainSendResponse,
    FrequencyCap,
    GateVerdict,
    ListMessageEventsRequest,
    Message,
    MessageEvent,
    QuietHours,
)
from services.sender.delivery.moves import Decided, permit
from services.sender.delivery.outcome import Sent
from services.sender.gates import GATES, Candidate
from services.sender.gates.now import OPEN_COMPLAINT
from services.sender.model import DAY_MS, State
from services.sender.tests.test_caps import PLACES, claim, ended, now_ms, planned, store
from services.sender.tests.test_costs import PRICE, launched, upload
from services.sender.tests.test_hours import at
from services.sender.tests.test_people import event, heard
from services.sender.tests.test_policy import minutes, update
from services.sender.tests.test_sending import to, welcome

WAIT, REFUSE = GateVerdict.VERDICT_WAIT, GateVerdict.VERDICT_REFUSE


async def test_a_message_of_somebody_who_was_erased_is_explained_as_nobodys(ready: Any) -> None:
    who = ready.profile.add("905551126001")
    sent = await ready.messages.SendMessage(to(who))
    await ready.erase(who)
    answer = await explain(ready, message_id=sent.message.ref.message_id)
    assert (answer.allowed, answer.contact_id) == (False, "")


async def test_who_cannot_be_anybody_is_nobody_and_keeps_nobody_else_waiting(ready: Any) -> None:
    refused = await ready.refusal(ready.messages.SendMessage(to("no id")))
    assert refused == ("NOT_FOUND", "CONTACT_NOT_FOUND")
    impossible = planned(ready, "no id")
    await store(ready, impossible)
    who = ready.profile.add("905551126002")
    sent = await ready.messages.SendMessage(to(who))

    async def both_are_decided() -> bool:
        (own,) = await ready.rows(message_id=sent.message.ref.message_id)
        (other,) = await ready.rows(message_id=impossible.message_id)
        return (own.state, other.state) == (State.SENT, State.SUPPRESSED)

    async with ready.sending():
        await wait_until(both_are_decided, timeout_s=30)


async def explain(ready: Any, **fields: Any) -> ExplainSendResponse:
    if contact := fields.pop("contact", ""):
        fields["destination"] = Destination(contact_id=contact)
    answer: ExplainSendResponse = await ready.messages.ExplainSend(ExplainSendRequest(**fields))
    return answer


def stops(answer: ExplainSendResponse) -> dict[str, str]:
    return {v.gate: v.reason for v in answer.verdicts if v.verdict in (WAIT, REFUSE)}


def values(answer: ExplainSendResponse, gate: str) -> Any:
    (verdict,) = [v for v in answer.verdicts if v.gate == gate]
    return {value.name: json.loads(value.value_json) for value in verdict.values}


def complaining(ready: Any, contact_id: str, is_open: bool) -> None:
    trait = Attribute(name=OPEN_COMPLAINT, value_json=msgspec.json.encode(is_open))
    del ready.profile.people[contact_id].traits[:]
    ready.profile.people[contact_id].traits.append(trait)


async def test_every_gate_answers_with_what_it_looked_at_in_the_language_asked(ready: Any) -> None:
    await upload(ready)
    await update(
        ready,
        frequency_caps=[FrequencyCap(purpose="marketing", limit=1, window_duration=minutes(60))],
        quiet_hours=[QuietHours(purpose="marketing", start="21:00", end="09:00")],
        default_zone="Europe/Istanbul",
    )
    who = ready.profile.add("905551230001")
    night = at("2030-01-01T23:30")
    answer = await explain(
        ready, contact=who, content=welcome("Ayşe"), send_time=timestamp(night), language="tr"
    )
    assert [v.gate for v in answer.verdicts] == [gate.__name__ for gate in GATES]
    assert not answer.allowed
    assert stops(answer) == {"quiet_hours": "quiet"}
    assert answer.next_eligible_time == timestamp(at("2030-01-02T09:00"))
    (quiet,) = [v for v in answer.verdicts if v.verdict == WAIT]
    assert quiet.explanation == "Kişinin bulunduğu yerde sessiz saatler."
    assert values(answer, "quiet_hours") == {
        "zone": "Europe/Istanbul",
        "market": "TR",
        "now_time": "2030-01-01T20:30:00Z",
    }
    assert values(answer, "frequency_cap") == {"cap.marketing.3600s": {"used": 0, "limit": 1}}
    assert (answer.cost_micros, answer.currency_code) == (PRICE, "USD")
    noon = await explain(
        ready,
        contact=who,
        content=welcome("Ayşe"),
        send_time=timestamp(at("2030-01-01T12:00")),
    )
    assert noon.allowed
    assert noon.next_eligible_time == noon.evaluate_time
    assert not any(v.explanation for v in noon.verdicts)


async def test_all_gates_are_asked_even_after_one_refuses(ready: Any) -> None:
    stranger = ready.profile.add("905551230002", marketing=False)
    complaining(ready, stranger, True)
    answer = await explain(ready, contact=stranger, content=welcome("Ayşe"))
    assert stops(answer) == {"consent": "not_granted", "complaint": "complaint_open"}
    assert not answer.HasField("next_eligible_time")
    assert {v.explanation for v in answer.verdicts if v.verdict == REFUSE} == {
        "The person has not agreed to messages of this purpose."
    }


async def test_nothing_is_sent_or_reserved_by_asking(ready: Any) -> None:
    await update(
        ready,
        frequency_caps=[FrequencyCap(purpose="marketing", limit=1, window_duration=minutes(60))],
    )
    who = ready.profile.add("905551230003")
    for _ in range(3):
        assert (await explain(ready, contact=who, content=welcome("Ayşe"))).allowed
    assert await ready.rows(contact_id=who) == []


async def test_a_message_tells_what_the_gates_said_when_it_came_to_its_turn(ready: Any) -> None:
    await update(
        ready,
        frequency_caps=[FrequencyCap(purpose="marketing", limit=1, window_duration=minutes(1440))],
    )
    who = ready.profile.add("905551230004")
    ids = [
        (await ready.messages.SendMessage(to(who, welcome(name)))).message.ref.message_id
        for name in ("Ayşe", "Fatma")
    ]
    unasked = await explain(ready, message_id=ids[0])
    assert list(unasked.recorded_verdicts) == []
    going, held = sorted(await claim(ready), key=lambda one: one.message.state != State.ATTEMPTING)
    await ready.outbox.settle([ended(going, Sent(f"wamid.{fresh_id('w')}"))])
    await update(ready, "frequency_caps")
    answer = await explain(ready, message_id=held.message.message_id)
    assert answer.allowed, "by the policy of now"
    recorded = {v.gate: v for v in answer.recorded_verdicts}
    assert recorded["frequency_cap"].verdict == WAIT
    assert recorded["frequency_cap"].next_time == timestamp(going.message.attempt_time + DAY_MS)
    (used,) = recorded["frequency_cap"].values
    assert json.loads(used.value_json) == {"used": 1, "limit": 1}
    assert recorded["consent"].verdict == GateVerdict.VERDICT_PASS

    found = await ready.messages.ListMessageEvents(
        ListMessageEventsRequest(message_id=going.message.message_id, page_size=3)
    )
    assert [e.kind for e in found.events] == [
        MessageEvent.KIND_PLANNED,
        MessageEvent.KIND_GATED,
        MessageEvent.KIND_ATTEMPTED,
    ]
    assert found.events[1].state == Message.STATE_ATTEMPTING
    assert len(found.events[1].verdicts) == len(GATES)
    rest = await ready.messages.ListMessageEvents(
        ListMessageEventsRequest(
            message_id=going.message.message_id, page_size=3, page_token=found.next_page_token
        )
    )
    assert [e.status.status for e in rest.events] == ["sent"]
    assert rest.next_page_token == ""


async def test_what_a_campaign_leaves_out_is_said_before_the_gates(ready: Any) -> None:
    campaign_id = await launched(ready, 1, hold_out_share=0.999_999)
    (row,) = await ready.rows(campaign_id=campaign_id)
    answer = await explain(ready, contact=row.contact_id, campaign_id=campaign_id)
    assert answer.verdicts[0].gate == answer.verdicts[0].reason == "hold_out"
    assert answer.verdicts[0].explanation
    assert not answer.allowed


async def claimed(ready: Any) -> Sequence[Decided]:
    """As dispatch does, with what profile says of people."""

    async def decide(candidates: Sequence[Candidate]) -> Sequence[Decided]:
        people = await ready.neighbours.get([c.message.contact_id for c in candidates])
        return [permit(c, people[c.message.contact_id], now_ms(), 60_000) for c in candidates]

    found, _ = await ready.outbox.claim(ready.number_id, PLACES, now_ms(), decide)
    decided: Sequence[Decided] = found
    return decided


async def test_a_complaint_holds_marketing_until_it_is_closed(ready: Any) -> None:
    who = ready.profile.add("905551230005")
    complaining(ready, who, True)
    await ready.messages.SendMessage(to(who, welcome("Ayşe")))
    (held,) = await claimed(ready)
    assert (held.message.gate, held.message.reason) == ("complaint", "complaint_open")
    assert await claimed(ready) == []

    def changed(is_open: bool) -> Any:
        closed = event(who, now_ms(), tracked=Tracked(name="complaint_closed"))
        value = msgspec.json.encode(is_open)
        closed.changes.append(AttributeChange(name=OPEN_COMPLAINT, value_json=value))
        return closed

    await heard(ready, changed(True))
    assert await claimed(ready) == [], "another complaint is open"
    complaining(ready, who, False)
    await heard(ready, changed(False))
    (going,) = await claimed(ready)
    assert going.address
