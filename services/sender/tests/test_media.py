"""Files come in by bytes or by URL, stand at Meta once for each number, and go out in messages."""

import asyncio
import hashlib
from collections.abc import AsyncIterator
from typing import Any
from uuid import uuid4

import aiohttp
import pytest
from aiohttp import web

from chassis.clock import SystemClock, milliseconds_of
from chassis.outbound import outbound
from chassis.testing import wait_until
from chassis.times import timestamp
from chassis.transient import transient
from merhaba.sender.v1 import (
    AppendFileRequest,
    Attachment,
    Content,
    CreateFileRequest,
    Destination,
    DownloadMediaRequest,
    File,
    GetFileRequest,
    GetMessageRequest,
    SendMessageRequest,
    UploadMediaRequest,
)
from services.sender.body import files_of
from services.sender.delivery.progress import Fact, Kind, Status, Talk
from services.sender.failures import UrlRefused
from services.sender.files.library import Files
from services.sender.files.store import FileStore
from services.sender.model import DAY_MS, State

PNG = b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 40
OGG = b"OggS" + b"\0" * 24 + b"OpusHead" + b"\1" * 500
WEBP = b"RIFF\x10\0\0\0WEBPVP8 " + b"\2" * 500
MIB = 1024 * 1024


def now_ms() -> int:
    return milliseconds_of(SystemClock().now())


@pytest.fixture
async def site() -> AsyncIterator[dict[str, Any]]:
    """A web site inside: paths and what stands there, its address under `url`, hits by path."""
    pages: dict[str, Any] = {"hits": []}

    async def page(request: web.Request) -> web.StreamResponse:
        pages["hits"].append(request.path)
        found = pages[request.path]
        if isinstance(found, int):
            return web.Response(status=found)
        if isinstance(found, str):
            raise web.HTTPFound(found)
        return web.Response(body=found, headers={"Content-Type": "application/octet-stream"})

    app = web.Application()
    app.add_routes([web.get("/{tail:.*}", page)])
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    pages["url"] = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield pages
    await runner.cleanup()


async def brought(suite: Any, data: bytes, mime_type: str = "image/png", part: int = MIB) -> File:
    """A file, sent in parts."""
    created = await suite.file.CreateFile(
        CreateFileRequest(request_id=str(uuid4()), file=File(name="a", mime_type=mime_type))
    )
    file = created.file
    for offset in range(0, len(data), part):
        response = await suite.file.AppendFile(
            AppendFileRequest(
                file_id=file.file_id,
                offset=offset,
                data=data[offset : offset + part],
                last=offset + part >= len(data),
            )
        )
        file = response.file
    return file


async def person(suite: Any, wa_id: str = "") -> str:
    """Somebody who wrote just now, so that anything may be sent."""
    wa_id = wa_id or f"9055{uuid4().int % 10**8:08d}"
    contact_id: str = suite.profile.add(wa_id)
    said = [{"wa_id": wa_id, "phone_number_id": suite.number_id, "text": "Selam"}]
    await suite.control("POST", "people", [{"wa_id": wa_id, "replies": 0, "stops": 0}])
    await suite.control("POST", "say", said)
    talk = Talk(
        str(uuid4()), contact_id, now_ms(), now_ms(), "", suite.number_id, f"wamid.{uuid4()}"
    )
    await suite.outbox.talk([talk], [""])
    return contact_id


def sending(contact_id: str, **content: Any) -> SendMessageRequest:
    return SendMessageRequest(
        request_id=str(uuid4()),
        destination=Destination(contact_id=contact_id),
        content=Content(**content),
    )


async def left(suite: Any, contact_id: str) -> Any:
    """The person's message once it has left."""
    rows: list[Any] = []

    async def gone() -> bool:
        rows[:] = await suite.rows(contact_id=contact_id)
        return bool(rows) and all(row.state not in {1, 2, 3} for row in rows)

    await wait_until(gone)
    return rows[0]


async def uploads(suite: Any, file_id: str) -> list[str]:
    got = await suite.file.GetFile(GetFileRequest(file_id=file_id))
    return [u.media_id for u in got.uploads if u.phone_number_id == suite.number_id]


