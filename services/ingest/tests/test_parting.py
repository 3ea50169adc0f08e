"""Parting a webhook: all of one person, nothing of the others."""

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from chassis.failures import FieldInvalid
from services.ingest import payload
from services.ingest.archive.segment import BlindIndex, Head, heads_of
from services.ingest.model import RawWebhook
from services.ingest.privacy.parting import left_over, part
from services.ingest.tests.bodies import message, status, value, webhook

ANNE, BOB = "447700900001", "447700900002"
ANNE_ID = "US.13491208655302741918"
NOW_MS = 1_763_000_000_000
HEAD = Head("wh_1", NOW_MS, "shop", "", 0, 0, 0, (), (), (), (), 0)


def of(number: str, wamid: str = "", **more: Any) -> dict[str, Any]:
    return message(wamid) | {"from": number} | more


def contact(number: str, name: str, **more: Any) -> dict[str, Any]:
    return {"wa_id": number, "profile": {"name": name}} | more


def parted(body: dict[str, Any], *people: str) -> tuple[Any, Any]:
    found = part(json.dumps(body).encode(), NOW_MS, frozenset(people))
    assert found is not None
    return (
        json.loads(found.theirs) if found.theirs else None,
        json.loads(found.rest) if found.rest else None,
    )


def test_items_and_contacts_go_to_whom_they_are_about() -> None:
    contacts = [contact(ANNE, "Anne"), contact(BOB, "Bob")]
    body = webhook(
        value(messages=[of(ANNE, "wamid.1"), of(BOB, "wamid.2")], contacts=contacts),
        value(statuses=[status("wamid.3", recipient_id=BOB)]),
    )
    theirs, rest = parted(body, ANNE)
    assert theirs == webhook(value(messages=[of(ANNE, "wamid.1")], contacts=contacts[:1]))
    assert rest == webhook(
        value(messages=[of(BOB, "wamid.2")], contacts=contacts[1:]),
        value(statuses=[status("wamid.3", recipient_id=BOB)]),
    )


def test_of_a_webhook_of_one_person_nothing_is_left() -> None:
    body = webhook(value(messages=[of(ANNE)], contacts=[contact(ANNE, "Anne")]))
    assert parted(body, ANNE) == (body, None)


def test_a_webhook_without_the_person_is_left_alone() -> None:
    body = webhook(value(messages=[of(BOB)], contacts=[]))
    assert part(json.dumps(body).encode(), NOW_MS, frozenset({ANNE})) is None


def test_whoever_is_known_by_a_user_id_alone_is_found_by_it() -> None:
    hers = of(ANNE, "wamid.1", from_user_id=ANNE_ID)
    contacts = [contact(ANNE, "Anne", user_id=ANNE_ID), contact(BOB, "Bob")]
    body = webhook(value(messages=[hers, of(BOB, "wamid.2")], contacts=contacts))
    _, rest = parted(body, ANNE_ID)
    assert ANNE not in json.dumps(rest)
    assert rest["entry"][0]["changes"][0]["value"]["contacts"] == contacts[1:]


def test_where_somebody_else_names_the_person_the_name_alone_goes() -> None:
    card = {"contacts": [{"phones": [{"wa_id": ANNE, "phone": f"+{ANNE}", "type": "HOME"}]}]}
    body = webhook(value(messages=[of(BOB, "wamid.1", type="contacts", **card)]))
    theirs, rest = parted(body, ANNE)
    assert theirs is None
    (said,) = rest["entry"][0]["changes"][0]["value"]["messages"]
    assert said["from"] == BOB
    phone = said["contacts"][0]["phones"][0]
    assert phone == {"wa_id": "erased", "phone": "erased", "type": "HOME"}


def test_an_item_that_cannot_be_read_is_of_whom_it_names() -> None:
    unreadable = {"id": "wamid.1", "from": ANNE}
    theirs, rest = parted(webhook(value(messages=[unreadable, of(BOB, "wamid.2")])), ANNE)
    assert theirs == webhook(value(messages=[unreadable]))
    assert rest == webhook(value(messages=[of(BOB, "wamid.2")]))


def test_the_history_is_parted_message_by_message() -> None:
    def thread(number: str) -> dict[str, Any]:
        return {"id": number, "messages": [message(f"wamid.{number}") | {"from": number}]}

    chunk = {"metadata": {"phase": 1}, "threads": [thread(ANNE), thread(BOB)]}
    body = webhook(value(history=[chunk]), field="history")
    theirs, rest = parted(body, ANNE)
    assert theirs == webhook(value(history=[chunk | {"threads": [thread(ANNE)]}]), field="history")
    assert rest == webhook(value(history=[chunk | {"threads": [thread(BOB)]}]), field="history")


def test_what_is_no_webhook_goes_as_a_whole() -> None:
    body = b'{"from": "447700900001", '
    assert part(body, NOW_MS, frozenset({ANNE})) == (body, b"")
    assert part(body, NOW_MS, frozenset({BOB})) is None


def test_what_is_left_is_described_by_what_is_in_it() -> None:
    body = webhook(value(messages=[of(BOB), {"id": "x"}], contacts=[contact(BOB, "Bob")]))
    left = left_over(HEAD, json.dumps(body).encode())
    assert (left.item_count, left.refused_count, left.identities) == (2, 1, (BOB,))
    assert (left.fields, left.waba_ids) == (("messages",), ("1020",))
    assert left_over(HEAD, b"").item_count == 0


numbers = st.sampled_from([ANNE, BOB, "447700900003", f"+{ANNE}"])
items = st.one_of(
    st.builds(lambda n, w: ("messages", of(n, f"wamid.{w}")), numbers, st.integers(0, 99)),
    st.builds(
        lambda n, w: ("statuses", status(f"wamid.{w}", recipient_id=n)), numbers, st.integers(0, 99)
    ),
    st.builds(lambda n: ("messages", {"from": n}), numbers),
    st.builds(lambda n: ("messages", n), numbers),
)
values = st.builds(
    lambda given_, names: value(
        messages=[body for part_, body in given_ if part_ == "messages"],
        statuses=[body for part_, body in given_ if part_ == "statuses"],
        contacts=[contact(name, "x") for name in names],
    ),
    st.lists(items, max_size=4),
    st.lists(numbers, max_size=2),
)
index = BlindIndex(b"key")


@given(st.lists(values, max_size=3))
def test_nobody_is_left_who_was_erased_and_nobody_else_is_lost(given_: list[Any]) -> None:
    body = json.dumps(webhook(*given_)).encode()
    people = frozenset({ANNE})
    found = part(body, NOW_MS, people)
    rest = body if found is None else found.rest
    assert ANNE.encode() not in rest
    left = left_over(HEAD, rest)
    raw = RawWebhook("wh_1", NOW_MS, "shop", rest, identities=left.identities, refused_count=1)
    assert index.of(ANNE) not in heads_of([raw], index)[0].blind_indexes
    assert part(rest, NOW_MS, people) is None if rest else True
    assert others(body) == others(rest)
    if found is not None and found.theirs:
        assert others(found.theirs) == []


def others(body: bytes) -> list[Any]:
    """Readable items of everybody but Anne."""
    if not body:
        return []
    said: list[Any] = []
    for item in payload.items(payload.webhook(body), NOW_MS):
        try:
            occurrence = payload.read(item)
        except FieldInvalid:
            continue
        if occurrence.identities and all(one.value != ANNE for one in occurrence.identities):
            said.append((occurrence.event_id, occurrence.body))
    return said
