"""Templates: submitted, edited, deleted and kept in step, on real Postgres and simulator."""

from datetime import timedelta
from itertools import permutations
from typing import Any
from uuid import uuid4

import grpc
import pytest
from google.protobuf.duration_pb2 import Duration
from google.protobuf.field_mask_pb2 import FieldMask

from chassis.clock import SystemClock, milliseconds_of
from chassis.ids import fresh_id
from merhaba.event.v1 import (
    Event,
    TemplateCategoryChanged,
    TemplateComponentsChanged,
    TemplateQualityChanged,
    TemplateStatusChanged,
)
from merhaba.sender.v1 import (
    AppendFileRequest,
    CancelCampaignRequest,
    CreateFileRequest,
    CreateTemplateRequest,
    DeleteTemplateRequest,
    File,
    GetTemplateRequest,
    LintTemplateRequest,
    ListTemplatesRequest,
    SyncTemplatesRequest,
    Template,
    TemplateBody,
    TemplateButton,
    TemplateComponents,
    TemplateFooter,
    TemplateHeader,
    TemplateOtp,
    TemplateQuickReply,
    TemplateUrl,
    UpdateTemplateRequest,
    VariableExample,
)
from services.sender.consumer import AccountConsumer
from services.sender.failures import PlatformUnavailable
from services.sender.posting import Upload
from services.sender.templates.registry import Edit, Registry
from services.sender.templates.samples import Samples
from services.sender.templates.syncing import Syncing
from services.sender.templates.wire import draft_of
from services.sender.tests.test_aftermath import launched

HOUR_MS = 3_600_000
PNG = b"\x89PNG\r\n\x1a\n" + b"x" * 100_000
EXAMPLE = [VariableExample(variable="1", example="Ayşe")]
CLOSE = TemplateFooter(text="Durdurmak için DUR yazın")


def body(text: str = "Merhaba {{1}}, yeni sezon geldi.") -> TemplateBody:
    return TemplateBody(text=text, examples=EXAMPLE if "{{1}}" in text else [])


def wanted(ready: Any, name: str = "sezon", **more: Any) -> Template:
    parts = more.pop("components", None) or TemplateComponents(body=body(), footer=CLOSE)
    told: dict[str, Any] = {"language": "tr", "category": "MARKETING", **more}
    return Template(waba_id=ready.waba_id, name=name, components=parts, **told)


async def create(ready: Any, template: Template, request_id: str = "", **more: Any) -> Any:
    return await ready.templates.CreateTemplate(
        CreateTemplateRequest(request_id=request_id or str(uuid4()), template=template, **more)
    )


async def created(ready: Any, name: str = "sezon", **more: Any) -> Template:
    made: Template
    (made,) = (await create(ready, wanted(ready, name, **more))).templates
    return made


async def get(ready: Any, template_id: str) -> Template:
    got = await ready.templates.GetTemplate(GetTemplateRequest(template_id=template_id))
    found: Template = got.template
    return found


async def at_meta(ready: Any, name: str = "") -> list[dict[str, Any]]:
    query = f"&name={name}" if name else ""
    path = f"{ready.waba_id}/message_templates?limit=1000{query}&fields=id,name,language,status,"
    async with ready.http.get(
        f"{ready.graph_url}/v26.0/{path}components,category,message_send_ttl_seconds",
        headers={"Authorization": "Bearer graph"},
    ) as response:
        found: list[dict[str, Any]] = (await response.json())["data"]
        return found


async def decided(ready: Any, template_id: str, **given: Any) -> None:
    """Meta decides, and no webhook comes."""
    await ready.control("PUT", f"templates/{template_id}", given)


def now_ms() -> int:
    return milliseconds_of(SystemClock().now())


def event(ready: Any, template_id: str, time: int, **told: Any) -> bytes:
    """What Meta says of a template."""
    (name,) = told
    told[name].template_id, told[name].waba_id = template_id, ready.waba_id
    found = Event(event_id=fresh_id("e"), **told)
    found.event_time.FromMilliseconds(time)
    return found.SerializeToString()


async def hear(ready: Any, *events: bytes) -> None:
    await AccountConsumer(ready.shelf, ready.number_store).handle(list(events))