# --- files ----------------------------------------------------------------------------------------


async def test_a_file_is_ready_with_its_last_bytes_and_tells_its_hash(ready: Any) -> None:
    data = PNG * 250
    file = await brought(ready, data)
    assert file.state == File.STATE_READY
    assert (file.size_bytes, file.sha256) == (len(data), hashlib.sha256(data).hexdigest())
    assert (await ready.file.GetFile(GetFileRequest(file_id=file.file_id))).file == file
    assert b"".join([part async for part in FileStore(ready.pool).parts(file.file_id)]) == data


async def test_bytes_may_be_sent_again_and_never_leave_a_gap(ready: Any) -> None:
    request = CreateFileRequest(request_id=str(uuid4()), file=File(mime_type="image/png"))
    file = (await ready.file.CreateFile(request)).file
    assert (await ready.file.CreateFile(request)).file == file

    def part(offset: int, size: int, **more: Any) -> AppendFileRequest:
        return AppendFileRequest(
            file_id=file.file_id, offset=offset, data=PNG[offset : offset + size], **more
        )

    await ready.file.AppendFile(part(0, 100))
    await ready.file.AppendFile(part(0, 100))
    await ready.file.AppendFile(part(50, 150))
    status, reason, facts = await ready.refused(ready.file.AppendFile(part(300, 10)))
    assert (status, reason, facts["size_bytes"]) == ("ABORTED", "OFFSET_MISMATCH", "200")
    done = await ready.file.AppendFile(part(200, len(PNG), last=True))
    assert done.file.sha256 == hashlib.sha256(PNG).hexdigest()
    assert (await ready.file.AppendFile(part(0, 100))).file == done.file
    beyond = ready.file.AppendFile(
        AppendFileRequest(file_id=file.file_id, offset=len(PNG), data=b"more")
    )
    assert await ready.refusal(beyond) == ("FAILED_PRECONDITION", "FILE_STATE")


@pytest.mark.parametrize(
    ("data", "claimed"),
    [
        (PNG, "image/jpeg"),
        (b"hello", "image/png"),
        (b"MZ\0\0", "application/pdf"),
        (PNG, "text/csv"),
    ],
)
async def test_a_file_that_is_not_what_it_claims_is_refused(
    ready: Any, data: bytes, claimed: str
) -> None:
    refused = await ready.refusal(brought(ready, data, claimed))
    assert refused == ("INVALID_ARGUMENT", "MEDIA_UNSUPPORTED")


async def test_a_list_of_people_is_a_file_as_well(ready: Any) -> None:
    file = await brought(ready, "wa_id;ad\n905551112233;Ayşe\n".encode(), "text/csv")
    assert (file.state, file.mime_type) == (File.STATE_READY, "text/csv")


async def test_limits_of_files_are_told(ready: Any) -> None:
    file = await brought(ready, PNG)
    large = AppendFileRequest(file_id=file.file_id, data=b"x" * (MIB + 1))
    assert await ready.refusal(ready.file.AppendFile(large)) == (
        "INVALID_ARGUMENT",
        "FIELD_INVALID",
    )
    far = AppendFileRequest(file_id=file.file_id, offset=100 * MIB, data=b"x")
    assert await ready.refusal(ready.file.AppendFile(far)) == (
        "INVALID_ARGUMENT",
        "MEDIA_UNSUPPORTED",
    )
    lost = ready.file.GetFile(GetFileRequest(file_id="file_x"))
    assert await ready.refusal(lost) == ("NOT_FOUND", "FILE_NOT_FOUND")
    wrong = CreateFileRequest(request_id=str(uuid4()), file=File(mime_type="image/png"))
    begun = (await ready.file.CreateFile(wrong)).file
    hashed = AppendFileRequest(file_id=begun.file_id, data=PNG, last=True, sha256="00")
    assert await ready.refusal(ready.file.AppendFile(hashed)) == (
        "INVALID_ARGUMENT",
        "FIELD_INVALID",
    )


