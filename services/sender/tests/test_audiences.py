"""Audiences: lists and files, whatever stands in them, in any order and twice; filters."""

import random
from collections.abc import AsyncIterator, Sequence
from typing import Any
from uuid import UUID, uuid4

import grpc
import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chassis.failures import FieldInvalid
from merhaba.event.v1 import Identity
from merhaba.sender.v1 import (
    AppendFileRequest,
    Audience,
    Binding,
    Campaign,
    ContactList,
    CreateCampaignRequest,
    CreateFileRequest,
    Destination,
    FileAudience,
    GetCampaignRequest,
    LaunchCampaignRequest,
    Variant,
)
from merhaba.sender.v1 import File as FileProto
from services.sender.campaigns.audiences import reference
from services.sender.campaigns.table import Row, rows
from services.sender.model import AudienceFile, State
from services.sender.tests.test_campaigns import (
    completed,
    drafted,
    launched,
    name_or_friend,
    people,
    segment,
)


async def parts(data: bytes, size: int) -> AsyncIterator[bytes]:
    for start in range(0, len(data), size):
        yield data[start : start + size]


async def read(data: bytes, size: int = 7) -> list[Row]:
    return [row async for row in rows(parts(data, size))]


async def test_rows_of_csv_are_told_whatever_part_they_come_in() -> None:
    data = (
        '﻿wa_id,first_name,note\r\n+905551112233,Ayşe,"a, ""b""\nc"\r\n\r\n'
        "905551112244,Ali\n,,nobody\na,b,c,too many\n"
    ).encode()
    found = [await read(data, size) for size in (1, 7, 1_000)]
    assert found[0] == found[1] == found[2]
    assert found[0] == [
        Row("wa_id", "+905551112233", {"first_name": "Ayşe", "note": 'a, "b"\nc'}),
        Row("wa_id", "905551112244", {"first_name": "Ali"}),
        Row("", "", {"note": "nobody"}),
        Row("", "", {}),
    ]


async def test_rows_of_json_lines_keep_their_values() -> None:
    data = b'{"external_id": "c1", "total": 12.5, "vip": true}\nnot json\n{"total": 1}\n'
    assert await read(data) == [
        Row("external_id", "c1", {"total": "12.5", "vip": "true"}),
        Row("", "", {}),
        Row("", "", {"total": "1"}),
    ]


async def test_a_stray_quote_costs_nobody_else() -> None:
    data = b'wa_id,note\n1,5" screen\n2,a\n3,"b"c\n4,\'"\n"5","d\n""e"\n6,f'
    assert [(row.name, row.values.get("note")) for row in await read(data)] == [
        *(("1", '5" screen'), ("2", "a"), ("", None), ("4", "'\"")),
        *(("5", 'd\n"e'), ("6", "f")),
    ]


async def test_quotes_of_json_hold_no_line_open_also_behind_a_mark() -> None:
    data = b'\xef\xbb\xbf{"external_id": "c1", "note": "a,\\"b"}\n{"external_id": "c2"}\n'
    assert [row.name for row in await read(data)] == ["c1", "c2"]


@pytest.mark.parametrize("line", [b"\n", b'""\n'])
@pytest.mark.timeout(10)  # looked at anew with each line it would take minutes
async def test_a_quote_that_stays_open_is_told_soon(line: bytes) -> None:
    data = b'wa_id,note\n1,"' + line * (2 * 1024 * 1024 // len(line))
    with pytest.raises(FieldInvalid, match="is a quote open"):
        await read(data, 64 * 1024)


@pytest.mark.parametrize("data", [b"name,city\na,b\n", b"\x00\x01\x02"])
async def test_a_file_that_names_nobody_is_refused(data: bytes) -> None:
    with pytest.raises(FieldInvalid, match="contact_id"):
        await read(data)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 9), st.text(max_size=8)), max_size=20), st.integers(1, 40))