async def test_a_template_is_submitted_and_shown_as_meta_has_it(ready: Any) -> None:
    reply = TemplateQuickReply(marketing_opt_out=True)
    parts = TemplateComponents(
        header=TemplateHeader(format=TemplateHeader.FORMAT_TEXT, text="Yeni sezon"),
        body=body(),
        buttons=[
            TemplateButton(text="Bak", url=TemplateUrl(url="https://shop.example/yaz")),
            TemplateButton(text="Artık yazma", quick_reply=reply),
        ],
    )
    day = Duration(seconds=86_400)
    given = wanted(ready, components=parts, message_ttl_duration=day, link_tracking_disabled=True)
    answer = await create(ready, given)
    assert [one.rule for one in answer.findings] == ["desktop_hidden"]
    (made,) = answer.templates
    assert made.state == Template.STATE_APPROVED
    assert (made.category, made.effective_category) == ("MARKETING", "MARKETING")
    assert made.components == parts, "the opt-out too, of which Meta knows nothing"
    assert made.message_ttl_duration == day
    assert made.link_tracking_disabled
    assert made == await get(ready, made.template_id)
    (there,) = await at_meta(ready, "sezon")
    assert there["id"] == made.template_id
    assert there["message_send_ttl_seconds"] == 86_400


async def test_a_repeat_gets_the_first_answer_and_another_request_that_it_exists(
    ready: Any,
) -> None:
    request_id = str(uuid4())
    first = await create(ready, wanted(ready), request_id)
    assert await create(ready, wanted(ready), request_id) == first
    again = create(ready, wanted(ready))
    assert await ready.refused(again) == (
        *("ALREADY_EXISTS", "TEMPLATE_EXISTS"),
        {"waba_id": ready.waba_id, "name": "sezon", "language": "tr"},
    )
    other = create(ready, wanted(ready, "kis"), request_id)
    assert await ready.refusal(other) == ("INVALID_ARGUMENT", "REQUEST_ID_REUSED")
    assert len(await at_meta(ready, "sezon")) == 1


async def test_what_the_linter_finds_is_told_and_nothing_is_submitted(ready: Any) -> None:
    bad = wanted(ready, components=TemplateComponents(body=body("{{1}} geldi")))
    status, reason, facts = await ready.refused(create(ready, bad))
    assert (status, reason) == ("INVALID_ARGUMENT", "TEMPLATE_LINT_FAILED")
    assert facts["field"] == "template.components.body.text"
    assert facts["rule"] == "variable_at_edge"
    assert facts["count"] == "1"
    assert facts["change"]
    assert await at_meta(ready, "sezon") == []
    found = await ready.templates.LintTemplate(LintTemplateRequest(template=bad, language="tr"))
    assert found.findings[0].rule == "variable_at_edge"
    assert "değişken" in found.findings[0].explanation


async def test_after_calls_without_answers_there_is_one_template_and_its_request_gets_it(
    ready: Any,
) -> None:
    request_id, made = str(uuid4()), None
    await ready.faults(cut_calls=0.5)
    for _ in range(50):
        try:
            made = await create(ready, wanted(ready), request_id)
            break
        except grpc.aio.AioRpcError as error:
            assert error.code() == grpc.StatusCode.UNAVAILABLE
    await ready.faults()
    assert made is not None
    (there,) = await at_meta(ready, "sezon")
    assert [one.template_id for one in made.templates] == [there["id"]]


class Losing:
    """Meta, whose answers to what changes something are lost."""

    def __init__(self, graph: Any) -> None:
        self._graph = graph
        self.lost = 0

    async def manage(self, method: str, path: str, *arguments: Any, **more: Any) -> dict[str, Any]:
        found: dict[str, Any] = await self._graph.manage(method, path, *arguments, **more)
        if method != "GET":
            self.lost += 1
            raise PlatformUnavailable("no answer", operation=path)
        return found


async def test_a_lost_answer_is_looked_up_before_anything_is_submitted_again(ready: Any) -> None:
    losing = Losing(ready.graph)
    draft, samples = draft_of(wanted(ready)), Samples(ready.files, None, None, 1)  # type: ignore[arg-type]
    request_id = str(uuid4())
    with pytest.raises(PlatformUnavailable):
        await Registry(ready.shelf, losing, samples).create(draft, request_id)
    assert len(await at_meta(ready, "sezon")) == 1
    made = await Registry(ready.shelf, losing, samples).create(draft, request_id)
    assert losing.lost == 1, "the repeat submits nothing"
    (template,) = made.templates
    # And so with edits, of which Meta allows one a day
    edited = UpdateTemplateRequest(
        request_id=str(uuid4()),
        template=Template(
            template_id=template.template_id, components=TemplateComponents(body=body("Selam"))
        ),
    )
    lossy = Registry(ready.shelf, losing, samples)
    edit = Edit(draft=draft_of(edited.template))
    with pytest.raises(PlatformUnavailable):
        await lossy.edit(template.template_id, edit, edited.request_id, "")
    done = await lossy.edit(template.template_id, edit, edited.request_id, "")
    assert losing.lost == 2
    assert b"Selam" in done.templates[0].components