async def test_files_are_forgotten_when_their_time_is_over_or_nobody_completes_them(
    ready: Any,
) -> None:
    kept = await brought(ready, PNG)
    created = await ready.file.CreateFile(
        CreateFileRequest(
            request_id=str(uuid4()), file=File(expire_time=timestamp(now_ms() + 60_000))
        )
    )
    begun = (await ready.file.CreateFile(CreateFileRequest(request_id=str(uuid4())))).file
    store = FileStore(ready.pool)
    now = now_ms()
    while await store.sweep(now + 61_000, now - DAY_MS):
        pass
    assert await store.find(created.file.file_id) is None
    assert await store.find(begun.file_id) is not None
    while await store.sweep(now, now + 1_000):
        pass
    assert await store.find(begun.file_id) is None
    assert await store.find(kept.file_id) is not None


# --- at Meta --------------------------------------------------------------------------------------


async def test_the_same_content_is_on_meta_once_for_each_number(ready: Any) -> None:
    first, second = await brought(ready, PNG), await brought(ready, PNG)

    async def placed(file: File) -> str:
        request = UploadMediaRequest(phone_number_id=ready.number_id, file_id=file.file_id)
        return (await ready.file.UploadMedia(request)).upload.media_id

    ids = await asyncio.gather(*(placed(first) for _ in range(5)))
    assert len(set(ids)) == 1
    assert await placed(second) == ids[0]
    assert await uploads(ready, second.file_id) == [ids[0]]


async def test_an_upload_in_its_last_day_is_not_used_any_more(ready: Any) -> None:
    file = await brought(ready, PNG)
    request = UploadMediaRequest(phone_number_id=ready.number_id, file_id=file.file_id)
    before = (await ready.file.UploadMedia(request)).upload
    assert before.expire_time.ToMilliseconds() > now_ms() + 29 * DAY_MS
    await ready.pool.execute("UPDATE uploads SET expire_time = $1", now_ms() + DAY_MS - 1_000)
    ready.uploads._known.clear()
    assert (await ready.file.UploadMedia(request)).upload.media_id != before.media_id


async def test_what_is_behind_a_url_goes_to_meta(ready: Any, site: dict[str, Any]) -> None:
    site["/a.png"] = PNG
    site["/moved"] = "/a.png"
    request = UploadMediaRequest(phone_number_id=ready.number_id, url=f"{site['url']}/moved")
    response = await ready.file.UploadMedia(request)
    assert response.file.mime_type == "image/png"
    again = await ready.file.UploadMedia(request)
    assert again == response
    assert site["hits"] == ["/moved", "/a.png"]


async def test_an_attachment_comes_down_whole_and_goes_on_from_its_cursor(ready: Any) -> None:
    data = PNG * 60
    file = await brought(ready, data)
    request = UploadMediaRequest(phone_number_id=ready.number_id, file_id=file.file_id)
    media_id = (await ready.file.UploadMedia(request)).upload.media_id
    wanted = DownloadMediaRequest(media_id=media_id, phone_number_id=ready.number_id)
    parts = [part async for part in ready.file.DownloadMedia(wanted)]
    assert b"".join(part.data for part in parts) == data
    assert parts[0].mime_type == "image/png"
    wanted.cursor = parts[0].cursor
    rest = [part async for part in ready.file.DownloadMedia(wanted)]
    assert parts[0].data + b"".join(part.data for part in rest) == data

    async def lost() -> None:
        wanted.media_id = "404"
        async for _ in ready.file.DownloadMedia(wanted):
            pass

    assert await ready.refusal(lost()) == ("NOT_FOUND", "MEDIA_NOT_FOUND")


# --- in messages ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "data", "claimed", "more"),
    [
        ("image", PNG, "image/png", {"caption": "Yeni"}),
        ("audio", OGG, "audio/ogg", {"voice": True}),
        ("sticker", WEBP, "image/webp", {}),
        ("document", b"%PDF-1.7 ...", "application/pdf", {"filename": "a.pdf"}),
        ("video", b"\0\0\0\x18ftypmp42" + b"\3" * 500, "video/mp4", {}),
    ],
)
async def test_a_file_leaves_in_a_message_of_its_kind(
    ready: Any, kind: str, data: bytes, claimed: str, more: dict[str, Any]
) -> None:
    file, who = await brought(ready, data, claimed), await person(ready)
    async with ready.sending():
        request = sending(who, **{kind: Attachment(file_id=file.file_id, **more)})
        await ready.messages.SendMessage(request)
        row = await left(ready, who)
    assert row.state in {State.SENT, State.DELIVERED, State.READ}
    assert len(await uploads(ready, file.file_id)) == 1
    got = await ready.messages.GetMessage(
        GetMessageRequest(message_id=row.message_id, include_content=True)
    )
    assert got.message.content == request.content