async def test_what_was_written_is_read(cells: list[tuple[int, str]], size: int) -> None:
    lines = [{"external_id": f"c{n}", "note": text} for n, text in cells]
    data = b"\n".join(msgspec.json.encode(line) for line in lines)
    found = await read(data, size)
    assert [(row.name, row.values.get("note", "")) for row in found] == [
        (line["external_id"], line["note"].strip()) for line in lines
    ]


@pytest.mark.parametrize(
    ("text", "country", "digits"),
    [
        ("+90 (555) 111 22 33", "", "905551112233"),
        ("00905551112233", "", "905551112233"),
        ("905551112233", "", "905551112233"),
        ("0555 111 22 33", "TR", "905551112233"),
        ("5551112233", "TR", "905551112233"),
        ("905551112233", "TR", "905551112233"),
        ("0555 111 22 33", "", ""),
        ("ahmet", "TR", ""),
        ("12", "TR", ""),
    ],
)
def test_phone_numbers_are_taken_in_any_usual_form(text: str, country: str, digits: str) -> None:
    found = reference(Row("wa_id", text, {}), AudienceFile("f", "", country))
    assert (found.identity.value if found else "") == digits


def test_other_ids_need_the_scope_in_which_they_are_somebodys() -> None:
    row = Row("external_id", "c1", {})
    assert reference(row, AudienceFile("f")) is None
    found = reference(row, AudienceFile("f", "shop"))
    assert found is not None
    assert found.identity == Identity(kind=Identity.KIND_EXTERNAL_ID, scope="shop", value="c1")
    assert reference(Row("", "", {}), AudienceFile("f", "shop")) is None


def test_what_is_no_contact_id_is_not_asked_for() -> None:
    assert reference(Row("contact_id", str(uuid4()), {}), AudienceFile("f")) is not None
    assert reference(Row("contact_id", "x" * 36, {}), AudienceFile("f")) is None


# --- against the running service --------------------------------------------------------------


async def uploaded(ready: Any, data: bytes, *, last: bool = True) -> str:
    created = await ready.file.CreateFile(
        CreateFileRequest(
            request_id=str(uuid4()), file=FileProto(name="people.csv", mime_type="text/csv")
        )
    )
    file_id: str = created.file.file_id
    await ready.file.AppendFile(AppendFileRequest(file_id=file_id, data=data, last=last))
    return file_id


def greeting() -> Variant:
    binding = Binding(variable="body.1", expression="row.greeting", missing=Binding.MISSING_SKIP)
    return Variant(name="a", template_name="welcome", weight=1, bindings=[binding])


def said(rows: Sequence[Any]) -> dict[str, str]:
    return {
        row.contact_id: msgspec.json.decode(row.body)["template"]["components"][0]["parameters"][0][
            "text"
        ]
        for row in rows
        if row.body
    }


async def test_people_of_a_file_are_sent_their_own_values_once_by_the_first_row(ready: Any) -> None:
    ids = [ready.profile.add(f"9055501200{n:02}") for n in range(20)]
    lines = [f"+9055501200{n:02},Merhaba {n}" for n in range(20)]
    random.Random(4).shuffle(lines)
    first = {line.split(",")[0]: line.split(",")[1] for line in reversed(lines)}
    repeats = [f"{line.split(',')[0]},again" for line in lines[:8]]
    bad = ["+905559999999,nobody", "nonsense,x", ",y", "a,b,c", "+9055501200 00,same"]
    data = "\n".join(["wa_id,greeting", *lines, *repeats, *bad]).encode()
    audience = Audience(file=FileAudience(file_id=await uploaded(ready, data)))
    campaign_id = await launched(ready, audience, variants=[greeting()])
    async with ready.sending():
        await completed(ready, campaign_id)
    found = said(await ready.rows(campaign_id=campaign_id))
    assert len(await ready.ledger()) == len(found) == 20
    assert found == {ids[int(number[-2:])]: text for number, text in first.items()}
    assert (
        await ready.pool.fetchval(
            "SELECT unresolved FROM plans WHERE campaign_id = $1", campaign_id
        )
        == 4
    )


