"""From the log to the log: events become contacts in a real Postgres, once, in any company."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from chassis.app import tasks
from chassis.clock import ManualClock
from chassis.failures import FieldInvalid
from chassis.ids import fresh_id
from chassis.postgres import Pool
from chassis.streams import Consumer, DeadLetters, EventLog, Position, Record
from chassis.testing import wait_until
from merhaba.event.v1 import Event, Identity
from services.profile.jobs.consumer import recording
from services.profile.person.directory import Directory, EventQuery
from services.profile.person.identity import normalised
from services.profile.person.model import ContactNotFound, Kind
from services.profile.person.traits import names, value_json

Handle = Callable[[Sequence[bytes]], Awaitable[None]]


@pytest.fixture
def handle(directory: Directory, manual_clock: ManualClock) -> Handle:
    return recording(directory, manual_clock, "profile.test")


def external(value: str) -> Identity:
    return Identity(kind="KIND_EXTERNAL_ID", scope="shop", value=value)


def phone_of(number: str) -> Identity:
    return Identity(kind="KIND_WA_ID", value=number)


def fresh_phone() -> str:
    return f"90532{int.from_bytes(fresh_id('x').encode()[-4:], 'big') % 10_000_000:07d}"


def event(*who: Identity, time: int = 1_000, **body: object) -> Event:
    made = Event(event_id=fresh_id("e"), source="track:shop", identities=who, **body)  # type: ignore[arg-type]
    made.event_time.seconds = made.received_time.seconds = time
    return made


def tracked(name: str, *who: Identity, time: int = 1_000, json: bytes = b"") -> Event:
    return event(*who, time=time, tracked={"name": name, "properties_json": json})


def received(text: str, *who: Identity, time: int = 1_000) -> Event:
    body = {
        "wamid": fresh_id("wamid"),
        "phone_number_id": "n1",
        "content": {"kind": "text", "text": text},
    }
    return event(*who, time=time, message_received=body)


def raw(*events: Event) -> list[bytes]:
    return [e.SerializeToString() for e in events]


async def published(log: EventLog) -> list[Event]:
    starts = [Position(stream, b"0") for stream in log.streams("contact")]
    return [Event.FromString(e) for _, events in await log.read(starts, 10_000, 1) for e in events]


async def contact_of(directory: Directory, who: Identity) -> str:
    return await directory.resolve([normalised(who.kind, who.scope, who.value)])


async def until_done(handle: Handle, batch: list[bytes]) -> None:
    while True:  # as the consumer does
        try:
            await handle(batch)
        except Exception as error:
            if type(error).__name__ not in ("SerializationError", "DeadlockDetectedError"):
                raise
        else:
            return


async def test_an_event_comes_out_resolved_with_what_it_changed(
    handle: Handle, directory: Directory, log: EventLog
) -> None:
    who = external(fresh_id("c"))
    order = tracked("order_completed", who, phone_of(fresh_phone()), json=b'{"total": 12.5}')
    await handle(raw(order))
    created, same = await published(log)
    contact_id = await contact_of(directory, who)
    assert created.contact_id == same.contact_id == contact_id
    assert created.WhichOneof("body") == "contact_created"
    assert list(created.identities) == list(order.identities)
    assert same.event_id == order.event_id
    assert same.tracked == order.tracked
    assert same.received_time == order.received_time
    assert list(same.identities) == list(order.identities)
    assert {c.name: c.value_json for c in same.changes} == {
        "zone": b'"Europe/Istanbul"',
        "language": b'"tr"',
        "stage": b'"lapsed"',
        "traits.order_count": b"1",
        "traits.order_total": b"12.5",
        "traits.net_total": b"12.5",
        "traits.average_order_value": b"12.5",
        "traits.cart_open": b"false",
        "traits.first_order_time": b'"1970-01-01T00:16:40.000Z"',
        "traits.last_order_time": b'"1970-01-01T00:16:40.000Z"',
        "traits.last_seen_time": b'"1970-01-01T00:16:40.000Z"',
    }


async def test_a_repeat_changes_nothing_and_says_nothing(
    handle: Handle, directory: Directory, log: EventLog
) -> None:
    order = tracked("order_completed", external(fresh_id("c")))
    await handle(raw(order, order))
    await handle(raw(order))
    assert len(await published(log)) == 2
    (contact,) = await directory.find([await contact_of(directory, order.identities[0])])
    assert contact is not None
    assert contact.document.counts == {"order_count": 1}


async def test_an_event_that_names_two_contacts_makes_them_one(
    handle: Handle, directory: Directory, log: EventLog
) -> None:
    one, other = external(fresh_id("c")), phone_of(fresh_phone())
    first = tracked("order_completed", one, time=5)
    await handle(raw(first))
    await handle(raw(received("hi", other, time=6), received("STOP", other, time=7)))
    absorbed = await contact_of(directory, other)
    await handle(raw(event(one, other, time=8, identified={"traits_json": b'{"city": "Izmir"}'})))
    stays = await contact_of(directory, one)
    assert await contact_of(directory, other) == stays != absorbed
    contact = await directory.contact(absorbed)  # the merged id answers as the one that stays
    assert contact.contact_id == stays
    assert contact.absorbed == (absorbed,)
    assert contact.document.counts == {"order_count": 1, "message_count": 2}
    line = await directory.consent(contact, "marketing", None)
    assert line is not None
    assert not line.granted
    said = [e for e in await published(log) if e.contact_id == stays]
    assert [e.WhichOneof("body") for e in said] == [
        *("contact_created", "tracked", "contact_merged", "consent_changed", "identified")
    ]
    merged = said[2]
    assert merged.contact_merged.absorbed_contact_id == absorbed
    assert {"traits.message_count", "traits.order_count", "profile_name"} & {
        c.name for c in merged.changes
    } == {"traits.message_count", "traits.order_count"}
    _, events, _ = await directory.events(stays, EventQuery(names=["message_received"]), None, 10)
    assert [e.time for e in events] == [6_000, 7_000]


async def test_an_outcome_of_a_merged_contact_goes_to_the_one_that_stays(
    handle: Handle, directory: Directory, log: EventLog
) -> None:
    one, other = external(fresh_id("c")), external(fresh_id("c"))
    await handle(raw(tracked("a", one), tracked("a", other)))
    ids = {await contact_of(directory, one), await contact_of(directory, other)}
    await handle(raw(tracked("b", one, other)))
    for contact_id in ids:
        read = event(contact_id=contact_id, message_read={"message": {"message_id": "m"}})
        await handle(raw(read))
    (contact,) = await directory.find([await contact_of(directory, one)])
    assert contact is not None
    assert contact.document.counts == {"read_count": 2}
    reads = [e for e in await published(log) if e.WhichOneof("body") == "message_read"]
    assert {e.contact_id for e in reads} == {contact.contact_id}


async def test_a_tracker_cannot_pass_for_whatsapp(handle: Handle, directory: Directory) -> None:
    who = external(fresh_id("c"))
    await handle(raw(tracked("message_read", who)))
    contact = await directory.contact(await contact_of(directory, who))
    assert contact.document.counts == {}


async def test_an_outcome_of_nobody_is_refused(handle: Handle) -> None:
    nobody = "00000000-0000-7000-8000-000000000001"
    with pytest.raises(ContactNotFound):
        await handle(raw(event(contact_id=nobody, message_read={})))
    with pytest.raises(FieldInvalid):
        await handle(raw(event(contact_id="not an id", message_read={})))


async def test_a_changed_number_leads_to_the_same_person_and_the_old_one_ends(
    handle: Handle, directory: Directory
) -> None:
    old, new = fresh_phone(), fresh_phone()
    await handle(raw(received("hi", phone_of(old), time=1)))
    notice = {"kind": "user_changed_number", "new_wa_id": new}
    body = {"wamid": "w", "content": {"kind": "system", "system_notice": notice}}
    await handle(raw(event(phone_of(old), time=2, message_received=body)))
    contact = await directory.contact(await contact_of(directory, phone_of(new)))
    assert contact.contact_id == await contact_of(directory, phone_of(old))
    assert contact.document.place.phone == new
    assert contact.document.counts == {"message_count": 1}


async def test_a_changed_user_id_leads_to_the_same_person(
    handle: Handle, directory: Directory
) -> None:
    ids = [f"TR.{fresh_id('u')}" for _ in range(2)]
    before, after = (Identity(kind="KIND_BSUID", scope="waba", value=i) for i in ids)
    await handle(raw(received("hi", before, time=1)))
    change = {"previous_user_id": ids[0], "current_user_id": ids[1]}
    await handle(raw(event(after, time=2, user_id_changed=change)))
    assert await contact_of(directory, before) == await contact_of(directory, after)


async def test_an_alias_joins_the_browser_and_the_customer(
    handle: Handle, directory: Directory
) -> None:
    browser = Identity(kind="KIND_ANONYMOUS_ID", scope="shop", value=fresh_id("a"))
    customer = external(fresh_id("c"))
    await handle(raw(event(browser, page_viewed={"name": "home"})))
    await handle(raw(event(customer, aliased={"previous_id": browser.value})))
    assert await contact_of(directory, browser) == await contact_of(directory, customer)


async def test_consent_is_heard_in_words_preferences_and_events(
    handle: Handle, directory: Directory, log: EventLog
) -> None:
    who = phone_of(fresh_phone())
    given_json = b'{"purpose": "marketing", "text_version": "v3", "channel": "web_form"}'
    preference = {"category": "marketing_messages", "value": "stop"}
    said = [
        tracked("consent_granted", who, time=10, json=given_json),
        received("İPTAL", who, time=20),
        received("Başla", who, time=30),
        event(who, time=40, preference_changed=preference),
    ]
    await handle(raw(said[2]))
    await handle(raw(said[0], said[3]))
    await handle(raw(said[1]))
    contact = await directory.contact(await contact_of(directory, who))

    async def granted(moment: int | None) -> bool | None:
        line = await directory.consent(contact, "marketing", moment)
        return line and line.granted

    assert [await granted(m * 1000) for m in (9, 10, 20, 30, 40)] == [
        *(None, True, False, True, False)
    ]
    assert await granted(None) is False
    changed = [e.consent_changed for e in await published(log) if e.HasField("consent_changed")]
    # What was late changed nothing that holds.
    assert [(c.granted, c.channel) for c in changed] == [
        (True, "keyword"),
        (False, "user_preferences"),
    ]
    lines, _ = await directory.consents(contact, [], None, 10)
    assert [line.text_version for line in lines] == ["", "", "", "v3"]


async def test_what_concerns_no_person_is_left_alone(handle: Handle, log: EventLog) -> None:
    await handle(
        raw(
            event(template_status_changed={"name": "t"}),
            event(ad_link_clicked={"click_id": "c"}),
            event(place_changed={"place_id": "p"}),
        )
    )
    assert await published(log) == []


@pytest.mark.parametrize(
    "bad",
    [
        b"\xff\xff",
        tracked("x").SerializeToString(),
        tracked("order_completed", external("x"), json=b"{").SerializeToString(),
        tracked("order_completed", external("x"), json=b'{"total": "a lot"}').SerializeToString(),
        tracked("consent_granted", external("x"), json=b"{}").SerializeToString(),
        tracked("x", phone_of("12")).SerializeToString(),
        Event(event_id="no time", identities=[external("x")], tracked={}).SerializeToString(),
        event(external("x"), identified={"traits_json": b"[]"}).SerializeToString(),
    ],
    ids=range(8),  # ids of events are fresh, and names of tests are not to be
)
async def test_what_cannot_be_understood_is_refused_with_a_reason(
    handle: Handle, bad: bytes
) -> None:
    with pytest.raises(FieldInvalid):
        await handle([bad])


async def test_a_bad_event_on_the_log_costs_its_neighbours_nothing(
    handle: Handle, directory: Directory, log: EventLog
) -> None:
    people = [external(fresh_id("c")) for _ in range(20)]
    batch = raw(*(tracked("x", who) for who in people))
    batch.insert(7, b"\xff\xff")
    batch.insert(13, event(people[0], identified={"traits_json": b'{"": 1}'}).SerializeToString())
    async with tasks(Consumer(log, "profile.test", ["inbound.track"], handle).run):
        await log.append([Record("inbound.track", "k", each) for each in batch])

        async def done() -> bool:
            return len(await DeadLetters(log).list("profile.test", "", 10)) == 2 and all(
                lag.pending == 0 and not lag.behind for lag in await log.lag(["inbound.track"])
            )

        await wait_until(done)
    for who in people:
        assert await contact_of(directory, who)


async def test_a_large_batch_counts_once_though_its_halves_share_people_and_one_event_is_refused(
    directory: Directory, manual_clock: ManualClock, log: EventLog
) -> None:
    handle = recording(directory, manual_clock, "profile.test", asyncio.Semaphore(1))
    people = [external(fresh_id("c")) for _ in range(200)]
    orders = [tracked("order_completed", who, time=n) for n in (1, 2) for who in people]
    pairs = [(people[n], people[n + 1], phone_of(fresh_phone())) for n in range(0, 40, 2)]
    met = [event(who, number, identified={}) for *two, number in pairs for who in two]
    nobody = event(contact_id="00000000-0000-7000-8000-000000000001", message_read={})
    with pytest.raises(ContactNotFound):
        await until_done(handle, raw(*orders, *met, nobody))
    for _ in range(2):
        await until_done(handle, raw(*orders, *met))
    said = [one.event_id for one in await published(log) if one.WhichOneof("body") == "tracked"]
    assert sorted(said) == sorted(one.event_id for one in orders)
    for one, other, number in pairs:
        (contact_id,) = {await contact_of(directory, who) for who in (one, other, number)}
        assert (await directory.contact(contact_id)).document.counts["order_count"] == 4
    found = await directory.find([normalised(w.kind, w.scope, w.value) for w in people[40:]])
    assert [one and one.document.counts["order_count"] for one in found] == [2] * 160


async def test_many_at_once_agree_on_who_is_who(
    handle: Handle, directory: Directory, pool: Pool
) -> None:
    people = [(external(fresh_id("c")), phone_of(fresh_phone())) for _ in range(12)]
    strangers = [tracked("x", one, time=n) for n, (one, _) in enumerate(people)]
    chats = [received("hi", number, time=n) for n, (_, number) in enumerate(people)]
    links = [event(*both, identified={"traits_json": b"{}"}) for both in people]
    batches = [
        raw(*strangers),
        raw(*chats[::-1]),
        raw(*links[::2]),
        raw(*links[1::2], *strangers[::3]),
        raw(*chats, *links[::-1]),
        raw(*strangers[::-1]),
    ]

    await asyncio.gather(*(until_done(handle, batch) for batch in batches))
    found = set()
    for one, number in people:
        contact = await directory.contact(await contact_of(directory, one))
        assert await contact_of(directory, number) == contact.contact_id
        assert contact.document.counts == {"message_count": 1}
        _, events, _ = await directory.events(contact.contact_id, EventQuery(), None, 100)
        names_of = [Event.FromString(e.body).WhichOneof("body") for e in events]
        assert {n: names_of.count(n) for n in ("tracked", "message_received", "identified")} == {
            "tracked": 1,
            "message_received": 1,
            "identified": 1,
        }
        found.add(contact.contact_id)
    assert len(found) == 12


@settings(
    max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    links=st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), min_size=1, max_size=8),
    random=st.randoms(use_true_random=False),
)
async def test_stored_pictures_do_not_depend_on_order_or_company(
    handle: Handle, directory: Directory, links: list[tuple[int, int]], random: object
) -> None:
    def told(own: str) -> list[bytes]:
        who = [external(f"{own}{n}") for n in range(5)]
        return raw(
            *(
                tracked("order_completed", who[a], who[b], time=n, json=b'{"total": 0.1}')
                for n, (a, b) in enumerate(links)
            )
        )

    async def pictures(own: str) -> list[object]:
        refs = [normalised(Kind.EXTERNAL_ID, "shop", f"{own}{n}") for n in range(5)]
        groups: dict[str, list[int]] = {}
        found = {}
        for n, contact in enumerate(await directory.find(refs)):
            if contact is not None:
                groups.setdefault(contact.contact_id, []).append(n)
                found[contact.contact_id] = contact
        return sorted(
            (
                members,
                sorted((t, value_json(found[i].document, t)) for t in names(found[i].document)),
            )
            for i, members in groups.items()
        )

    one, other = fresh_id("a"), fresh_id("b")
    for each in told(one):
        await handle([each])
    again = told(other)
    again += random.choices(again, k=3)  # type: ignore[attr-defined]
    random.shuffle(again)  # type: ignore[attr-defined]
    while again:
        size = random.randint(1, 4)  # type: ignore[attr-defined]
        batch, again = again[:size], again[size:]
        await handle(batch)
    assert await pictures(one) == await pictures(other)