@pytest.mark.parametrize(
    ("kind", "data", "more"),
    [
        ("video", PNG, {}),
        ("image", WEBP, {}),
        ("sticker", WEBP + b"\2" * 100 * 1024, {}),
        ("image", PNG + b"\0" * 5 * MIB, {}),
        ("audio", b"#!AMR" + b"\1" * 50, {"voice": True}),
        ("audio", b"OggS" + b"\0" * 500, {}),
    ],
)
async def test_a_file_of_another_kind_or_too_large_is_refused_at_once(
    ready: Any, kind: str, data: bytes, more: dict[str, Any]
) -> None:
    file, who = await brought(ready, data, ""), ready.profile.add("905550001122")
    call = ready.messages.SendMessage(
        sending(who, **{kind: Attachment(file_id=file.file_id, **more)})
    )
    assert await ready.refusal(call) == ("INVALID_ARGUMENT", "MEDIA_UNSUPPORTED")
    assert await ready.rows(contact_id=who) == []


async def test_a_file_that_is_not_complete_is_not_sent(ready: Any) -> None:
    who = ready.profile.add("905550001123")
    begun = (await ready.file.CreateFile(CreateFileRequest(request_id=str(uuid4())))).file
    for file_id, refusal in (
        (begun.file_id, ("FAILED_PRECONDITION", "FILE_STATE")),
        ("file_x", ("NOT_FOUND", "FILE_NOT_FOUND")),
    ):
        call = ready.messages.SendMessage(sending(who, image=Attachment(file_id=file_id)))
        assert await ready.refusal(call) == refusal


async def test_what_is_fetched_is_frozen_with_the_message(ready: Any, site: dict[str, Any]) -> None:
    site["/a.png"] = PNG
    who = await person(ready)
    request = sending(who, image=Attachment(fetch_url=f"{site['url']}/a.png", caption="Yeni"))
    first = await ready.messages.SendMessage(request)
    site["/a.png"] = PNG + b"changed"
    again = await ready.messages.SendMessage(request)
    assert again == first
    assert site["hits"] == ["/a.png"]
    other = sending(who, image=Attachment(fetch_url=f"{site['url']}/b.png"))
    other.request_id = request.request_id
    assert await ready.refusal(ready.messages.SendMessage(other)) == (
        "INVALID_ARGUMENT",
        "REQUEST_ID_REUSED",
    )
    async with ready.sending():
        row = await left(ready, who)
    assert row.state in {State.SENT, State.DELIVERED, State.READ}


@pytest.mark.parametrize(
    ("path", "found", "refusal"),
    [
        ("/missing", 404, ("INVALID_ARGUMENT", "URL_REFUSED")),
        ("/down", 503, ("UNAVAILABLE", "SERVICE_UNAVAILABLE")),
        ("/html", b"<html></html>", ("INVALID_ARGUMENT", "MEDIA_UNSUPPORTED")),
        ("/large", PNG + b"\0" * 5 * MIB, ("INVALID_ARGUMENT", "MEDIA_UNSUPPORTED")),
        ("/away", "gopher://x/", ("INVALID_ARGUMENT", "URL_REFUSED")),
    ],
)
async def test_a_url_that_does_not_lead_to_a_picture_is_refused_and_leaves_nothing(
    ready: Any, site: dict[str, Any], path: str, found: Any, refusal: tuple[str, str]
) -> None:
    site[path] = found
    who = ready.profile.add("905550001124")
    before = await ready.pool.fetchval("SELECT count(*) FROM files")
    call = ready.messages.SendMessage(
        sending(who, image=Attachment(fetch_url=f"{site['url']}{path}"))
    )
    status, reason, facts = await ready.refused(call)
    assert (status, reason) == refusal
    assert site["url"] not in str(facts)
    assert await ready.rows(contact_id=who) == []
    assert await ready.pool.fetchval("SELECT count(*) FROM files") == before
    parts = "SELECT count(*) FROM file_parts WHERE file_id NOT IN (SELECT file_id FROM files)"
    assert await ready.pool.fetchval(parts) == 0