async def test_authentication_is_written_by_meta_in_several_languages(ready: Any) -> None:
    parts = TemplateComponents(
        body=TemplateBody(security_recommendation=True),
        footer=TemplateFooter(code_expiration_duration=Duration(seconds=300)),
        buttons=[TemplateButton(otp=TemplateOtp(kind=TemplateOtp.KIND_COPY_CODE))],
    )
    code = wanted(ready, "kod", components=parts, category="AUTHENTICATION", language="")
    request_id = str(uuid4())
    made = await create(ready, code, request_id, languages=["tr", "en_US"])
    assert [one.language for one in made.templates] == ["tr", "en_US"]
    assert await create(ready, code, request_id, languages=["tr", "en_US"]) == made
    assert {one["language"] for one in await at_meta(ready, "kod")} == {"tr", "en_US"}
    again = create(ready, code, languages=["de", "tr"])
    assert await ready.refusal(again) == ("ALREADY_EXISTS", "TEMPLATE_EXISTS")
    both = create(ready, wanted(ready, "kod"), languages=["de"])
    assert await ready.refusal(both) == ("INVALID_ARGUMENT", "FIELD_INVALID")


async def file(ready: Any, data: bytes = PNG, mime_type: str = "image/png") -> str:
    begun = CreateFileRequest(request_id=str(uuid4()), file=File(mime_type=mime_type))
    file_id: str = (await ready.file.CreateFile(begun)).file.file_id
    await ready.file.AppendFile(AppendFileRequest(file_id=file_id, data=data, last=True))
    return file_id


async def test_a_file_is_uploaded_as_the_example_of_a_header(ready: Any) -> None:
    header = TemplateHeader(format=TemplateHeader.FORMAT_IMAGE, example_file_id=await file(ready))
    parts = TemplateComponents(header=header, body=body(), footer=CLOSE)
    made = await created(ready, components=parts)
    assert made.components.header.example_handle.startswith("4::")
    film = TemplateComponents(
        header=TemplateHeader(
            format=TemplateHeader.FORMAT_VIDEO, example_file_id=header.example_file_id
        ),
        body=body(),
        footer=CLOSE,
    )
    refused = create(ready, wanted(ready, "film", components=film))
    assert await ready.refusal(refused) == ("INVALID_ARGUMENT", "MEDIA_UNSUPPORTED")


async def test_an_upload_that_breaks_off_goes_on_where_it_broke(ready: Any) -> None:
    class Breaking:
        """Meta, to which the first upload breaks off half way."""

        manage = staticmethod(ready.graph.manage)

        def __init__(self) -> None:
            self.offsets: list[int] = []

        async def append(self, session: str, offset: int, upload: Upload, *more: Any) -> str:
            self.offsets.append(offset)
            if offset:
                handle: str = await ready.graph.append(session, offset, upload, *more)
                return handle
            async with ready.http.post(
                f"{ready.graph_url}/v26.0/{session}",
                data=PNG[:1000],
                headers={"Authorization": "OAuth graph", "file_offset": "0"},
            ) as response:
                assert response.status == 200
            raise PlatformUnavailable("broken off", operation="upload")

    breaking = Breaking()
    store = ready.files._store
    samples = Samples(ready.files, store, breaking, 10)
    handle = await samples.place(await file(ready), "default")
    assert handle.startswith("4::")
    assert breaking.offsets == [0, 1000]


async def test_a_template_of_the_library_takes_its_texts_from_there(ready: Any) -> None:
    door = TemplateUrl(url="https://shop.example/{{1}}", example="https://shop.example/x")
    template = Template(
        waba_id=ready.waba_id,
        name="yolda",
        language="en",
        category="UTILITY",
        library_template_name="delivery_update_1",
        components=TemplateComponents(buttons=[TemplateButton(url=door)]),
    )
    (made,) = (await create(ready, template)).templates
    assert made.library_template_name == "delivery_update_1"
    assert "on its way" in made.components.body.text
    assert made.components.buttons[0].url == door