async def test_a_file_that_is_not_there_or_not_whole_is_not_launched(ready: Any) -> None:
    nowhere = Audience(file=FileAudience(file_id="file_x"))
    assert await ready.refusal(_draft(ready, nowhere)) == ("NOT_FOUND", "FILE_NOT_FOUND")
    half = Audience(file=FileAudience(file_id=await uploaded(ready, b"wa_id\n", last=False)))
    campaign_id = await drafted(ready, half, variants=[greeting()])
    request = LaunchCampaignRequest(request_id=str(uuid4()), campaign_id=campaign_id)
    assert await ready.refusal(ready.campaign.LaunchCampaign(request)) == (
        "FAILED_PRECONDITION",
        "FILE_STATE",
    )


async def _draft(ready: Any, audience: Audience) -> Any:
    campaign = Campaign(name="x", waba_id=ready.waba_id, audience=audience, variants=[greeting()])
    return await ready.campaign.CreateCampaign(
        CreateCampaignRequest(request_id=str(uuid4()), campaign=campaign)
    )


async def test_a_file_of_contact_ids_names_them(ready: Any) -> None:
    known = [
        ready.profile.add(f"9055501300{n:02}", contact_id=str(UUID(int=n + 7))) for n in range(3)
    ]
    data = "\n".join(
        msgspec.json.encode({"contact_id": one, "greeting": "Selam"}).decode()
        for one in [*known, *known, "x"]
    ).encode()
    audience = Audience(file=FileAudience(file_id=await uploaded(ready, data)))
    campaign_id = await launched(ready, audience, variants=[greeting()])
    await ready.plan()
    assert await ready.states(campaign_id) == {State.PLANNED: 3}


async def test_a_filter_lets_through_only_those_for_whom_it_is_true(ready: Any) -> None:
    members = await people(ready, 10, "9055504")
    for n, one in enumerate(members):
        ready.profile.people[one].attributes.add(
            name="city", value_json=msgspec.json.encode("Bursa" if n < 4 else "İzmir")
        )
    audience = segment(ready, members)
    audience.filter = 'profile.city == "Bursa"'
    campaign_id = await launched(ready, audience)
    await ready.plan()
    assert {r.contact_id for r in await ready.rows(campaign_id=campaign_id)} == set(members[:4])
    got = await ready.campaign.GetCampaign(GetCampaignRequest(campaign_id=campaign_id))
    assert got.progress.recipients == 4
    assert got.progress.recipients_final


@pytest.mark.parametrize(
    ("source", "reason"),
    [("profile.", "EXPRESSION_INVALID"), ('segment("vip")', "FIELD_INVALID")],
)
async def test_a_filter_that_cannot_be_asked_is_refused(
    ready: Any, source: str, reason: str
) -> None:
    audience = segment(ready, [])
    audience.filter = source
    status, why = await ready.refusal(_draft(ready, audience))
    assert (status, why) == (grpc.StatusCode.INVALID_ARGUMENT.name, reason)


async def test_a_list_names_people_by_whatever_identifies_them(ready: Any) -> None:
    known = ready.profile.add("905550140001")
    other = ready.profile.add("905550140002")
    named = [
        Destination(contact_id=known),
        Destination(identity=Identity(kind=Identity.KIND_WA_ID, value="905550140002")),
        Destination(identity=Identity(kind=Identity.KIND_WA_ID, value="905550149999")),
        Destination(contact_id=known),
    ]
    campaign_id = await launched(
        ready,
        Audience(contacts=ContactList(contacts=named)),
        variants=[
            Variant(name="a", template_name="welcome", weight=1, bindings=[name_or_friend()])
        ],
    )
    await ready.plan()
    assert {r.contact_id for r in await ready.rows(campaign_id=campaign_id)} == {known, other}