async def test_nothing_inside_is_fetched_unless_a_setting_says_so(
    ready: Any, site: dict[str, Any]
) -> None:
    site["/a.png"] = PNG
    inside = site["url"].replace("http:", "https:") + "/a.png"
    async with outbound(aiohttp.ClientTimeout(total=5), 4) as guarded:
        files = Files(FileStore(ready.pool), guarded, SystemClock(), transient)
        for url in (inside, site["url"]):
            with pytest.raises(UrlRefused):
                await files.fetch("image.fetch_url", url, str(uuid4()), MIB, 0, lambda _: None)
    assert site["hits"] == []


async def test_a_file_that_meta_forgot_is_put_there_anew(ready: Any) -> None:
    file = await brought(ready, PNG)
    request = UploadMediaRequest(phone_number_id=ready.number_id, file_id=file.file_id)
    forgotten = (await ready.file.UploadMedia(request)).upload.media_id
    await ready.graph.manage("DELETE", forgotten)
    who = await person(ready)
    async with ready.sending():
        await ready.messages.SendMessage(sending(who, image=Attachment(file_id=file.file_id)))
        row = await left(ready, who)
    assert row.state in {State.SENT, State.DELIVERED, State.READ}
    assert (await uploads(ready, file.file_id)) not in ([], [forgotten])


async def test_an_id_that_nobody_can_renew_fails_its_message_once(ready: Any) -> None:
    who = await person(ready)
    async with ready.sending():
        await ready.messages.SendMessage(sending(who, image=Attachment(media_id="404")))
        row = await left(ready, who)
    assert (row.state, row.error_code, row.attempts) == (State.FAILED, 100, 1)


async def test_a_file_that_is_gone_when_its_turn_comes_fails_its_message(ready: Any) -> None:
    file, who = await brought(ready, PNG), await person(ready)
    await ready.messages.SendMessage(sending(who, image=Attachment(file_id=file.file_id)))
    await FileStore(ready.pool).remove(file.file_id)
    async with ready.sending():
        row = await left(ready, who)
    assert (row.state, row.error_code) == (State.FAILED, 131053)


async def test_a_file_that_meta_could_not_use_after_all_is_put_there_anew_for_the_next(
    ready: Any,
) -> None:
    file, who = await brought(ready, PNG), await person(ready)
    request = UploadMediaRequest(phone_number_id=ready.number_id, file_id=file.file_id)
    before = (await ready.file.UploadMedia(request)).upload.media_id
    sent = await ready.messages.SendMessage(sending(who, image=Attachment(file_id=file.file_id)))
    async with ready.sending():
        await left(ready, who)
    failed = Status(
        str(uuid4()),
        sent.message.ref.message_id,
        Fact(Kind.FAILED, now_ms() + 1_000, "", 131053, "request"),
        now_ms(),
        "",
        b"",
    )
    await ready.outbox.hear([failed], [""])
    assert await uploads(ready, file.file_id) == []
    ready.uploads._known.clear()
    assert (await ready.file.UploadMedia(request)).upload.media_id != before


async def test_what_was_fetched_for_an_erased_person_is_erased_and_what_others_share_is_not(
    ready: Any, site: dict[str, Any]
) -> None:
    site["/invoice.png"] = PNG
    who, shared = ready.profile.add("905550001125"), await brought(ready, PNG)
    for attachment in (
        Attachment(fetch_url=f"{site['url']}/invoice.png"),
        Attachment(file_id=shared.file_id),
    ):
        await ready.messages.SendMessage(sending(who, image=attachment))
    names = {file_id for row in await ready.rows(contact_id=who) for file_id in files_of(row.body)}
    (fetched,) = names - {shared.file_id}
    await ready.erase(who)
    store = FileStore(ready.pool)
    assert await store.find(fetched) is None
    assert [part async for part in store.parts(fetched)] == []
    assert await store.find(shared.file_id) is not None