async def test_templates_are_listed_page_by_page_and_by_what_is_asked(ready: Any) -> None:
    await created(ready, "kis", category="UTILITY", components=TemplateComponents(body=body()))
    request = ListTemplatesRequest(waba_id=ready.waba_id, page_size=2)
    names: list[str] = []
    while True:
        page = await ready.templates.ListTemplates(request)
        names += [one.name for one in page.templates]
        request.page_token = page.next_page_token
        if not request.page_token:
            break
    assert names == ["kis", "order", "welcome"]

    async def found(**conditions: Any) -> list[str]:
        request = ListTemplatesRequest(waba_id=ready.waba_id, **conditions)
        return [one.name for one in (await ready.templates.ListTemplates(request)).templates]

    assert await found(name_query="el") == ["welcome"]
    assert await found(category="utility") == ["kis", "order"]
    assert await found(language="en") == []
    assert await found(states=[Template.STATE_PAUSED]) == []
    stolen = ready.templates.ListTemplates(
        ListTemplatesRequest(waba_id=ready.waba_id, language="tr", page_token="x")
    )
    assert await ready.refusal(stolen) == ("INVALID_ARGUMENT", "TOKEN_INVALID")


async def update(ready: Any, template: Template, request_id: str = "", **more: Any) -> Template:
    answer = await ready.templates.UpdateTemplate(
        UpdateTemplateRequest(request_id=request_id or str(uuid4()), template=template, **more)
    )
    found: Template = answer.template
    return found


def edited(made: Template, text: str, **more: Any) -> Template:
    parts = TemplateComponents(body=body(text), footer=CLOSE)
    return Template(template_id=made.template_id, components=parts, **more)


async def test_an_approved_template_is_edited_once_a_day_and_ten_times_a_month(
    ready: Any,
) -> None:
    made = await created(ready)
    request_id = str(uuid4())
    changed = await update(ready, edited(made, "Selam, sezon geldi"), request_id)
    assert changed.components.body.text == "Selam, sezon geldi"
    assert changed.etag != made.etag
    assert await update(ready, edited(made, "Selam, sezon geldi"), request_id) == changed
    assert (await update(ready, edited(made, "Selam, sezon geldi"))).etag == changed.etag
    soon = update(ready, edited(made, "Selam, sezon bitti"))
    assert await ready.refusal(soon) == ("FAILED_PRECONDITION", "TEMPLATE_STATE")
    now = now_ms()
    await ready.shelf.edited(made.template_id, [now - n * 49 * HOUR_MS for n in range(10, 0, -1)])
    often = update(ready, edited(made, "Selam, sezon bitti"))
    status, reason, facts = await ready.refused(often)
    assert (status, reason) == ("FAILED_PRECONDITION", "TEMPLATE_STATE")
    assert facts == {"template_id": made.template_id, "state": "APPROVED"}
    stale = update(ready, edited(made, "Selam", etag=made.etag))
    assert await ready.refusal(stale) == ("ABORTED", "ETAG_MISMATCH")
    fixed = update(ready, Template(template_id=made.template_id, category="UTILITY"))
    assert await ready.refusal(fixed) == ("FAILED_PRECONDITION", "TEMPLATE_STATE")


async def test_a_rejected_template_is_edited_into_review_and_a_disabled_one_not(
    ready: Any,
) -> None:
    made = await created(ready)
    await decided(ready, made.template_id, status="REJECTED", reason="PROMOTIONAL")
    await ready.syncing.sync(ready.waba_id)
    rejected = await get(ready, made.template_id)
    assert rejected.state == Template.STATE_REJECTED
    assert rejected.state_reason == "PROMOTIONAL"
    wish = edited(made, "Selam, sezon geldi", category="UTILITY")
    wish.message_ttl_duration.seconds = 3600
    changed = await update(ready, wish)
    assert changed.state in {Template.STATE_PENDING, Template.STATE_APPROVED}
    assert (changed.category, changed.effective_category) == ("UTILITY", "UTILITY")
    assert changed.message_ttl_duration.seconds == 3600
    await decided(ready, made.template_id, status="DISABLED")
    await ready.syncing.sync(ready.waba_id)
    disabled = update(ready, edited(made, "Selam"))
    assert await ready.refusal(disabled) == ("FAILED_PRECONDITION", "TEMPLATE_STATE")
    gone = ready.templates.DeleteTemplate(DeleteTemplateRequest(template_id=made.template_id))
    assert await ready.refusal(gone) == ("FAILED_PRECONDITION", "TEMPLATE_STATE")


