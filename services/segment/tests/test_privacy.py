"""One person's right to see and to erase, through the whole service."""

import asyncio
import hashlib
import json
from datetime import timedelta
from uuid import uuid4

import grpc
import pytest

from chassis.ids import fresh_id
from chassis.testing import tables_naming, tables_of_contacts, values_of_contact
from merhaba.event.v1 import (
    ConsentChanged,
    ContactErased,
    ContactMerged,
    ContactSplit,
    Event,
    LocationPinged,
)
from merhaba.segment.v1 import (
    Action,
    CatalogCause,
    CreateJourneyRequest,
    CreateSegmentRequest,
    CreateTriggerRequest,
    EraseContactRequest,
    EventCause,
    ExportContactRequest,
    Journey,
    Segment,
    SendAction,
    SetAction,
    StartAction,
    Step,
    Trigger,
    WaitStep,
)
from services.segment.engine.model import Past

RECORDS_OF_ERASURE = {"erasures", "tombstones"}
"""Tables in which an erased contact's id stays: they say that it was erased."""


def person() -> str:
    return str(uuid4())


def event(suite, contact: str, **body) -> Event:
    time = suite.tracked(contact, "x").event_time
    return Event(event_id=fresh_id("e"), event_time=time, contact_id=contact, **body)


def erased(suite, contact: str) -> Event:
    return event(suite, contact, contact_erased=ContactErased(request_id="r"))


def split(suite, contact: str, other: str) -> Event:
    body = ContactSplit(from_contact_id=other, member_contact_ids=[contact])
    return event(suite, contact, contact_split=body)


async def exported(suite, contact: str, *members: str, cursor: str = "") -> list:
    request = ExportContactRequest(contact_id=contact, member_contact_ids=members, cursor=cursor)
    return [r async for one in suite.privacy.ExportContact(request) for r in one.records]


async def erase(suite, contact: str, *members: str, request_id: str = ""):
    request = EraseContactRequest(
        request_id=request_id or fresh_id("r"), contact_id=contact, member_contact_ids=members
    )
    return (await suite.privacy.EraseContact(request)).receipt


@pytest.fixture
async def rules(suite) -> None:
    rule = 'events("product_viewed").within("24h").exists() || profile.city == "nowhere"'
    request = CreateSegmentRequest(segment=Segment(name="active", expression=rule))
    await suite.segments.CreateSegment(request)
    trigger = Trigger(
        name="t",
        event=EventCause(name="product_viewed"),
        action=Action(send=SendAction(campaign_id="c")),
    )
    trigger.delay_duration.FromSeconds(3600)
    await suite.triggers.CreateTrigger(CreateTriggerRequest(trigger=trigger))
    back = Trigger(
        name="back",
        catalog=CatalogCause(change=CatalogCause.CHANGE_BACK_IN_STOCK),
        action=trigger.action,
    )
    await suite.triggers.CreateTrigger(CreateTriggerRequest(trigger=back))
    waiting = Step(step_id="wait", wait=WaitStep(days=30))
    hello = Step(step_id="hello", next_step_id="note", action=trigger.action)
    note = Action(set=SetAction(attribute_name="city", expression="parameters.color"))
    noted = Step(step_id="note", next_step_id="wait", action=note)
    made = await suite.journeys.CreateJourney(
        CreateJourneyRequest(journey=Journey(name="way", steps=[hello, noted, waiting]))
    )
    start = StartAction(journey_id=made.journey.journey_id, parameters={"color": "event.color"})
    begin = Trigger(
        name="begin", event=EventCause(name="product_viewed"), action=Action(start=start)
    )
    await suite.triggers.CreateTrigger(CreateTriggerRequest(trigger=begin))
    hot = Segment(name="hot", expression="weather().temperature_c > 30.0")
    await suite.segments.CreateSegment(CreateSegmentRequest(segment=hot))


async def live(suite, contact: str, word: str) -> None:
    """Something of the person in every table; what they did and are holds the word."""
    properties = json.dumps({"color": word, "product_id": "d1"})
    city = [("city", json.dumps(word)), ("stage", '"awareness"')]
    await suite.hear(
        suite.tracked(contact, "product_viewed", ago=timedelta(hours=30)),
        suite.tracked(contact, "product_viewed", properties, changes=city),
        event(suite, contact, consent_changed=ConsentChanged(purpose="marketing", granted=True)),
        event(suite, contact, location_pinged=LocationPinged(latitude=38.4, longitude=27.1)),
        split(suite, person(), contact),
    )


