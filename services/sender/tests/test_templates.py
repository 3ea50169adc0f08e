"""Templates submitted, listed, edited and deleted, on real Postgres and simulator."""

from typing import Any
from uuid import uuid4

import grpc
import pytest
from google.protobuf.duration_pb2 import Duration
from google.protobuf.field_mask_pb2 import FieldMask

from merhaba.sender.v1 import (
    CancelCampaignRequest,
    DeleteTemplateRequest,
    LintTemplateRequest,
    ListTemplatesRequest,
    Template,
    TemplateButton,
    TemplateComponents,
    TemplateHeader,
    TemplateQuickReply,
    TemplateUrl,
    UpdateTemplateRequest,
)
from services.sender.failures import PlatformUnavailable
from services.sender.templates.registry import Edit, Registry
from services.sender.templates.samples import Samples
from services.sender.templates.wire import draft_of
from services.sender.tests.registry import (
    HOUR_MS,
    Losing,
    at_meta,
    body,
    create,
    created,
    decided,
    edited,
    get,
    now_ms,
    update,
    wanted,
)
from services.sender.tests.test_aftermath import launched


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