async def test_only_what_may_change_is_changed(ready: Any) -> None:
    made = await created(ready)
    name = update(
        ready,
        Template(template_id=made.template_id, name="x"),
        update_mask=FieldMask(paths=["name"]),
    )
    assert await ready.refusal(name) == ("INVALID_ARGUMENT", "FIELD_INVALID")
    nothing = Template(template_id=made.template_id, waba_id="7", name="y", language="de")
    assert (await update(ready, nothing)).name == "sezon"


async def test_a_template_is_deleted_in_one_language_or_in_all_and_its_name_rests(
    ready: Any,
) -> None:
    turkish = await created(ready)
    english = await created(ready, language="en")
    one = DeleteTemplateRequest(template_id=english.template_id)
    (gone,) = (await ready.templates.DeleteTemplate(one)).templates
    assert (gone.language, gone.state) == ("en", Template.STATE_DELETED)
    assert [t["language"] for t in await at_meta(ready, "sezon")] == ["tr"]
    whole = DeleteTemplateRequest(waba_id=ready.waba_id, name="sezon")
    first = await ready.templates.DeleteTemplate(whole)
    assert {one.state for one in first.templates} == {Template.STATE_DELETED}
    assert await ready.templates.DeleteTemplate(whole) == first, "what is deleted may be deleted"
    assert await at_meta(ready, "sezon") == []
    status, reason, facts = await ready.refused(create(ready, wanted(ready)))
    assert (status, reason) == ("FAILED_PRECONDITION", "PLATFORM_REFUSED")
    assert facts["subcode"] == "2388023"
    assert (await get(ready, turkish.template_id)).state == Template.STATE_DELETED
    unknown = ready.templates.DeleteTemplate(
        DeleteTemplateRequest(waba_id=ready.waba_id, name="yok")
    )
    assert await ready.refusal(unknown) == ("NOT_FOUND", "TEMPLATE_NOT_FOUND")


async def test_what_a_campaign_sends_is_not_deleted_before_it_is_over(ready: Any) -> None:
    campaign_id = await launched(ready, 0)
    welcome = DeleteTemplateRequest(waba_id=ready.waba_id, name="welcome")
    assert await ready.refused(ready.templates.DeleteTemplate(welcome)) == (
        *("FAILED_PRECONDITION", "TEMPLATE_USED"),
        {"campaign_id": campaign_id, "count": "1"},
    )
    await ready.campaign.CancelCampaign(CancelCampaignRequest(campaign_id=campaign_id))
    (gone,) = (await ready.templates.DeleteTemplate(welcome)).templates
    assert gone.state == Template.STATE_DELETED


async def test_a_reading_does_not_undo_a_webhook_that_came_meanwhile(ready: Any) -> None:
    made = await created(ready)
    asked, before = now_ms(), await ready.shelf.template(made.template_id)
    reading = await ready.shelf.template(made.template_id)
    paused = TemplateStatusChanged(status="PAUSED")
    await hear(ready, event(ready, made.template_id, asked, template_status_changed=paused))
    assert not await ready.shelf.put(reading, before, asked)
    assert (await get(ready, made.template_id)).state == Template.STATE_PAUSED


async def test_a_sync_counts_what_it_learned(ready: Any) -> None:
    await ready.control("PUT", "rules", {"template_creations_per_hour": 1000})
    body = {"type": "BODY", "text": "Selam"}
    for n in range(205):
        made = {"name": f"t{n:03}", "language": "tr", "category": "UTILITY", "components": [body]}
        await ready.graph.manage("POST", f"{ready.waba_id}/message_templates", made)

    async def sync() -> tuple[int, ...]:
        request = SyncTemplatesRequest(waba_id=ready.waba_id)
        told = await ready.templates.SyncTemplates(request)
        return (told.added, told.changed, told.removed, told.unchanged)

    assert await sync() == (205, 0, 0, 2)
    assert await sync() == (0, 0, 0, 207)
    listed = {one["name"]: one["id"] for one in await at_meta(ready)}
    await decided(ready, listed["t000"], status="PAUSED")
    await decided(ready, listed["t001"], category="MARKETING")
    path = f"{ready.waba_id}/message_templates?name=t002"
    await ready.graph.manage("DELETE", path)
    assert await sync() == (0, 2, 1, 204)
    assert (await get(ready, listed["t000"])).state == Template.STATE_PAUSED
    moved = await get(ready, listed["t001"])
    assert (moved.category, moved.effective_category) == ("UTILITY", "MARKETING")
    assert (await get(ready, listed["t002"])).state == Template.STATE_DELETED