async def test_every_table_of_contacts_is_told_and_erased(suite, rules) -> None:
    anne, bob, word = person(), person(), fresh_id("word")
    await live(suite, anne, word)
    await live(suite, bob, "something else")
    await suite.effects.sweep(timedelta())
    told = await exported(suite, anne)
    text = b"\n".join(one.record_json for one in told)
    tables = await tables_of_contacts(suite.pool)
    for table in tables:
        for value in await values_of_contact(suite.pool, table, anne):
            assert value in text, (table, value)
    assert text.count(word.encode()) == 4, "an attribute, what waits, and what was done with it"
    assert bob.encode() not in text
    assert {one.dataset for one in told} == {
        *("facts", "event", "membership", "stay", "occurrence", "deed", "rebuild"),
        *("whereabouts", "look", "journey_instance", "journey_visit", "stage"),
    }

    receipt = await erase(suite, anne)
    assert set(receipt.records) == {
        *("state", "membership", "stay", "occurrence", "deed", "rebuild"),
        *("whereabouts", "look"),
        *("journey_instance", "journey_visit", "stage"),
    }
    assert min(receipt.records.values()) == 1
    assert await exported(suite, anne) == []
    assert await tables_naming(suite.pool, anne, word) == RECORDS_OF_ERASURE
    for table in tables:
        assert await values_of_contact(suite.pool, table, bob)
    said = {who: (await suite.said(who)).count("trigger_fired") for who in (anne, bob)}
    await suite.pass_time(hours=2)
    assert (await suite.said(anne)).count("trigger_fired") == said[anne]
    assert (await suite.said(bob)).count("trigger_fired") > said[bob]


async def test_an_erasure_is_heard_of_without_a_call_and_nothing_late_undoes_it(
    suite, rules
) -> None:
    anne, bob = person(), person()
    late = suite.tracked(anne, "product_viewed")
    await live(suite, anne, "red")
    said = len(await suite.said(anne))
    await suite.hear(suite.tracked(anne, "x"), erased(suite, anne), late)
    await suite.hear(suite.tracked(anne, "product_viewed"))
    await suite.membership.recall({anne: Past(anne)})
    merge = ContactMerged(absorbed_contact_id=anne, member_contact_ids=[anne])
    await suite.hear(event(suite, bob, contact_merged=merge), split(suite, anne, bob))
    assert await tables_naming(suite.pool, anne) <= {"outbox", "tombstones"}
    assert len(await suite.said(anne)) == said
    await suite.hear(suite.tracked(bob, "product_viewed"))
    assert [one.dataset for one in await exported(suite, bob)][-1] == "rebuild"


async def test_what_a_split_gives_back_to_somebody_who_was_erased_is_gone(suite, rules) -> None:
    anne, bob = person(), person()
    await live(suite, anne, "red")
    merge = ContactMerged(absorbed_contact_id=anne, member_contact_ids=[anne])
    await suite.hear(event(suite, bob, contact_merged=merge))
    await erase(suite, anne)
    await suite.hear(split(suite, anne, bob))
    assert await tables_naming(suite.pool, anne) <= RECORDS_OF_ERASURE | {"outbox"}


async def test_a_past_that_is_being_taken_up_brings_nobody_back(suite, rules) -> None:
    anne = person()
    for _ in range(20):
        contact = person()
        await asyncio.gather(
            suite.hear(*(suite.tracked(contact, "product_viewed") for _ in range(3))),
            suite.membership.recall({contact: Past(contact), anne: Past(anne)}),
            erase(suite, contact),
        )
        assert await exported(suite, contact) == []


async def test_all_ids_of_a_person_are_erased_together(suite, rules) -> None:
    anne, also = person(), person()
    await suite.hear(*(suite.tracked(one, "product_viewed") for one in (anne, also)))
    assert (await erase(suite, anne, also)).records["state"] == 2
    assert await exported(suite, anne, also) == []


async def test_a_repeat_erases_what_came_since_and_gives_the_first_receipt(suite) -> None:
    anne, request_id = person(), fresh_id("r")
    await suite.hear(suite.tracked(anne, "x"))
    first = await erase(suite, anne, request_id=request_id)
    await suite.pool.execute("INSERT INTO rebuilds VALUES ($1, 0)", anne)
    assert await erase(suite, anne, request_id=request_id) == first
    assert await exported(suite, anne) == []
    digest, first.sha256 = first.sha256, ""
    assert digest == hashlib.sha256(first.SerializeToString(deterministic=True)).hexdigest()
    assert (first.service, first.contact_id) == ("segment", anne)
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await erase(suite, person(), request_id=request_id)
    assert caught.value.code() == grpc.StatusCode.INVALID_ARGUMENT
    assert sum((await erase(suite, person())).records.values()) == 0


async def test_an_export_goes_on_behind_its_cursor(suite, rules) -> None:
    anne = person()
    large = json.dumps({"color": "x" * 400_000})
    await suite.hear(*(suite.tracked(anne, "product_viewed", large) for _ in range(6)))
    request = ExportContactRequest(contact_id=anne)
    pages = [one async for one in suite.privacy.ExportContact(request)]
    assert len(pages) > 1
    rest = [one for page in pages[1:] for one in page.records]
    assert await exported(suite, anne, cursor=pages[0].cursor) == rest