async def test_what_webhooks_tell_counts_by_its_time_in_any_order_and_twice(ready: Any) -> None:
    made = await created(ready)
    start = now_ms()
    told: list[dict[str, Any]] = [
        {"template_status_changed": TemplateStatusChanged(status="PAUSED", reason="X")},
        {"template_category_changed": TemplateCategoryChanged(category="UTILITY")},
        {"template_quality_changed": TemplateQualityChanged(score="YELLOW")},
        {"template_status_changed": TemplateStatusChanged(status="APPROVED", reason="NONE")},
        {"template_category_changed": TemplateCategoryChanged(category="MARKETING")},
        {"template_quality_changed": TemplateQualityChanged(score="GREEN")},
    ]
    coming = TemplateCategoryChanged(category="UTILITY")
    coming.effective_time.FromMilliseconds(start + 50 * HOUR_MS)
    told.append({"template_category_changed": coming})
    orders = list(permutations(range(len(told))))[:: 5040 // 24]
    for turn, order in enumerate(orders):
        base = start + turn * HOUR_MS
        coming.effective_time.FromMilliseconds(base + 50 * HOUR_MS)
        events = [event(ready, made.template_id, base + n * 1000, **t) for n, t in enumerate(told)]
        await hear(ready, *(events[n] for n in order[:3]))
        for n in (*order[3:], *order):
            await hear(ready, events[n])
        found = await get(ready, made.template_id)
        assert (found.state, found.state_reason) == (Template.STATE_APPROVED, "")
        assert (found.effective_category, found.quality_score) == ("MARKETING", "GREEN")
        assert found.announced_category == "UTILITY"
        assert found.announced_category_time.ToMilliseconds() == base + 50 * HOUR_MS


async def test_a_late_webhook_does_not_undo_what_was_read_since(ready: Any) -> None:
    made = await created(ready)
    await ready.syncing.sync(ready.waba_id)
    late = TemplateStatusChanged(status="PAUSED")
    old = now_ms() - 2 * HOUR_MS
    await hear(ready, event(ready, made.template_id, old, template_status_changed=late))
    assert (await get(ready, made.template_id)).state == Template.STATE_APPROVED


def hurried(ready: Any) -> Syncing:
    """Another process's."""
    return Syncing(ready.shelf, ready.graph, SystemClock(), timedelta(hours=6), lambda *_: None)


async def test_what_webhooks_do_not_tell_in_full_is_read_from_meta_soon(ready: Any) -> None:
    syncing = hurried(ready)
    await ready.shelf.account_read(ready.waba_id, now_ms() + HOUR_MS)
    given = {"name": "elden", "language": "tr", "category": "UTILITY"}
    body = {"type": "BODY", "text": "Selam"}
    made = await ready.graph.manage(
        "POST", f"{ready.waba_id}/message_templates", {**given, "components": [body]}
    )
    status = TemplateStatusChanged(status="APPROVED")
    await hear(ready, event(ready, made["id"], now_ms(), template_status_changed=status))
    await ready.shelf.hurry(now_ms() + 61_000)
    await syncing.step()
    assert (await get(ready, made["id"])).name == "elden"
    await ready.graph.manage("POST", made["id"], {"components": [{**body, "text": "Merhaba"}]})
    change = TemplateComponentsChanged()
    await hear(ready, event(ready, made["id"], now_ms(), template_components_changed=change))
    await ready.shelf.hurry(now_ms() + 61_000)
    await syncing.step()
    assert (await get(ready, made["id"])).components.body.text == "Merhaba"


async def test_accounts_are_read_at_the_start_and_then_by_one_process_at_a_time(
    ready: Any,
) -> None:
    made = await created(ready)
    await decided(ready, made.template_id, status="PAUSED")
    due = await ready.shelf.due_accounts(now_ms() + 7 * HOUR_MS, now_ms() + 8 * HOUR_MS, 1_000)
    assert ready.waba_id in due
    again = await ready.shelf.due_accounts(now_ms() + 7 * HOUR_MS, now_ms() + 8 * HOUR_MS, 1_000)
    assert ready.waba_id not in again
    await ready.shelf.account_read(ready.waba_id, now_ms() + HOUR_MS)
    syncing = hurried(ready)
    await ready.shelf.hurry(now_ms() + 6 * HOUR_MS - 60_000)
    await syncing.step()
    assert (await get(ready, made.template_id)).state == Template.STATE_PAUSED
